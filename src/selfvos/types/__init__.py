"""The words that every floor shares: frames, tracks, watches, and what a network is asked.

Axis letters, everywhere the same: ``b`` batch, ``t`` time, ``o`` objects, ``c`` channels, ``y x`` pixels,
``h w`` feature cells, ``n`` memory frames, ``m`` flattened query cells, ``k`` kept matches.

Each name is loaded when it is first used: who needs frames alone, such as a server that shows them, loads no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfvos.types.network import Clip as Clip
    from selfvos.types.network import FrameFeatures as FrameFeatures
    from selfvos.types.network import LossTerms as LossTerms
    from selfvos.types.network import MaskContext as MaskContext
    from selfvos.types.network import SegmenterLike as SegmenterLike
    from selfvos.types.video import Box as Box
    from selfvos.types.video import Frame as Frame
    from selfvos.types.video import FrameRecord as FrameRecord
    from selfvos.types.video import Frames as Frames
    from selfvos.types.video import Mask as Mask
    from selfvos.types.video import ObjectRecord as ObjectRecord
    from selfvos.types.video import ObjectState as ObjectState
    from selfvos.types.video import Tracked as Tracked
    from selfvos.types.video import TrackedObject as TrackedObject
    from selfvos.types.video import TrackReader as TrackReader
    from selfvos.types.watch import Watch as Watch
    from selfvos.types.watch import Watching as Watching
    from selfvos.types.watch import go_on as go_on
    from selfvos.types.watch import ignore as ignore
    from selfvos.types.watch import renamed as renamed

_HOMES = {
    "Clip": "network",
    "FrameFeatures": "network",
    "LossTerms": "network",
    "MaskContext": "network",
    "SegmenterLike": "network",
    "Box": "video",
    "Frame": "video",
    "FrameRecord": "video",
    "Frames": "video",
    "Mask": "video",
    "ObjectRecord": "video",
    "ObjectState": "video",
    "Tracked": "video",
    "TrackedObject": "video",
    "TrackReader": "video",
    "Watch": "watch",
    "Watching": "watch",
    "go_on": "watch",
    "ignore": "watch",
    "renamed": "watch",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'selfvos.types' has no attribute {name!r}")
    return getattr(importlib.import_module(f"selfvos.types.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
