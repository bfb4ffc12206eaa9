"""What was learned on this machine: one folder each, with what it learned from, its numbers, pictures and weights."""

import json
import math
import re
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from selfvos.errors import DataError, UsageError
from selfvos.storage import write_text

_ID = re.compile(r"r[0-9a-f]{12}")
_PICTURE = re.compile(r"\d{6}\.png")
_ABOUT = "learning.json"
_MOST_POINTS = 400


@dataclass(frozen=True, kw_only=True)
class Learning:
    """What is learned from, and for how long."""

    name: str
    videos: Sequence[str]
    """Paths on this machine."""
    names: Sequence[str]
    """What the page calls them."""
    steps: int
    made: str = ""
    """When, in ISO 8601."""


class LearnedShelf:
    """Finds learnings by id. No id reaches outside the folder."""

    def __init__(self, folder: Path) -> None:
        """Remember the folder; it is made with the first learning."""
        self._folder = folder

    def ids(self) -> list[str]:
        """Return all, the latest first."""
        found = [path for path in self._folder.glob("r*") if _ID.fullmatch(path.name) and (path / _ABOUT).is_file()]
        return [path.name for path in sorted(found, key=lambda path: (path / _ABOUT).stat().st_mtime, reverse=True)]

    def create(self, learning: Learning) -> str:
        """Write down what is to be learned and return its id."""
        id = f"r{secrets.token_hex(6)}"
        facts = {**asdict(learning), "made": datetime.now(UTC).isoformat(timespec="seconds")}
        write_text(self._folder / id / _ABOUT, json.dumps(facts, indent=1) + "\n")
        return id

    def folder(self, id: str) -> Path:
        """Return the folder of one.

        Raises:
            UsageError: There is no such learning.
        """
        if not _ID.fullmatch(id) or not (self._folder / id / _ABOUT).is_file():
            raise UsageError("no such learning")
        return self._folder / id

    def about(self, id: str) -> Learning:
        """Return what is learned.

        Raises:
            UsageError: There is no such learning.
            DataError: Its file is damaged.
        """
        path = self.folder(id) / _ABOUT
        try:
            return Learning(**json.loads(path.read_text("utf-8")))
        except (ValueError, TypeError) as error:
            raise DataError(f"{path} is damaged ({error}); remove its folder") from error

    def curve(self, id: str) -> list[dict[str, Any]]:
        """Return step and losses of the steps so far, at most a few hundred of them; a torn last line is left out."""
        try:
            lines = (self.folder(id) / "run" / "metrics.jsonl").read_text("utf-8").splitlines()
        except FileNotFoundError:
            return []
        # The last one is always among them.
        kept = lines[:: -max(1, math.ceil(len(lines) / _MOST_POINTS))][::-1]
        return [point for line in kept if (point := _point(line)) is not None]

    def pictures(self, id: str) -> list[str]:
        """Return the names of the pictures so far, in order of steps."""
        folder = self.folder(id) / "pictures"
        return sorted(path.name for path in folder.glob("*.png") if _PICTURE.fullmatch(path.name))

    def picture(self, id: str, name: str) -> Path:
        """Return where a picture lies.

        Raises:
            UsageError: There is none.
        """
        if name not in self.pictures(id):
            raise UsageError("no such picture")
        return self.folder(id) / "pictures" / name

    def finished(self, id: str) -> bool:
        """Say whether there are weights."""
        return (self.folder(id) / "run" / "weights.safetensors").is_file()

    def weights(self, id: str) -> str:
        """Return where the weights lie.

        Raises:
            UsageError: There are none yet.
        """
        if not self.finished(id):
            raise UsageError(f"{self.about(id).name} has not learned to the end yet; let it go on first")
        return str(self.folder(id) / "run" / "weights.safetensors")

    def remove(self, id: str) -> None:
        """Remove one, with its weights."""
        shutil.rmtree(self.folder(id))


def _point(line: str) -> dict[str, Any] | None:
    try:
        facts = json.loads(line)
        point = {"step": int(facts["step"]), "loss": float(facts["loss"])}
    except (ValueError, KeyError, TypeError):
        return None
    return point if math.isfinite(point["loss"]) else None
