"""The words that every floor shares: clips, features, terms of a loss, what a segmenter can do, tracks, watches.

Axis letters, everywhere the same: ``b`` batch, ``t`` time, ``o`` objects, ``c`` channels, ``y x`` pixels,
``h w`` feature cells, ``n`` memory frames, ``m`` flattened query cells, ``k`` kept matches.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from selfvos.errors import Stopped

Mask = Bool[np.ndarray, "y x"]
"""One object's pixels."""


@dataclass(frozen=True)
class Frame:
    """One picture of a video, as decoded."""

    rgb: UInt8[np.ndarray, "y x 3"]
    index: int
    """Position in decoding order, from 0."""
    name: str
    """File stem for a frame folder, the zero-padded index for a video."""
    seconds: float
    """Presentation time from the start of the video."""


@dataclass(frozen=True)
class FrameFeatures:
    """What the visual encoder E says of a batch of frames."""

    key: Float[Tensor, "b c h w"]
    """Embedding that matching works on, unit length in every cell."""
    base: Float[Tensor, "b d h w"]
    """Deepest feature, not normalised: what the frame-mask encoder V sees of the frame."""
    stages: dict[str, Tensor]
    """Output of each residual stage (``layer1`` ...), for skips and for matching on another depth."""


@dataclass(frozen=True)
class MaskContext:
    """What V and D need of a frame and what does not change between objects and refinement rounds."""

    frame: Float[Tensor, "b p y2 x2"]
    """The frame as V sees it: pixels, or cells of a projection of them."""
    base: Float[Tensor, "b d h w"]
    skip8: Float[Tensor, "b e y8 x8"]
    """Skip at stride 8, or at the feature stride where that is finer."""
    skip4: Float[Tensor, "b f y4 x4"]
    """Skip at stride 4."""


@runtime_checkable
class SegmenterLike(Protocol):
    """What objectives and the tracker may ask of a network."""

    def encode_frame(self, frames: Float[Tensor, "b 3 y x"]) -> FrameFeatures:
        """Encode RGB frames in [0, 1]; sides are multiples of the stride."""
        ...

    def prepare_masks(self, frames: Float[Tensor, "b 3 y x"], features: FrameFeatures) -> MaskContext:
        """Compute once what all objects and rounds of these frames share."""
        ...

    def encode_masks(self, context: MaskContext, masks: Float[Tensor, "b o y x"]) -> Float[Tensor, "b o v h w"]:
        """Embed each object's mask in [0, 1] together with its frame (V)."""
        ...

    def decode_masks(
        self, context: MaskContext, readout: Float[Tensor, "b o v h w"], values: Float[Tensor, "b o v h w"]
    ) -> Float[Tensor, "b o y x"]:
        """Turn what memory says of each object, and V's view of its coarse mask, into logits (D)."""
        ...


@dataclass(frozen=True)
class Clip:
    """A batch of short frame sequences to learn from."""

    frames: Float[Tensor, "b t 3 y x"]
    """RGB in [0, 1], not normalised."""
    index: Int64[Tensor, "b t"]
    """Frame numbers in the training list of each video."""
    masks: Int64[Tensor, "b t y x"] | None = None
    """Pseudo masks, 0 for background; None while there are none."""


@dataclass(frozen=True)
class LossTerms:
    """One objective's loss and the named parts that it is made of."""

    total: Float[Tensor, ""]
    parts: dict[str, Float[Tensor, ""]]


@dataclass(frozen=True)
class ObjectState:
    """How the tracker sees one object in one frame."""

    id: int
    """As drawn in the given mask."""
    confidence: float
    """Mean probability over the pixels given to the object, in [0, 1]; 0 where it has none."""
    lost: bool
    """Nothing of the object is found in this frame; its mask is empty."""


@dataclass(frozen=True)
class Tracked:
    """One frame's result."""

    frame: Frame
    mask: UInt8[np.ndarray, "y x"] | np.ndarray
    """Object ids as drawn, 0 for background; uint16 when an id is above 255."""
    objects: tuple[ObjectState, ...]


