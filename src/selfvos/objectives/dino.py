"""Self-distillation: small and large views of an image all say what a slower copy of the network says of it.

What is owned here: a few frames of each clip, each an image of its own, cut into two global and several local RGB
views; a projection head on the spatial mean of the encoder's base feature; a teacher, the moving average of network
and head; the centre of the teacher's answers. Teacher and centre follow after each update and belong to the state.

Origin: the loss, centring and sharpening, the teacher's average with a momentum that rises to 1 along a cosine, and
multi-crop are the paper's [P/K: Caron et al. 2021]; sizes and areas of views for ResNet-50, the head (three layers,
2048 wide, a bottleneck of 256 at unit length, prototypes of unit length), temperatures and momenta are from the public
code [X: facebookresearch/dino and copies of it]. Inferred [I]: images are video frames, not ImageNet; crops keep the
frame's aspect, with the side, not the area, drawn evenly; colours are not changed, blurred or solarised; the number of
prototypes is smaller by default; schedules count steps, for an objective does not know the length of the run; the
prototypes learn from the first epoch on; a ResNet-50's 2048 channels reach the head as the 512 of its base feature;
the weights that a run keeps are the student's, not the teacher's, and a new phase begins with a new teacher.
"""

import copy
import math
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from selfvos.errors import UsageError
from selfvos.objectives.base import OBJECTIVES, EncodedClip, Objective
from selfvos.objectives.vfs import make_views, pooled_base
from selfvos.ops.warp import TransformConfig
from selfvos.types import LossTerms, SegmenterLike

_GLOBAL_VIEWS = 2
_MULTIPLE_PX = 16
_FIRST_TEACHER_TEMPERATURE = 0.04
GLOBAL_VIEW = TransformConfig(min_scale=math.sqrt(0.14))
"""What part of the image a global view shows."""
LOCAL_VIEW = TransformConfig(min_scale=math.sqrt(0.05), max_scale=math.sqrt(0.14))
"""What part of the image a local view shows."""


@dataclass(frozen=True, kw_only=True)
class DINOConfig:
    """Views, head, and how the teacher answers and follows."""

    images: int = 2
    """Frames taken from each clip; clips need at least as many, and at least 2."""
    global_px: int = 224
    """Side of a global view; that of the frame where it is smaller, and local views shrink alike."""
    local_views: int = 8
    """Local views of each image, which the teacher does not see."""
    local_px: int = 96
    """Side of a local view."""
    feature_channels: int = 512
    """Channels of the encoder's base feature; a training takes what the network has, unless set."""
    hidden_channels: int = 2048
    """Channels of the head's hidden layers."""
    bottleneck_channels: int = 256
    """Channels of the unit vector that prototypes are compared with."""
    prototypes: int = 4096
    """Answers to choose from."""
    student_temperature: float = 0.1
    """Softmax temperature of the student, > 0."""
    teacher_temperature: float = 0.07
    """Softmax temperature of the teacher from `temperature_steps` on, > 0; it begins at 0.04."""
    temperature_steps: int = 10_000
    """Steps over which the teacher's temperature rises evenly, >= 1."""
    momentum: float = 0.996
    """Share of the teacher that stays at the first step, in [0, 1]."""
    momentum_steps: int = 100_000
    """Steps over which that share rises to 1 along half a cosine, >= 1: the length of the run."""
    centre_momentum: float = 0.9
    """Share of the centre that stays at each step, in [0, 1]."""

    def __post_init__(self) -> None:
        if min(self.student_temperature, self.teacher_temperature) <= 0:
            raise UsageError("student_temperature and teacher_temperature must be > 0")
        if min(self.images, self.temperature_steps, self.momentum_steps) < 1 or self.local_views < 0:
            raise UsageError("images and steps must be >= 1, local_views >= 0")
        if min(self.global_px, self.local_px, self.hidden_channels, self.bottleneck_channels, self.prototypes) < 1:
            raise UsageError("sides of views, channels and prototypes must be >= 1")
        if not (0 <= self.momentum <= 1 and 0 <= self.centre_momentum <= 1):
            raise UsageError("momentum and centre_momentum must be in [0, 1]")


