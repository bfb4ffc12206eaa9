"""OSVOS: one network for each object, fine-tuned on the frame that shows its mask."""

import copy
import logging
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from selfvos.errors import UsageError
from selfvos.models.side_network import SideNetwork
from selfvos.ops.masks import balanced_cross_entropy
from selfvos.tracking.encoding import EncodedFrame, FrameEncoding
from selfvos.tracking.propagator import SYSTEMS, GivenMasks, SoftMasks
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.supervised import SupervisedPropagator, whole

log = logging.getLogger(__name__)

_TELL_EVERY = 50


@dataclass(frozen=True, kw_only=True)
class OSVOSConfig:
    """How a network is fine-tuned on one frame."""

    steps: int = 200
    """Updates for each object."""
    lr: float = 1e-4
    """Learning rate of the backbone."""
    head_lr: float = 1e-3
    """Learning rate of the side convolutions and their fusion."""
    flip_probability: float = 0.5
    """How often the frame is mirrored."""
    max_rotation_degrees: float = 30.0
    """Largest rotation, to either side."""
    min_scale: float = 0.75
    """Smallest size that the frame is drawn at."""
    max_scale: float = 1.25
    """Largest size that the frame is drawn at."""
    seed: int = 0
    """Everything random follows from it."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"steps must be at least 1, got {self.steps}")
        if not (self.lr >= 0 and self.head_lr > 0):
            raise UsageError(f"lr must be at least 0 and head_lr above 0, got {self.lr} and {self.head_lr}")
        if not 0 < self.min_scale <= self.max_scale:
            raise UsageError(f"scales must be 0 < min <= max, got {self.min_scale} and {self.max_scale}")


def augment(
    image: Float[Tensor, "1 3 y x"], mask: Float[Tensor, "1 1 y x"], config: OSVOSConfig, generator: torch.Generator
) -> tuple[Float[Tensor, "1 3 y x"], Float[Tensor, "1 1 y x"]]:
    """Mirror, rotate and scale a frame and its mask alike, about the centre.

    Args:
        image: RGB in [0, 1].
        mask: One object, in [0, 1].
        config: Ranges.
        generator: The only source of randomness, on the CPU.

    Returns:
        Both, in their sizes; what comes in from outside is the picture mirrored at its border.
    """
    flip, turn, size = torch.rand(3, generator=generator).tolist()
    mirrored = -1.0 if flip < config.flip_probability else 1.0
    angle = math.radians(config.max_rotation_degrees) * (2 * turn - 1)
    zoom = 1 / (config.min_scale + size * (config.max_scale - config.min_scale))
    cos, sin = math.cos(angle) * zoom, math.sin(angle) * zoom
    aspect = image.shape[-1] / image.shape[-2]
    theta = image.new_tensor([[[cos * mirrored, -sin / aspect, 0], [sin * aspect * mirrored, cos, 0]]])
    both = torch.cat([image, mask], dim=1)
    grid = F.affine_grid(theta, list(both.shape), align_corners=False)
    moved = F.grid_sample(both, grid, padding_mode="reflection", align_corners=False)
    return moved[:, :3], moved[:, 3:]


@SYSTEMS.register("osvos", about="supervised: OSVOS, one network per object, fine-tuned on its first mask (slow start)")
class OSVOSPropagator(SupervisedPropagator):
    """Fine-tunes a copy of the encoder on the first mask of each object, then looks at every frame by itself.

    No parent network stands between encoder and video: what the encoder knows of objects is what its own training
    taught it. With an encoder that saw no labels, the first mask is the only supervision.

    Source:
        OSVOS (Caelles et al. 2017, public code): class-balanced cross-entropy, mirroring, rotation by up to 30
        degrees, scale 0.75 to 1.25, one network per object and the arg max of their probabilities. Departures: no
        parent training on DAVIS; Adam, with a higher rate for the sides, which no parent has trained, in place of
        SGD at 1e-8 on summed losses; no weight decay, whose 2e-4 weighs nothing against a sum over all pixels; 200
        updates from one frame each in place of 2000 from 5; normalisation keeps its statistics.
    """

    name = "osvos"
    Config = OSVOSConfig
    _own: OSVOSConfig

    def __init__(self, encoding: FrameEncoding, config: TrackConfig) -> None:
        """Make a propagator; any encoder will do."""
        super().__init__(encoding, config)
        self._encoder = encoding.model.encoder.backbone
        self._device = encoding.model.device
        self._networks: tuple[SideNetwork, ...] = ()
        self._image: Tensor | None = None
        self.precision = "float32"

    @property
    def supervision(self) -> str:
        """See `Propagator.supervision`."""
        return "supervised system osvos, fine-tuned on first masks, without a parent network"

    def start(self, frame: EncodedFrame) -> None:
        """See `Propagator.start`."""
        self._networks, self._image = (), frame.image

    def learn(self, given: GivenMasks) -> SoftMasks:
        """See `Propagator.learn`."""
        assert self._image is not None, "no video has begun"
        self._tune_all(self._image, given)
        return whole(given.pixels)

    def follow(self, frame: EncodedFrame) -> SoftMasks:
        """See `Propagator.follow`."""
        self._image = frame.image
        objects = torch.cat([torch.sigmoid(network(frame.image)) for network in self._networks], dim=1)
        # Networks do not know of each other: background is where even the surest of them says no.
        return whole(torch.cat([1 - objects.amax(dim=1, keepdim=True), objects], dim=1))

    def remember(self, frame: EncodedFrame, given: GivenMasks) -> None:
        """See `Propagator.remember`: each object that it shows is fine-tuned on it as well."""
        self._tune_all(frame.image, given)

    def snapshot(self) -> tuple[tuple[SideNetwork, ...], Tensor | None]:
        """See `Propagator.snapshot`."""
        return self._networks, self._image

    def restore(self, state: tuple[tuple[SideNetwork, ...], Tensor | None]) -> None:
        """See `Propagator.restore`."""
        self._networks, self._image = state

    def _tune_all(self, image: Float[Tensor, "1 3 y x"], given: GivenMasks) -> None:
        # Whoever calls may have switched gradients off.
        with torch.inference_mode(False), torch.enable_grad():
            for o in given.drawn:
                known = o < len(self._networks)
                # A copy: snapshots hold networks as they are.
                network = copy.deepcopy(self._networks[o]) if known else self._fresh(o)
                self._tune(network, o, image.clone(), given.pixels[:, 1 + o : 2 + o].clone())
                self._networks = (*self._networks[:o], network, *self._networks[o + 1 :])

    def _fresh(self, o: int) -> SideNetwork:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._own.seed + o)
            return SideNetwork(self._encoder).to(self._device).eval()

    def _tune(self, network: SideNetwork, o: int, image: Tensor, mask: Tensor) -> None:
        own = self._own
        groups = [
            {"params": list(network.backbone.parameters()), "lr": own.lr},
            {"params": network.heads(), "lr": own.head_lr},
        ]
        optimizer = torch.optim.Adam([group for group in groups if group["params"]])
        generator = torch.Generator().manual_seed(own.seed * 65_537 + o)
        for step in range(1, own.steps + 1):
            frame, target = augment(image, mask, own, generator)
            loss = balanced_cross_entropy(network(frame), target)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            if step % _TELL_EVERY == 0 or step == own.steps:
                log.info("osvos: object %d, step %d of %d, loss %.4f", o + 1, step, own.steps, loss.item())
