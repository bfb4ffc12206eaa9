"""What supervised systems share. A system itself learns masks and follows them."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from selfvos.errors import UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.ops.label_map import LabelMap
from selfvos.settings import from_dict
from selfvos.tracking.encoding import EncodedFrame, FrameEncoding
from selfvos.tracking.propagator import DenseMasks, GivenMasks, SoftMasks
from selfvos.tracking.settings import TrackConfig


class SupervisedPropagator(ABC):
    """A `Propagator` that works on whole soft masks."""

    name: ClassVar[str]
    """What settings call the system."""
    Config: ClassVar[type]
    """Its own settings: a frozen dataclass whose fields all have defaults."""

    label_stride = 1

    def __init__(self, encoding: FrameEncoding, config: TrackConfig) -> None:
        """Make a propagator.

        Raises:
            UsageError: The system refuses its settings, or these weights.
        """
        self.config = config
        self._own: Any = from_dict(self.Config, config.system.settings)
        self._network = encoding.network
        self.precision = encoding.precision

    @property
    def supervision(self) -> str:
        """See `Propagator.supervision`."""
        learned = "true" if self._network.notes.supervision == "true masks" else "pseudo"
        return f"supervised system {self.name}, trained on {learned} masks"

    @abstractmethod
    def start(self, frame: EncodedFrame) -> None:
        """See `Propagator.start`."""

    @abstractmethod
    def follow(self, frame: EncodedFrame) -> SoftMasks:
        """See `Propagator.follow`."""

    @abstractmethod
    def learn(self, given: GivenMasks) -> SoftMasks:
        """See `Propagator.learn`."""

    @abstractmethod
    def remember(self, frame: EncodedFrame, given: GivenMasks) -> None:
        """See `Propagator.remember`."""

    @abstractmethod
    def snapshot(self) -> Any:
        """See `Propagator.snapshot`."""

    @abstractmethod
    def restore(self, state: Any) -> None:
        """See `Propagator.restore`."""

    def decided(self, found: LabelMap) -> None:  # noqa: B027
        """See `Propagator.decided`; nothing here depends on it."""

    def forget_recent(self) -> None:  # noqa: B027
        """See `Propagator.forget_recent`; what no mask was given for is not remembered."""


def whole(masks: Float[Tensor, "1 o1 y x"]) -> SoftMasks:
    """Return masks in pixels as a propagator hands them on."""
    return DenseMasks(masks, 1, masks)


def require_path(model: Segmenter, system: str) -> None:
    """Raise `UsageError` where weights have no mask path that was made for a system."""
    if model.mask_path is None or model.mask_path.system != system:
        raise UsageError(
            f"{system} needs weights that were trained for it, with mask path {system!r}; these have "
            f"{model.config.mask_path!r}. Train some with 'selfvos train {system}_resnet18'"
        )
