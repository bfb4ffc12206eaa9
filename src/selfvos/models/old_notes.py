"""What weights of an earlier version say of themselves, in the words of this one."""

from collections.abc import Mapping
from typing import Any

_PLACES = {
    **{name: f"frame.{name}" for name in ("short_side_px", "size_px", "long_side_multiple", "fit", "precision")},
    "feature": "feature.stage",
    "feature_scale": "feature.scale",
    **{name: f"feature.{name}" for name in ("unit_length", "whiten")},
    "last": "memory.last",
    "pinned": "memory.permanent",
    "offsets": "memory.offsets",
    "label_scale": "labels.scale",
    "stretch": "labels.restore_contrast",
    "lost_below": "labels.lost_below",
    "rounds": "refine.rounds",
    "remember": "refine.remember",
    "snap_px": "show.edge_px",
    "decide_at": "show.decide_at",
}
"""Where each setting of tracking is that stood by itself in version 1."""
_GROUPS = ("system", "match", "labels", "points")
"""Groups that are what they were."""


def nested_track(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return tracking settings of version 1, one flat list, by question.

    Args:
        flat: Fields of `TrackConfig` as it was, missing ones at their defaults.
    """
    track: dict[str, Any] = {}
    for name, value in flat.items():
        if name in _GROUPS:
            track[name] = {**value, **track.get(name, {})}
        elif name in _PLACES:
            part, field = _PLACES[name].split(".")
            track.setdefault(part, {})[field] = value
    if "pad_start" in flat:
        track.setdefault("memory", {})["pad_start"] = "fill" if flat["pad_start"] else "never"
    if flat.get("attend") is not None:
        track["match"] = dict(flat["attend"])
    return track
