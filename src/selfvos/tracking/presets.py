"""The label-propagation settings of published methods, by name."""

from selfvos.errors import UnknownName
from selfvos.ops.matching import MatchConfig
from selfvos.registry import nearest
from selfvos.tracking.settings import TrackConfig

PRESETS: dict[str, TrackConfig] = {
    "mask-vos": TrackConfig(),
    "mask-vos-propagation": TrackConfig(rounds=0),
    "crw": TrackConfig(rounds=0, feature="layer3"),
    "dul": TrackConfig(rounds=0, feature="layer4"),
    "vfs": TrackConfig(rounds=0, feature="layer3", match=MatchConfig(temperature=0.07, exempt_permanent=False)),
}
"""Mask-VOS in full and without refinement, CRW, DUL, VFS (all: first + last 20 frames, circle of radius 12, top 10)."""


def preset(name: str) -> TrackConfig:
    """Return a preset.

    Raises:
        UnknownName: No such preset.
    """
    if name not in PRESETS:
        raise UnknownName(f"unknown preset {name!r}{nearest(name, PRESETS)}")
    return PRESETS[name]
