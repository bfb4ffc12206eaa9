"""Video object segmentation learned from unlabelled video.

The names below are all that most programs need; each is loaded when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfvos import recipes as recipes
    from selfvos.api import evaluate as evaluate
    from selfvos.api import load as load
    from selfvos.api import open_benchmark as open_benchmark
    from selfvos.api import score as score
    from selfvos.api import track as track
    from selfvos.api import train as train
    from selfvos.data.mask_png import read_mask as read_mask
    from selfvos.data.source import open_source as open_source
    from selfvos.evaluation.report import Report as Report
    from selfvos.projects.project import Project as Project
    from selfvos.settings import override as override
    from selfvos.tracking.settings import TrackConfig as TrackConfig
    from selfvos.tracking.system import make_tracker as make_tracker
    from selfvos.tracking.tracker import Tracker as Tracker

__version__ = "0.1.0"

_HOMES = {
    "load": "selfvos.api",
    "track": "selfvos.api",
    "train": "selfvos.api",
    "evaluate": "selfvos.api",
    "score": "selfvos.api",
    "open_benchmark": "selfvos.api",
    "open_source": "selfvos.data.source",
    "read_mask": "selfvos.data.mask_png",
    "override": "selfvos.settings",
    "Project": "selfvos.projects.project",
    "Tracker": "selfvos.tracking.tracker",
    "make_tracker": "selfvos.tracking.system",
    "TrackConfig": "selfvos.tracking.settings",
    "Report": "selfvos.evaluation.report",
}
__all__ = [
    "Project",
    "Report",
    "TrackConfig",
    "Tracker",
    "evaluate",
    "load",
    "make_tracker",
    "open_benchmark",
    "open_source",
    "override",
    "read_mask",
    "recipes",
    "score",
    "track",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "recipes":
        return importlib.import_module("selfvos.recipes")
    if name not in _HOMES:
        raise AttributeError(f"module 'selfvos' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
