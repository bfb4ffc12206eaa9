"""How results are kept: one protocol, and the two ways that follow it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from selfvos.batch.store import Store
from selfvos.errors import DataError

if TYPE_CHECKING:
    from selfvos.api import Shot
    from selfvos.types import Watch

Layout = Literal["parquet", "folders"]
"""``parquet``: run lengths of all masks in shards; ``folders``: a `TrackFolder` for each video."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What is known of a finished video; kept with its masks, in one step."""

    key: str
    """Of the row that it was made from."""
    name: str
    frames: int
    objects: int
    digest: str
    """SHA-256 over all that is kept of its masks."""
    weights: str = ""
    """SHA-256 over the tensors of the weights."""
    version: str = ""
    """Of the product."""

    @staticmethod
    def read(data: Any, where: str) -> "Result":
        """Return the result that `asdict` made plain data of.

        Raises:
            DataError: It is something else.
        """
        try:
            return Result(**data)
        except TypeError as error:
            raise DataError(f"{where} says nothing of a finished video; it was not written by a batch") from error


@dataclass(frozen=True)
class Draft:
    """A video that was tracked into a scratch folder, and does not count yet."""

    path: Path
    result: Result


@dataclass(frozen=True)
class Stored:
    """A result where it lies."""

    result: Result
    place: str
    """Name in the store of the file or folder that holds it."""
    part: int = 0
    """Which of the videos in that file."""


@dataclass(frozen=True)
class Task:
    """All that tracking one video into a scratch folder takes."""

    model: Any
    shot: "Shot"
    config: Any
    row: Mapping[str, str]
    """Its ``key`` and ``name``."""
    watch: "Watch"


@runtime_checkable
class Sink(Protocol):
    """One way to keep results."""

    def make(self, task: Task, scratch: Path) -> Draft:
        """Track a video into a scratch folder."""
        ...

    def keep(self, draft: Draft) -> bool:
        """Make a draft count, in one step; return False where the video had been finished already."""
        ...

    def has(self, key: str, name: str) -> bool:
        """Say whether a video is finished, as far as that can be told without looking at all of them."""
        ...

    def finished(self) -> Iterator[Stored]:
        """Yield all results, more than once what is there more than once."""
        ...

    def partial(self) -> list[str]:
        """Return the names of what looks like a result and is not whole."""
        ...

    def faults(self, stored: Iterable[Stored]) -> Iterator[str]:
        """Hold results against their digests; yield of each what is wrong, or nothing.

        A file that holds several of them one after another is fetched and opened once.
        """
        ...

    def discard(self, stored: Stored) -> None:
        """Take one result away, and no other."""
        ...

    def discard_partial(self, name: str) -> None:
        """Take away one of what `partial` names."""
        ...

    def gather(self, *, everything: bool) -> None:
        """Tidy up what has come; only the process that leads the batch calls it."""
        ...


def open_sink(store: Store, layout: Layout) -> Sink:
    """Return the sink of a layout.

    Raises:
        MissingExtra: Parquet needs pyarrow.
    """
    if layout == "folders":
        from selfvos.batch.folders import Folders

        return Folders(store)
    from selfvos.batch.shards import Shards

    return Shards(store)
