"""What every benchmark offers: its videos, the masks that are given, and the masks that are kept back."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from selfvos.data.ahead import ahead
from selfvos.data.kinds import in_order, is_kind, natural
from selfvos.data.mask_png import IdMap
from selfvos.data.source import open_source
from selfvos.errors import DataError
from selfvos.registry import Registry
from selfvos.types import Frame


class LabelledVideo(ABC):
    """A video whose objects are given where they first appear and known, to the scorer, in the other frames.

    Nothing is opened before it is asked for, so scoring needs no pictures and tracking no later masks.
    """

    name: str
    """Name in the benchmark's list, and of its folder in results."""
    void: ClassVar[tuple[int, ...]] = ()
    """Ids in true masks that are no object, and whose pixels are not scored."""

    @property
    @abstractmethod
    def frames(self) -> tuple[Path, ...]:
        """Picture of every frame, in natural order."""

    @property
    @abstractmethod
    def frame_names(self) -> tuple[str, ...]:
        """Name of every frame, without suffix, in natural order; a result's mask carries the same."""

    @property
    @abstractmethod
    def objects(self) -> tuple[int, ...]:
        """Ids of the objects to follow, ascending."""

    @property
    @abstractmethod
    def counted(self) -> tuple[str, ...]:
        """Names of the frames in which at least one object is scored."""

    def counted_for(self, object_id: int) -> tuple[str, ...]:  # noqa: ARG002
        """Names of the frames in which this object is scored."""
        return self.counted

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the frames whose mask a tracker is given, in order; tracking starts at the first of them."""
        return self.frame_names[:1]

    def given_mask(self, frame: str) -> IdMap:
        """Object ids that a tracker is given in this frame, 0 where nothing is said; see `truth`."""
        return self.truth(frame)

    @property
    def tracked(self) -> tuple[str, ...]:
        """Names of all frames from the first given one on: those that a tracker sees."""
        return self.frame_names[self.frame_names.index(self.given[0]) :]

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the frames that a complete result holds."""
        return self.frame_names

    def group(self, object_id: int) -> str:  # noqa: ARG002
        """Name of the group whose mean the object counts in, such as ``seen``; empty where there are none."""
        return ""

    @property
    def mask_files(self) -> Mapping[str, Path]:
        """File of every mask that a whole copy holds, by frame; empty where masks are kept in another way."""
        return MappingProxyType({})

    @abstractmethod
    def truth(self, frame: str) -> IdMap:
        """Read the true object ids of the frame called so, 0 for background."""


class Benchmark(ABC):
    """Videos to be tracked and the rules by which the masks are scored."""

    name: str
    """Name of the protocol, as registered."""
    subset: str
    """Name of the list of videos, such as ``val``."""
    note: str
    """What sets these scores apart from the published protocol; empty where nothing does."""
    videos: Sequence[LabelledVideo]
    """All videos, in the order of the list."""
    task: ClassVar[str] = "masks"
    """What is followed and how it is scored, by the name of a task: ``masks`` (J and F), ``parts``, ``points``."""
    track: Mapping[str, Any] = MappingProxyType({})
    """Tracker settings that belong to the protocol, as nested fields of `TrackConfig`; empty leaves the choice."""
    labels: tuple[str, ...] = ()
    """Names of the points, or of the body parts with the background first; empty where objects are followed."""
    attributes: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    """What the protocol itself says of videos, by name; their means are reported apart, as are those of a data set."""
    archive_prefix: str | None = None
    """Folder inside the archive that the official server takes, such as ``Annotations/``; None: there is no server."""

    @property
    def scored_here(self) -> bool:
        """Whether the true masks are at hand; where a server takes archives, it alone has them."""
        return self.archive_prefix is None

    def faults(self) -> Iterator[str]:
        """Yield in what this copy differs from the official data set as a whole, one line each."""
        yield from ()

    def unlisted(self) -> tuple[str, ...]:
        """Return the names of folders that lie beside those of the videos and are not on the list."""
        return ()

    @abstractmethod
    def read_result(self, path: Path) -> IdMap:
        """Read one frame's result as ids that compare with those of the truth."""


BENCHMARKS: Registry[Callable[[Path], Benchmark]] = Registry("benchmark", "selfvos.data.benchmarks")
"""By name, what makes a benchmark of its folder."""


def files_by_frame(folder: Path, suffixes: Collection[str]) -> dict[str, Path]:
    """Return the files of a folder that end so, by stem in natural order; none where there is no folder."""
    if not folder.is_dir():
        return {}
    kinds = frozenset(suffixes)
    return {path.stem: path for path in in_order(path for path in folder.iterdir() if is_kind(path.name, kinds))}


def folders_in(folder: Path) -> tuple[str, ...]:
    """Return the names of the folders in a folder, in natural order; none where it is not there."""
    if not folder.is_dir():
        return ()
    names = [path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return tuple(sorted(names, key=natural))


def picture_of_each(folder: Path, frames: Sequence[str], suffixes: Collection[str] = (".jpg",)) -> tuple[Path, ...]:
    """Return the picture of every frame.

    Raises:
        DataError: A frame has none.
    """
    present = files_by_frame(folder, suffixes)
    absent = [frame for frame in frames if frame not in present]
    if absent:
        suffix = next(iter(present.values()), Path("_.jpg")).suffix
        path = folder / f"{absent[0]}{suffix}"
        raise DataError(f"no frame {path} ({len(absent)} of {len(frames)} missing): download the frames")
    return tuple(present[frame] for frame in frames)


def read_tracked(video: LabelledVideo) -> Iterator[Frame]:
    """Read the frames that a tracker sees, in order, under the names that their results must carry."""
    pairs = zip((path.stem for path in video.frames), video.frame_names, strict=True)
    tracked = set(video.tracked)
    wanted = {stem: name for stem, name in pairs if name in tracked}
    for frame in ahead(open_source(video.frames[0].parent)):
        if frame.name in wanted:
            yield replace(frame, name=wanted[frame.name])
