"""What weights of version 1 say of themselves, in the words of this one."""

from collections.abc import Mapping
from typing import Any

from selfvos.models.weights_notes import WeightsNotes

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


def read_version_1(notes: Mapping[str, Any]) -> WeightsNotes:
    """Return notes of version 1: anything in a dictionary, of which some things were always called the same.

    Supervision was told by a folder of true masks in the recipe.
    """
    recipe = notes.get("recipe", {})
    return WeightsNotes(
        recipe=dict(recipe),
        steps=notes.get("steps", notes.get("total")),
        track=nested_track(notes.get("track", {})),
        supervision="true masks" if recipe.get("true_masks") else "none",
        format=notes.get("format", ""),
        untrained=tuple(notes.get("untrained", ())),
        pieces=tuple(notes.get("pieces", ())),
    )


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
