"""Where results go: a folder, or what lies behind a URL. What is there under its name is whole."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from selfvos.batch.extras import need
from selfvos.batch.manifest import is_url
from selfvos.errors import ResourceError, UsageError
from selfvos.storage import place, write_bytes

SCRATCH = ".scratch"
"""Folder of what is being made: nothing in it counts, and it is emptied when a batch begins."""


@runtime_checkable
class Store(Protocol):
    """Files and folders by name; names are relative, with slashes."""

    def put(self, finished: Path, name: str) -> bool:
        """Move a finished file or folder to a name; return False, and leave what is there, where it is taken."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Write a small file as a whole, replacing an earlier one."""
        ...

    def read(self, name: str) -> bytes | None:
        """Return a small file; None where there is none."""
        ...

    def names(self, folder: str) -> list[str]:
        """Return what lies in a folder, without hidden names, in order; nothing where there is no such folder."""
        ...

    @contextmanager
    def lend(self, name: str) -> Iterator[Path]:
        """Lend a file or folder as a path on this machine."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file or folder, if it is there."""
        ...

    @contextmanager
    def scratch(self, mark: str) -> Iterator[Path]:
        """Lend an empty folder on this machine that `put` can move from; it is removed afterwards."""
        ...

    def tidy(self) -> None:
        """Remove what killed workers left in scratch folders; nobody else may be at work."""
        ...


def open_store(place: str) -> Store:
    """Return the store of a path or URL.

    Raises:
        MissingExtra: A URL needs fsspec, or what fsspec needs for this kind of URL.
    """
    return RemoteStore(place) if is_url(place) else LocalStore(Path(place))


class LocalStore:
    """A folder of this machine, or one that all machines share."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, finished: Path, name: str) -> bool:
        """See `Store`."""
        return place(finished, self.root / name)

    def write(self, name: str, content: bytes) -> None:
        """See `Store`."""
        write_bytes(self.root / name, content)

    def read(self, name: str) -> bytes | None:
        """See `Store`."""
        try:
            return (self.root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def names(self, folder: str) -> list[str]:
        """See `Store`."""
        try:
            return sorted(path.name for path in (self.root / folder).iterdir() if not path.name.startswith("."))
        except FileNotFoundError:
            return []

    @contextmanager
    def lend(self, name: str) -> Iterator[Path]:
        """See `Store`."""
        yield self.root / name

    def remove(self, name: str) -> None:
        """See `Store`."""
        path = self.root / name
        if path.is_dir():
            # Out of the way in one step: a folder that is half removed must not be taken for a result.
            gone = Path(tempfile.mkdtemp(dir=self._scratch())) / "gone"
            path.rename(gone)
            shutil.rmtree(gone.parent, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    @contextmanager
    def scratch(self, mark: str) -> Iterator[Path]:
        """See `Store`."""
        try:
            folder = Path(tempfile.mkdtemp(prefix=f"{mark}-", dir=self._scratch()))
        except OSError as error:
            raise UsageError(f"cannot write {self.root}: {error.strerror}; choose another --out") from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def tidy(self) -> None:
        """See `Store`."""
        shutil.rmtree(self.root / SCRATCH, ignore_errors=True)

    def _scratch(self) -> Path:
        folder = self.root / SCRATCH
        folder.mkdir(parents=True, exist_ok=True)
        return folder


class RemoteStore:
    """What lies behind a URL; a file that is uploaded appears there as a whole, as object stores promise."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._files, self._root = filesystem(url)

    def put(self, finished: Path, name: str) -> bool:
        """See `Store`; of a folder, the file called ``done`` is the last to go."""
        target = f"{self._root}/{name}"
        folder = finished.is_dir()
        if self._files.exists(f"{target}/done" if folder else target):
            return False
        files = [finished] if not folder else [path for path in sorted(finished.rglob("*")) if path.is_file()]
        for file in sorted(files, key=lambda file: file.name == "done"):
            there = f"{target}/{file.relative_to(finished).as_posix()}" if folder else target
            self._files.makedirs(there.rpartition("/")[0], exist_ok=True)
            self._files.put_file(str(file), there)
        return True

    def write(self, name: str, content: bytes) -> None:
        """See `Store`."""
        target = f"{self._root}/{name}"
        self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
        self._files.pipe_file(target, content)

    def read(self, name: str) -> bytes | None:
        """See `Store`."""
        try:
            return self._files.cat_file(f"{self._root}/{name}")
        except FileNotFoundError:
            return None

    def names(self, folder: str) -> list[str]:
        """See `Store`."""
        try:
            # What fsspec remembers of a listing is not what other machines wrote since.
            self._files.invalidate_cache()
            found = self._files.ls(f"{self._root}/{folder}", detail=False)
        except FileNotFoundError:
            return []
        names = (str(path).rstrip("/").rpartition("/")[2] for path in found)
        return sorted(name for name in names if not name.startswith("."))

    @contextmanager
    def lend(self, name: str) -> Iterator[Path]:
        """See `Store`."""
        with tempfile.TemporaryDirectory(prefix="selfvos-") as folder:
            local = Path(folder) / name.rpartition("/")[2]
            self._files.get(f"{self._root}/{name}", str(local), recursive=True)
            yield local

    def remove(self, name: str) -> None:
        """See `Store`."""
        target = f"{self._root}/{name}"
        if self._files.exists(f"{target}/done"):  # what has lost it is no result any more
            self._files.rm(f"{target}/done")
        if self._files.exists(target):
            self._files.rm(target, recursive=True)

    @contextmanager
    def scratch(self, mark: str) -> Iterator[Path]:
        """See `Store`."""
        with tempfile.TemporaryDirectory(prefix=f"selfvos-{mark}-") as folder:
            yield Path(folder)

    def tidy(self) -> None:
        """See `Store`; temporary folders of other machines are theirs to empty."""


def filesystem(url: str) -> tuple[Any, str]:
    """Return what fsspec knows about a URL: the file system, and the path on it.

    Raises:
        MissingExtra: fsspec is not installed.
        UsageError: There is no such kind of URL, or its package is not installed.
    """
    need("fsspec", "scale", f"the URL {url}")
    import fsspec

    try:
        files, path = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:
        raise UsageError(f"{url} cannot be opened: {error}") from error
    except OSError as error:
        raise ResourceError(f"{url} cannot be reached: {error}") from error
    return files, path.rstrip("/")