def distillation_loss(
    student: Float[Tensor, "v n k"],
    teacher: Float[Tensor, "u n k"],
    centre: Float[Tensor, "k"],
    *,
    student_temperature: float,
    teacher_temperature: float,
) -> Float[Tensor, ""]:
    """Score how well the student says of each view what the teacher says of the image's other views.

    Args:
        student: Logits of v > 1 views of n images.
        teacher: Logits of the first u <= v of these views; they receive no gradient.
        centre: Subtracted from the teacher's logits.
        student_temperature: Softmax temperature of the student, > 0.
        teacher_temperature: Softmax temperature of the teacher, > 0; smaller than the student's sharpens.

    Returns:
        Mean cross-entropy in nats over all pairs of different views: log k when the student knows nothing.

    Source:
        Caron et al. 2021, arXiv:2104.14294, eq. 3 with centring (eq. 4).
    """
    targets = ((teacher.detach() - centre) / teacher_temperature).softmax(dim=-1)
    answers = (student / student_temperature).log_softmax(dim=-1)
    pairs = -torch.einsum("unk,vnk->uv", targets, answers) / student.shape[1]
    same = torch.eye(len(teacher), len(student), dtype=torch.bool, device=pairs.device)
    return pairs.masked_select(~same).mean()


def momentum_at(step: int, *, first: float, steps: int) -> float:
    """Return the share of the teacher that stays at a step: `first` at 0, 1 from `steps` on, a cosine between."""
    progress = min(1.0, step / steps)
    return 1 - (1 - first) * (1 + math.cos(math.pi * progress)) / 2


def temperature_at(step: int, *, first: float, last: float, steps: int) -> float:
    """Return the teacher's temperature at a step: `first` at 0, `last` from `steps` on, a line between."""
    return first + (last - first) * min(1.0, step / steps)


class ProjectionHead(nn.Module):
    """Compares a feature with prototypes: three layers, then cosines.

    Source:
        Caron et al. 2021, public code, with the norm of every prototype held at 1.
    """

    def __init__(self, config: DINOConfig) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(config.feature_channels, config.hidden_channels),
            nn.GELU(),
            nn.Linear(config.hidden_channels, config.hidden_channels),
            nn.GELU(),
            nn.Linear(config.hidden_channels, config.bottleneck_channels),
        )
        self.prototypes = nn.Parameter(torch.empty(config.prototypes, config.bottleneck_channels))
        nn.init.trunc_normal_(self.prototypes, std=0.02)
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)

    def forward(self, features: Float[Tensor, "m c"]) -> Float[Tensor, "m k"]:
        """Return the cosine of each feature to each prototype."""
        unit = functional.normalize(self.layers(features).float(), dim=-1)
        with torch.autocast(unit.device.type, enabled=False):
            return unit @ functional.normalize(self.prototypes, dim=-1).mT


