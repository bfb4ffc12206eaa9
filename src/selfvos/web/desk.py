"""The projects of this server, each open once, and one request at a time in each."""

import re
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfvos.api import Project
from selfvos.errors import DataError, SelfvosError, UsageError
from selfvos.web.frames import FrameShelf
from selfvos.web.settings import WebConfig

_ID = re.compile(r"p[0-9a-f]{12}")


@dataclass
class OpenProject:
    """A project that somebody looks at."""

    id: str
    project: Project
    frames: FrameShelf
    lock: threading.RLock = field(default_factory=threading.RLock)


class Desk:
    """Opens projects by id. No id reaches outside the folder of projects: it is looked up, never joined from parts."""

    def __init__(self, config: WebConfig) -> None:
        """Look after a folder, which is made if it is missing."""
        self.config = config
        self._open: dict[str, OpenProject] = {}
        self._lock = threading.Lock()
        config.projects.mkdir(parents=True, exist_ok=True)

    def ids(self) -> list[str]:
        """Return all projects, the one last worked on first."""
        found = [path for path in self.config.projects.iterdir() if _ID.fullmatch(path.name) and path.is_dir()]
        return [path.name for path in sorted(found, key=_touched, reverse=True)]

    def create(self, video: Path, name: str | None = None) -> str:
        """Make a project of a video and return its id.

        Raises:
            UsageError: No such video, or one that is too long or too large; nothing is left of the project.
        """
        id = f"p{secrets.token_hex(6)}"
        project = Project.create(self.config.projects / id, video, name=name)
        try:
            self._check(project)
        except UsageError:
            project.close()
            shutil.rmtree(project.folder, ignore_errors=True)
            raise
        with self._lock:
            self._open[id] = OpenProject(id, project, FrameShelf(project))
        return id

    def _check(self, project: Project) -> None:
        (height, width), most = project.size, self.config.most_pixels
        if project.count > self.config.most_frames:
            raise UsageError(f"{project.name} has {project.count} frames, more than {self.config.most_frames}")
        if height * width > most:
            raise UsageError(f"frames of {project.name} have {height * width} pixels, more than {most}")

    @contextmanager
    def use(self, id: str) -> Iterator[OpenProject]:
        """Lend a project; requests for the same one come one after the other.

        Raises:
            UsageError: There is none, or another program has it open.
        """
        with self._lock:
            one = self._open.get(id)
            if one is None:
                if id not in self.ids():
                    raise UsageError("no such project")
                project = Project.open(self.config.projects / id)
                one = self._open[id] = OpenProject(id, project, FrameShelf(project))
        with one.lock:
            yield one

    def remove(self, id: str) -> None:
        """Remove a project with all that was drawn and tracked; its video too, where it came as an upload of its own.

        Raises:
            UsageError: There is none, or another program has it open.
        """
        with self.use(id) as one:
            video, folder = Path(one.project.about["video"]), one.project.folder
            with self._lock:
                one.project.close()
                del self._open[id]
                shutil.rmtree(folder)
        uploads = (self.config.projects / "videos").resolve()
        if video.parent.resolve() == uploads and not any(self._shows(other, video) for other in self.ids()):
            video.unlink(missing_ok=True)

    def _shows(self, id: str, video: Path) -> bool:
        try:
            return Path(Project.look(self.config.projects / id).about["video"]) == video
        except SelfvosError:
            return True  # nobody knows what a damaged project is of

    def summary(self, id: str) -> dict[str, Any]:
        """Return what a list of projects shows of one; a damaged one says so."""
        try:
            with self.use(id) as one:
                project = one.project
                facts = {"name": project.name, "frames": project.count, "tracked": len(project.store.frames)}
                return {"id": id, **facts, "objects": len(project.objects), "video": project.about["video"]}
        except SelfvosError as error:
            return {"id": id, "name": id, "error": str(error)}

    def folder(self, id: str) -> Path:
        """Return the folder of a project that is there."""
        with self.use(id) as one:
            return one.project.folder

    def close(self) -> None:
        """Let other programs open the projects."""
        with self._lock:
            for one in self._open.values():
                one.project.close()
            self._open.clear()

    def below_root(self, path: str) -> Path:
        """Return a path below the folder that videos may be opened from.

        Raises:
            UsageError: It is none, or leads elsewhere.
        """
        try:
            root = self.config.root.resolve()
            found = (root / path).resolve()
        except (OSError, ValueError) as error:
            raise DataError("this path cannot be read") from error
        if not found.is_relative_to(root):
            raise UsageError(f"videos are opened from below {root} alone; start the page with another --root")
        return found


def _touched(path: Path) -> float:
    try:
        return max((path / name).stat().st_mtime for name in ("project.json", "edits.jsonl") if (path / name).exists())
    except (OSError, ValueError):
        return 0.0
