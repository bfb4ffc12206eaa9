"""Which videos of a benchmark are tracked already, and how: what lets a run that was stopped go on."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selfvos.errors import UsageError
from selfvos.settings import from_dict, to_dict
from selfvos.storage import write_text
from selfvos.tracking.settings import TrackConfig


def asked_of(weights: str, benchmark: str, root: Path, config: TrackConfig) -> dict[str, Any]:
    """Return all that decides what tracking a benchmark gives, ready for JSON.

    Args:
        weights: Hash of the network's weights.
        benchmark: Name of the protocol.
        root: Folder of its data set.
        config: How to track.
    """
    return {"weights": weights, "benchmark": benchmark, "root": str(root.resolve()), "track": to_dict(config)}


def same_asked(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether two runs give the same; settings that did not exist when the first began have their defaults."""
    try:
        configs = [from_dict(TrackConfig, asked.get("track", {})) for asked in (before, now)]
    except UsageError:  # written by another version, with other settings
        return False
    rest = [{name: value for name, value in asked.items() if name != "track"} for asked in (before, now)]
    return configs[0] == configs[1] and rest[0] == rest[1]


class TrackedVideos:
    """The list of finished videos beside their masks: ``tracked.json``, there until all are scored."""

    def __init__(self, out: Path, asked: Mapping[str, Any]) -> None:
        """Read the list that an earlier run left, if it was asked the same.

        Args:
            out: Folder of the run.
            asked: See `asked_of`.
        """
        self._path = out / "tracked.json"
        self._asked = dict(asked)
        self.seconds: dict[str, list[float]] = self._before()
        """By video: seconds of its frames, as far as they were taken."""

    def add(self, video: str, seconds: Sequence[float] = ()) -> None:
        """Note that all results of a video are written."""
        self.seconds[video] = list(seconds)
        write_text(self._path, json.dumps({**self._asked, "videos": self.seconds}) + "\n")

    def remove(self) -> None:
        """Forget them: there is nothing to go on with."""
        self._path.unlink(missing_ok=True)

    def _before(self) -> dict[str, list[float]]:
        if not self._path.is_file():
            return {}
        before = json.loads(self._path.read_text())
        videos = before.pop("videos")
        return videos if same_asked(before, self._asked) else {}
