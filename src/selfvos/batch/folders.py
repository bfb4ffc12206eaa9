"""Results as folders: for each video what `selfvos track --out` writes, moved into place when it is whole."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from selfvos import __version__, api
from selfvos.batch.sink import Draft, Result, Stored, Task
from selfvos.batch.store import Store
from selfvos.errors import BrokenVideo, DataError
from selfvos.storage import sha256, write_text

TRACKS, DONE = "tracks", "done"


class Folders:
    """Keeps ``tracks/<name>/``; the file ``done`` in it says what it is the completion of."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def make(self, task: Task, scratch: Path) -> Draft:
        """See `Sink`.

        Raises:
            BrokenVideo: The video breaks off.
        """
        folder = scratch / "track"
        frames = 0
        for _ in api.track_to(task.model, task.shot, folder, config=task.config, watch=task.watch):
            frames += 1
        track = api.open_track(folder)
        if track.about["video"]["partial"]:
            raise BrokenVideo(f"the video breaks off after {frames} frames; copy or download it again")
        result = Result(
            **task.row,
            frames=frames,
            objects=len(track.objects),
            digest=_digest(folder),
            weights=track.about["weights"]["digest"],
            version=__version__,
        )
        write_text(folder / DONE, json.dumps(asdict(result)) + "\n")
        return Draft(folder, result)

    def keep(self, draft: Draft) -> bool:
        """See `Sink`."""
        return self._store.put(draft.path, f"{TRACKS}/{draft.result.name}")

    def has(self, key: str, name: str) -> bool:
        """See `Sink`.

        Raises:
            DataError: A track of this name was made from another row.
        """
        done = self._store.read(f"{TRACKS}/{name}/{DONE}")
        if done is not None and _result(done, name).key != key:
            raise DataError(f"{TRACKS}/{name} holds a track that another row made; give the video another name")
        return done is not None

    def finished(self) -> Iterator[Stored]:
        """See `Sink`."""
        for name in self._store.names(TRACKS):
            done = self._store.read(f"{TRACKS}/{name}/{DONE}")
            if done is not None:
                yield Stored(_result(done, f"{TRACKS}/{name}/{DONE}"), f"{TRACKS}/{name}")

    def partial(self) -> list[str]:
        """See `Sink`."""
        return [name for name in self._store.names(TRACKS) if self._store.read(f"{TRACKS}/{name}/{DONE}") is None]

    def faults(self, stored: Iterable[Stored]) -> Iterator[str]:
        """See `Sink`."""
        return map(self._fault, stored)

    def _fault(self, stored: Stored) -> str:
        if stored.place != f"{TRACKS}/{stored.result.name}":
            return f"{stored.place} holds the track of {stored.result.name}"
        with self._store.lend(stored.place) as folder:
            try:
                return "" if _digest(folder) == stored.result.digest else "a file was changed, added or lost"
            except OSError as error:
                return f"cannot be read: {error.strerror}"

    def discard(self, stored: Stored) -> None:
        """See `Sink`."""
        self._store.remove(stored.place)

    def discard_partial(self, name: str) -> None:
        """See `Sink`."""
        self._store.remove(f"{TRACKS}/{name}")

    def gather(self, *, everything: bool) -> None:
        """See `Sink`; folders lie where they belong."""


def _digest(folder: Path) -> str:
    """Return the digest of all files of a track but `done`, which holds it."""
    total = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / DONE):
        total.update(f"{sha256(file)}  {file.relative_to(folder).as_posix()}\n".encode())
    return total.hexdigest()


def _result(done: bytes, where: str) -> Result:
    try:
        return Result.read(json.loads(done), where)
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{where} says nothing of a finished video; it was not written by a batch") from error