Box = tuple[int, int, int, int]
"""Left, top, right, bottom of what encloses an object, in pixels; right and bottom are the first pixels outside."""


@dataclass(frozen=True)
class TrackedObject:
    """One object of a tracked video, the same in all frames."""

    id: int
    """As in the masks, at least 1."""
    name: str
    colour: tuple[int, int, int]
    """Red, green, blue in 0..255."""


@dataclass(frozen=True)
class ObjectRecord:
    """What is kept of one object in one frame, besides its pixels."""

    id: int
    confidence: float
    """Mean probability over the pixels given to the object, in [0, 1]; 0 where it has none."""
    lost: bool
    area: int
    """Pixels of the object in the mask."""
    box: Box | None
    """None where it has no pixel."""


@dataclass(frozen=True)
class FrameRecord:
    """What is kept of one tracked frame, besides its mask."""

    index: int
    """Position in the video, from 0: a track may begin later than its video does."""
    name: str
    """Stem of the frame's mask file."""
    seconds: float
    """Presentation time from the start of the video."""
    objects: tuple[ObjectRecord, ...]


@runtime_checkable
class TrackReader(Protocol):
    """A tracked video, whoever keeps it: what formats, reports and pages read. Frames are in order of time."""

    @property
    def name(self) -> str:
        """What to call the video."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of video and masks, in pixels."""
        ...

    @property
    def fps(self) -> float:
        """Frames per second of the video."""
        ...

    @property
    def objects(self) -> tuple[TrackedObject, ...]:
        """All objects of the video, by rising id."""
        ...

    @property
    def frames(self) -> Sequence[FrameRecord]:
        """What is known of each frame that was tracked."""
        ...

    def mask(self, place: int) -> UInt8[np.ndarray, "y x"] | np.ndarray:
        """Read object ids, 0 for background, of the frame at this place in `frames`."""
        ...


@runtime_checkable
class Watch(Protocol):
    """How long work tells of its progress, and how it is asked to stop."""

    def tell(self, stage: str, done: int, total: int | None, **facts: float) -> None:
        """Hear of progress.

        Args:
            stage: What is being done, in words for a person: a phase, or the name of a video.
            done: Frames, steps or whatever the stage counts, finished so far.
            total: All of them; None where nobody knows.
            facts: Numbers that a person may want to see beside it, such as a loss.
        """
        ...

    def stopped(self) -> bool:
        """Say whether the work shall end at the next point where nothing is lost."""
        ...


@dataclass(frozen=True)
class Watching:
    """A watch made of two functions, either of which may be left out."""

    told: Callable[..., None] | None = None
    """Called as `Watch.tell`."""
    asked: Callable[[], bool] | None = None
    """Called as `Watch.stopped`."""

    def tell(self, stage: str, done: int, total: int | None, **facts: float) -> None:
        """See `Watch.tell`."""
        if self.told is not None:
            self.told(stage, done, total, **facts)

    def stopped(self) -> bool:
        """See `Watch.stopped`."""
        return self.asked is not None and self.asked()


ignore = Watching()
"""The watch of work that nobody looks at and nobody stops."""


def go_on(watch: Watch) -> None:
    """Return where the work may go on.

    Raises:
        Stopped: The watch asks to stop.
    """
    if watch.stopped():
        raise Stopped("stopped; what was finished before is kept")


def renamed(watch: Watch, stage: str) -> Watch:
    """Return a watch that hears of every stage under one name."""
    return Watching(lambda _, done, total, **facts: watch.tell(stage, done, total, **facts), watch.stopped)


Frames = Iterator[Frame]


Progress = Callable[[int, int | None], None]
"""Called with steps done and steps in all (None when unknown)."""


def nobody(*facts: object) -> None:
    """Watch without doing anything: where no one wants to see progress."""