@OBJECTIVES.register("dino")
class DINO(Objective):
    """Teaches every view of a frame what a moving average of the network says of its other views.

    Source:
        Caron et al. 2021, arXiv:2104.14294; public code. Departures: see the module.
    """

    Config = DINOConfig
    centre: Float[Tensor, "k"]
    step: Tensor

    def __init__(self, config: DINOConfig) -> None:
        super().__init__(config)
        self.head = ProjectionHead(config)
        self.teacher: nn.Module | None = None
        self.teacher_head = _frozen_copy(self.head)
        self.register_buffer("centre", torch.zeros(config.prototypes))
        self.register_buffer("step", torch.zeros((), dtype=torch.long))
        # What the last forward pass leaves for `after_step`; no later pass reads it.
        self._answer: Tensor | None = None

    def attach(self, model: SegmenterLike) -> None:
        """Copy the network: the teacher starts from the student."""
        assert isinstance(model, nn.Module)
        self.teacher = _frozen_copy(model)

    def after_step(self, model: SegmenterLike) -> None:
        """Move the teacher towards the network, and the centre towards the last batch's answers."""
        teacher = self._teacher()
        assert isinstance(model, nn.Module)
        config: DINOConfig = self.config
        stays = momentum_at(int(self.step), first=config.momentum, steps=config.momentum_steps)
        with torch.no_grad():
            for slow, fast in ((teacher, model), (self.teacher_head, self.head)):
                for mean, value in zip(slow.parameters(), fast.parameters(), strict=True):
                    mean.lerp_(value, 1 - stays)
            # A step that was left out for its loss must not spoil the centre for good.
            if self._answer is not None and self._answer.isfinite().all():
                self.centre.lerp_(self._answer, 1 - config.centre_momentum)
            self.step += 1
        self._answer = None

    def forward(self, clip: EncodedClip, generator: torch.Generator) -> LossTerms:
        """Score one batch of clips; parts: `distillation`.

        Raises:
            UsageError: The clip has too few frames, the network was not attached, or the features have another
                width than the settings say.
        """
        config: DINOConfig = self.config
        images = self._images(clip, generator)
        views = [make_views(images, config.global_px, GLOBAL_VIEW, generator) for _ in range(_GLOBAL_VIEWS)]
        local_px = _local_px(config, images.shape[-2:])
        local = [make_views(images, local_px, LOCAL_VIEW, generator) for _ in range(config.local_views)]
        student = [_answers(clip.model, self.head, views, config)]
        if local:
            student.append(_answers(clip.model, self.head, local, config))
        with torch.no_grad():
            slow = clip.share(cast(SegmenterLike, self._teacher()))
            teacher = _answers(slow, self.teacher_head, views, config)
        self._answer = teacher.mean(dim=(0, 1))
        loss = distillation_loss(
            torch.cat(student),
            teacher,
            self.centre,
            student_temperature=config.student_temperature,
            teacher_temperature=temperature_at(
                int(self.step),
                first=_FIRST_TEACHER_TEMPERATURE,
                last=config.teacher_temperature,
                steps=config.temperature_steps,
            ),
        )
        return LossTerms(loss, {"distillation": loss.detach()})

    def _images(self, clip: EncodedClip, generator: torch.Generator) -> Float[Tensor, "m 3 y x"]:
        batch, count = clip.frames.shape[:2]
        wanted = self.config.images
        if count < max(2, wanted):
            raise UsageError(
                f"dino takes {wanted} frames from clips of at least {max(2, wanted)}, got clips of {count}"
            )
        chosen = torch.rand(batch, count, generator=generator).argsort(dim=1)[:, :wanted].to(clip.frames.device)
        return clip.frames[torch.arange(batch, device=chosen.device)[:, None], chosen].flatten(0, 1)

    def _teacher(self) -> nn.Module:
        if self.teacher is None:
            raise UsageError("dino has no teacher yet; call attach(model) before the first step")
        return self.teacher


def _answers(model: SegmenterLike, head: nn.Module, views: list[Tensor], config: DINOConfig) -> Float[Tensor, "v n k"]:
    pooled = pooled_base(model, torch.cat(views), config.feature_channels)
    return head(pooled).unflatten(0, (len(views), -1))


def _local_px(config: DINOConfig, sides: torch.Size) -> int:
    """Return the side of local views: as configured, or in proportion to global views that had to shrink."""
    if min(sides) >= config.global_px:
        return config.local_px
    shrunk = config.local_px * min(sides) // config.global_px
    return max(_MULTIPLE_PX, shrunk - shrunk % _MULTIPLE_PX)


def _frozen_copy(module: nn.Module) -> nn.Module:
    """Copy a network that gets no gradient and normalises by each batch alone, as a teacher in training mode does."""
    frozen = copy.deepcopy(module).requires_grad_(False)
    for part in frozen.modules():
        if isinstance(part, _BatchNorm):
            # Without running statistics, looking at a clip leaves no trace.
            part.track_running_stats = False
            part.running_mean = part.running_var = part.num_batches_tracked = None
    return frozen
