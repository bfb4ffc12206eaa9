"""The label-propagation settings of published methods, by name.

Origin: the public test code of each method, as gathered in one table [X]; what else is inferred [I] is said below. All
are settings of one tracker, which departs from these programs alike: frames are resized by bicubic interpolation and
padded by repeating their border, and exactly k cells are kept where a threshold at the k-th value keeps ties as well.
"""

import math
from dataclasses import replace

from selfvos.ops.matching import MatchConfig
from selfvos.ops.window_attention import AttendConfig
from selfvos.registry import Registry
from selfvos.tracking.settings import LabelConfig, SystemSpec, TrackConfig

PRESETS: Registry[TrackConfig] = Registry("preset", "selfvos.tracking")
"""The last frames of a preset are remembered besides the first one, where nothing else is said."""


def _preset(name: str, about: str, config: TrackConfig) -> TrackConfig:
    return PRESETS.register(name, about=about)(config)


_LAST_BLOCK = "block12"
_POINTWISE = LabelConfig(down="bilinear")
_STRETCHED = LabelConfig(down="nearest", min_max="shown")

_preset("mask-vos", "the paper: key, three refinement rounds", TrackConfig())
_preset("mask-vos-propagation", "the paper without refinement", TrackConfig(rounds=0))
_preset(
    "crw",
    "CRW: layer3, last 20, top 10 in a circle of 12, the first frame everywhere, its copies at the start",
    # Departure: cells get the mean of a mask, not its value at their centre.
    TrackConfig(rounds=0, feature="layer3", pad_start=True),
)
_preset(
    "dul",
    "DUL: layer4, last 20, top 10 in a circle of 12, the first frame everywhere",
    # Departures: cells get the mean of a mask, not its value at a place, and corners are not aligned; frames where
    # objects appear share one memory.
    TrackConfig(rounds=0, feature="layer4"),
)

_VFS = _preset(
    "vfs",
    "VFS on ResNet-18: layer3, last 20, top 10 in a circle of 12",
    TrackConfig(
        rounds=0,
        feature="layer3",
        match=MatchConfig(temperature=0.07, exempt_permanent=False),
        labels=_STRETCHED,
        lost_below=0.0,
    ),
)
_preset(
    "vfs-resnet50",
    "VFS on ResNet-50: layer3, last 20, top 10 in a circle of 18",
    replace(_VFS, match=replace(_VFS.match, radius_cells=18.0)),
)

_DINO = _preset(
    "dino",
    "DINO, patches of 8 or 16: last block, last 7, top 5 in a square of 12",
    TrackConfig(
        rounds=0,
        feature=_LAST_BLOCK,
        last=7,
        match=MatchConfig(top_k=5, window="square", temperature=0.1, exempt_permanent=False),
        long_side_multiple=64,
        decide_at="tracked",
        labels=_STRETCHED,
        lost_below=0.0,
    ),
)
_preset(
    "rsp",
    "RSP: last block, last 30, top 7 in a square of 30, at 480x880",
    replace(
        _DINO,
        last=30,
        match=replace(_DINO.match, top_k=7, radius_cells=30.0),
        size_px=(480, 880),
        long_side_multiple=1,
    ),
)
_preset(
    "dinov3",
    "DINOv3: last block, last 7, top 5 in a circle of 12 and its edge, short side 960",
    replace(
        _DINO,
        # On whole cells, distances up to 12 are those below 12.01: the next is 12.04.
        match=MatchConfig(top_k=5, radius_cells=12.01, temperature=0.2, exempt_permanent=False),
        short_side_px=960,
        long_side_multiple=1,
        fit="stretch",
        decide_at="native",
        labels=replace(_STRETCHED, up="nearest"),
    ),
)

_WHOLE_FRAMES = MatchConfig(
    top_k=5, radius_cells=math.inf, temperature=1.0, per_frame=True, normalise="frame", exempt_permanent=False
)
_UVC = _preset(
    "uvc",
    "UVC: layer4 at its own length, last 7, top 5 of each whole frame",
    replace(_DINO, feature="layer4", unit_length=False, match=_WHOLE_FRAMES),
)
_preset("concorr", "ConCorr: as uvc, short side 560", replace(_UVC, short_side_px=560))
_preset(
    "timecycle",
    "TimeCycle: key, last 7, top 5 of each whole frame, at 480x480, stretched labels are carried on",
    # That frame 0 is copied to fill the start is its data loader's doing; ids are compared at the tracked size [I].
    TrackConfig(
        rounds=0,
        last=7,
        pad_start=True,
        match=replace(_WHOLE_FRAMES, temperature=512**-0.5),
        size_px=(480, 480),
        decide_at="tracked",
        labels=LabelConfig(down="bilinear", min_max="carried"),
        lost_below=0.0,
    ),
)

_REBUILT = TrackConfig(
    rounds=0,
    feature="embedding",
    unit_length=False,
    short_side_px=None,
    labels=LabelConfig(down="subsample", hard=True),
    lost_below=0.0,
)
_preset(
    "corrflow",
    "CorrFlow: embedding, the previous frame alone, all of a square of 6, hard labels",
    replace(_REBUILT, last=1, pinned=(), attend=AttendConfig(radius_cells=6)),
)
_MAST = _preset(
    "mast",
    "MAST: embedding, frames 0, 5, t-1, t-3, t-5, all of a square of 12 that follows its cell, hard labels",
    replace(
        _REBUILT, last=5, pinned=(0, 5), offsets=(1, 3, 5), attend=AttendConfig(radius_cells=12, recentre_after=15)
    ),
)
_preset(
    "liir",
    "LIIR: as mast, but all of a square of 14 that stays, and two peaks where a weight is clear",
    replace(
        _MAST,
        attend=AttendConfig(radius_cells=14, compact_above=0.1),
        labels=replace(_MAST.labels, object_gain=1.05),
    ),
)

_CROPMAE = _preset(
    "cropmae",
    "CropMAE: last block, last 20, top 7 in a circle of 20, the first frame everywhere, at 480x880",
    TrackConfig(
        rounds=0,
        feature=_LAST_BLOCK,
        pad_start=True,
        match=MatchConfig(top_k=7, radius_cells=20.0, temperature=0.7),
        size_px=(480, 880),
        labels=_POINTWISE,
        lost_below=0.0,
    ),
)
_SMTC = _preset(
    "smtc",
    "SMTC: last block, last 20, top 7 in a circle of 7, the first frame everywhere",
    # That native sides are rounded up to whole patches is inferred [I].
    replace(
        _CROPMAE,
        match=MatchConfig(top_k=7, radius_cells=7.0, temperature=0.2),
        size_px=None,
        short_side_px=None,
        fit="stretch",
    ),
)
_preset(
    "smtc-fine",
    "SMTC at twice the rows and columns: top 28 in a circle of 35",
    # That features are interpolated, not patches taken at half the distance, is inferred [I].
    replace(_SMTC, feature_scale=2, match=replace(_SMTC.match, top_k=28, radius_cells=35.0)),
)
_preset(
    "osvos",
    "supervised: OSVOS, each object's first mask fine-tunes a network (slow start)",
    TrackConfig(rounds=0, system=SystemSpec(name="osvos")),
)
