"""What supervised systems share: ids, sizes and given masks. A system itself learns masks and follows them."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from selfvos.errors import UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.settings import from_dict
from selfvos.tracking.eye import Eye
from selfvos.tracking.object_table import Ids, ObjectTable
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.system import recommended
from selfvos.types import ObjectState


class SupervisedTracker(ABC):
    """Follows objects frame by frame as `Tracker` does, by a system that works on whole soft masks."""

    name: ClassVar[str]
    """What settings call the system."""
    Config: ClassVar[type]
    """Its own settings: a frozen dataclass whose fields all have defaults."""

    def __init__(self, model: Segmenter, config: TrackConfig | None = None) -> None:
        """Make a tracker.

        Args:
            model: Network in evaluation mode; it is not changed.
            config: Settings; by default those that the weights recommend.

        Raises:
            UsageError: The system refuses its settings, or these weights.
        """
        self.config = config or recommended(model)
        self._own: Any = from_dict(self.Config, self.config.system.settings)
        self._eye = Eye(model, self.config)
        self._model = self._eye.model
        self.precision = self._eye.precision
        """``float32`` or ``bfloat16``: what the visual encoder computes in."""
        self._table: ObjectTable | None = None

    @property
    def supervision(self) -> str:
        """What results are marked with wherever they are shown."""
        learned = "true" if self._model.notes.get("recipe", {}).get("true_masks") else "pseudo"
        return f"supervised system {self.name}, trained on {learned} masks"

    @property
    def objects(self) -> tuple[ObjectState, ...]:
        """State of every object in the latest frame, in the order in which they were given."""
        return self._table.states if self._table else ()

    def start(self, frame: UInt8[np.ndarray, "y x 3"], mask: Ids) -> Ids:
        """Begin a video: forget everything, learn the objects of its first mask.

        Args:
            frame: RGB.
            mask: Object ids, 0 for background, at the frame's size.

        Returns:
            The mask, in the type that `step` returns.

        Raises:
            MaskMismatch: The mask has another size than the frame, or no object.
        """
        table = ObjectTable(self._eye.fit(frame), self.config, mask)
        image = table.framing.frame(frame, self._model.device)
        drawn = table.draw(mask, image.device)
        self._table = None  # broken off while it learns, it has not started
        self._forget()
        self._learn(image, drawn, table.named(mask))
        table.decide(drawn[0], 1)
        self._table = table
        return table.as_ids(mask)

    def step(self, frame: UInt8[np.ndarray, "y x 3"], mask: Ids | None = None) -> Ids:
        """Follow all objects into the next frame.

        Args:
            frame: RGB, as large as the first.
            mask: Objects that appear in this frame (or are drawn anew): their pixels are taken as given, everything
                else is tracked.

        Returns:
            Object ids, 0 for background: uint8, or uint16 when an id is above 255.

        Raises:
            UsageError: `start` has not been called.
            MaskMismatch: Frame or mask have another size than the first frame.
        """
        table = self._table
        if table is None:
            raise UsageError("the tracker has no first mask yet; call start(frame, mask) before")
        table.check_frame(frame)
        if mask is not None:
            table.check(mask)
        image = table.framing.frame(frame, self._model.device)
        soft = self._follow(image)
        if mask is not None and mask.any():
            soft = table.insert(soft, mask)
            self._learn(image, soft, table.named(mask))
        return table.read_out(table.decide(soft[0], 1), mask)

    @abstractmethod
    def _forget(self) -> None:
        """Make ready for another video."""

    @abstractmethod
    def _learn(self, image: Float[Tensor, "1 3 y x"], masks: Float[Tensor, "1 o1 y x"], drawn: list[int]) -> None:
        """Take the latest frame's masks as right for the objects in these places; some may be new."""

    @abstractmethod
    def _follow(self, image: Float[Tensor, "1 3 y x"]) -> Float[Tensor, "1 o1 y x"]:
        """Return the soft masks of the next frame, background first."""


def require_path(model: Segmenter, system: str) -> None:
    """Raise `UsageError` where weights have no mask path that was made for a system."""
    if model.mask_path is None or model.mask_path.system != system:
        raise UsageError(
            f"{system} needs weights that were trained for it, with mask path {system!r}; these have "
            f"{model.config.mask_path!r}. Train some with 'selfvos train {system}_resnet18'"
        )
