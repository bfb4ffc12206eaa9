"""Video object segmentation learned from unlabelled video.

The names below are all that most programs need; each is loaded when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfvos import recipes as recipes
    from selfvos.api import Choice as Choice
    from selfvos.api import MaskFile as MaskFile
    from selfvos.api import Project as Project
    from selfvos.api import Shot as Shot
    from selfvos.api import Span as Span
    from selfvos.api import VideoPredictor as VideoPredictor
    from selfvos.api import build_sam2_video_predictor as build_sam2_video_predictor
    from selfvos.api import demo_clip as demo_clip
    from selfvos.api import demo_mask as demo_mask
    from selfvos.api import evaluate as evaluate
    from selfvos.api import export as export
    from selfvos.api import import_track as import_track
    from selfvos.api import load as load
    from selfvos.api import open_benchmark as open_benchmark
    from selfvos.api import open_track as open_track
    from selfvos.api import read_track as read_track
    from selfvos.api import score as score
    from selfvos.api import track as track
    from selfvos.api import track_to as track_to
    from selfvos.api import train as train
    from selfvos.data.mask_png import read_mask as read_mask
    from selfvos.data.source import open_source as open_source
    from selfvos.evaluation.report import Report as Report
    from selfvos.settings import override as override
    from selfvos.stopping import StopFlag as StopFlag
    from selfvos.tracking.settings import TrackConfig as TrackConfig
    from selfvos.tracking.system import make_tracker as make_tracker
    from selfvos.tracking.tracker import Tracker as Tracker
    from selfvos.types import Watching as Watching

__version__ = "0.1.0"

_HOMES = {
    "Choice": "selfvos.api",
    "MaskFile": "selfvos.api",
    "Project": "selfvos.api",
    "Report": "selfvos.evaluation.report",
    "Shot": "selfvos.api",
    "Span": "selfvos.api",
    "StopFlag": "selfvos.stopping",
    "TrackConfig": "selfvos.tracking.settings",
    "Tracker": "selfvos.tracking.tracker",
    "VideoPredictor": "selfvos.api",
    "Watching": "selfvos.types",
    "build_sam2_video_predictor": "selfvos.api",
    "demo_clip": "selfvos.api",
    "demo_mask": "selfvos.api",
    "evaluate": "selfvos.api",
    "export": "selfvos.api",
    "import_track": "selfvos.api",
    "load": "selfvos.api",
    "make_tracker": "selfvos.tracking.system",
    "open_benchmark": "selfvos.api",
    "open_source": "selfvos.data.source",
    "open_track": "selfvos.api",
    "override": "selfvos.settings",
    "read_mask": "selfvos.data.mask_png",
    "read_track": "selfvos.api",
    "score": "selfvos.api",
    "track": "selfvos.api",
    "track_to": "selfvos.api",
    "train": "selfvos.api",
}

__all__ = [
    "Choice",
    "MaskFile",
    "Project",
    "Report",
    "Shot",
    "Span",
    "StopFlag",
    "TrackConfig",
    "Tracker",
    "VideoPredictor",
    "Watching",
    "build_sam2_video_predictor",
    "demo_clip",
    "demo_mask",
    "evaluate",
    "export",
    "import_track",
    "load",
    "make_tracker",
    "open_benchmark",
    "open_source",
    "open_track",
    "override",
    "read_mask",
    "read_track",
    "recipes",
    "score",
    "track",
    "track_to",
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
