"""The label-propagation settings of published methods, by name.

Origin: the public test code of each method, as gathered in one table [X]; what else is inferred [I] is said below. All
are settings of one tracker, which departs from these programs alike: frames are resized by bicubic interpolation and
padded by repeating their border, and exactly k cells are kept where a threshold at the k-th value keeps ties as well.
Further departures, on purpose, where the code has something that looks like a slip or that a tracker cannot know:

* `vfs`, `vfs-resnet50`: their loop counts the first frame twice until 20 others have come; ``memory.pad_start=twice``
  does the same.
* `crw`, `dul`: an object that is nowhere likelier than ``labels.lost_below`` is shown as lost; their code knows no such
  thing, and 0 switches it off.
* `corrflow`: their code interpolates the numbers of objects; labels are interpolated here.
* `timecycle`: their code predicts the first frame from itself; here it is as drawn.
* `dinov3`: maps go up to the pixel's nearest cell by the centre of the pixel, not by its corner.
"""

import math
from dataclasses import replace

from selfvos.ops.matching import MatchConfig
from selfvos.ops.window_attention import AttendConfig
from selfvos.registry import Registry
from selfvos.tracking.settings import (
    FeatureConfig,
    FrameConfig,
    LabelConfig,
    MemoryConfig,
    RefineConfig,
    ShowConfig,
    SystemSpec,
    TrackConfig,
)

PRESETS: Registry[TrackConfig] = Registry("preset", "selfvos.tracking")
"""The last frames of a preset are remembered besides the first one, where nothing else is said."""


def _preset(name: str, about: str, config: TrackConfig) -> TrackConfig:
    return PRESETS.register(name, about=about)(config)


_PLAIN = RefineConfig(rounds=0)
_LAYER3 = FeatureConfig(stage="layer3")
_LAST_BLOCK = FeatureConfig(stage="block12")
_POINTWISE = LabelConfig(down="bilinear", lost_below=0.0)
_STRETCHED = LabelConfig(down="nearest", min_max="shown", lost_below=0.0)

_preset("mask-vos", "the paper: key, three refinement rounds", TrackConfig())
_preset("mask-vos-propagation", "the paper without refinement", TrackConfig(refine=_PLAIN))
_preset(
    "crw",
    "CRW: layer3, last 20, top 10 in a circle of 12, the first frame everywhere, its copies at the start",
    # Departure: cells get the mean of a mask, not its value at their centre.
    TrackConfig(refine=_PLAIN, feature=_LAYER3, memory=MemoryConfig(pad_start="fill")),
)
_preset(
    "dul",
    "DUL: layer4, last 20, top 10 in a circle of 12, the first frame everywhere, its copies at the start",
    # Departures: cells get the mean of a mask, not its value at a place, and corners are not aligned; frames where
    # objects appear share one memory.
    TrackConfig(refine=_PLAIN, feature=FeatureConfig(stage="layer4"), memory=MemoryConfig(pad_start="fill")),
)

_VFS = _preset(
    "vfs",
    "VFS on ResNet-18: layer3, last 20, top 10 in a circle of 12",
    TrackConfig(
        refine=_PLAIN,
        feature=_LAYER3,
        match=MatchConfig(temperature=0.07, exempt_permanent=False),
        labels=_STRETCHED,
    ),
)
_preset(
    "vfs-resnet50",
    "VFS on ResNet-50: layer3, last 20, top 10 in a circle of 18",
    replace(_VFS, match=MatchConfig(radius_cells=18.0, temperature=0.07, exempt_permanent=False)),
)

_DINO = _preset(
    "dino",
    "DINO, patches of 8 or 16: last block, last 7, top 5 in a square of 12",
    TrackConfig(
        refine=_PLAIN,
        frame=FrameConfig(long_side_multiple=64),
        feature=_LAST_BLOCK,
        memory=MemoryConfig(last=7),
        match=MatchConfig(top_k=5, window="square", temperature=0.1, exempt_permanent=False),
        labels=_STRETCHED,
        show=ShowConfig(decide_at="tracked"),
    ),
)
_preset(
    "rsp",
    "RSP: last block, last 30, top 7 in a square of 30, at 480x880",
    replace(
        _DINO,
        frame=FrameConfig(size_px=(480, 880)),
        memory=MemoryConfig(last=30),
        match=MatchConfig(top_k=7, radius_cells=30.0, window="square", temperature=0.1, exempt_permanent=False),
    ),
)
_preset(
    "dinov3",
    "DINOv3: last block, last 7, top 5 in a circle of 12 and its edge, short side 960",
    replace(
        _DINO,
        # On whole cells, distances up to 12 are those below 12.01: the next is 12.04.
        match=MatchConfig(top_k=5, radius_cells=12.01, temperature=0.2, exempt_permanent=False),
        frame=FrameConfig(short_side_px=960, fit="stretch"),
        show=ShowConfig(),
        labels=replace(_STRETCHED, up="nearest"),
    ),
)

_WHOLE_FRAMES = MatchConfig(
    top_k=5, radius_cells=math.inf, temperature=1.0, per_frame=True, normalise="frame", exempt_permanent=False
)
_UVC = _preset(
    "uvc",
    "UVC: layer4 at its own length, last 7, top 5 of each whole frame",
    replace(_DINO, feature=FeatureConfig(stage="layer4", unit_length=False), match=_WHOLE_FRAMES),
)
_preset("concorr", "ConCorr: as uvc, short side 560", replace(_UVC, frame=replace(_UVC.frame, short_side_px=560)))
_preset(
    "timecycle",
    "TimeCycle: key, last 7, top 5 of each whole frame, at 480x480, stretched labels are carried on",
    # That frame 0 is copied to fill the start is its data loader's doing; ids are compared at the tracked size [I].
    TrackConfig(
        refine=_PLAIN,
        frame=FrameConfig(size_px=(480, 480)),
        memory=MemoryConfig(last=7, pad_start="fill"),
        match=replace(_WHOLE_FRAMES, temperature=512**-0.5),
        labels=LabelConfig(down="bilinear", min_max="carried", lost_below=0.0),
        show=ShowConfig(decide_at="tracked"),
    ),
)

_REBUILT = TrackConfig(
    refine=_PLAIN,
    frame=FrameConfig(short_side_px=None),
    feature=FeatureConfig(stage="embedding", unit_length=False),
    labels=LabelConfig(down="subsample", hard=True, lost_below=0.0),
)
_preset(
    "corrflow",
    "CorrFlow: embedding, the previous frame alone, all of a square of 6, hard labels",
    replace(_REBUILT, memory=MemoryConfig(last=1, permanent=()), match=AttendConfig(radius_cells=6)),
)
_MAST = _preset(
    "mast",
    "MAST: embedding, frames 0, 5, t-1, t-3, t-5, all of a square of 12 that follows its cell, hard labels",
    replace(
        _REBUILT,
        memory=MemoryConfig(last=5, permanent=(0, 5), offsets=(1, 3, 5)),
        match=AttendConfig(radius_cells=12, recentre_after=15),
    ),
)
_preset(
    "liir",
    "LIIR: as mast, but all of a square of 14 that stays, and two peaks where a weight is clear",
    replace(
        _MAST,
        match=AttendConfig(radius_cells=14, compact_above=0.1),
        labels=replace(_MAST.labels, object_gain=1.05),
    ),
)

_CROPMAE = _preset(
    "cropmae",
    "CropMAE: last block, last 20, top 7 in a circle of 20, the first frame everywhere, at 480x880",
    TrackConfig(
        refine=_PLAIN,
        frame=FrameConfig(size_px=(480, 880)),
        feature=_LAST_BLOCK,
        memory=MemoryConfig(pad_start="fill"),
        match=MatchConfig(top_k=7, radius_cells=20.0, temperature=0.7),
        labels=_POINTWISE,
    ),
)
_SMTC = _preset(
    "smtc",
    "SMTC: last block, last 20, top 7 in a circle of 7, the first frame everywhere",
    replace(
        _CROPMAE,
        frame=FrameConfig(short_side_px=None, fit="shrink"),
        match=MatchConfig(top_k=7, radius_cells=7.0, temperature=0.2),
    ),
)
_preset(
    "smtc-fine",
    "SMTC at twice the rows and columns: top 28 in a circle of 35",
    # That features are interpolated, not patches taken at half the distance, is inferred [I].
    replace(
        _SMTC,
        feature=replace(_LAST_BLOCK, scale=2),
        match=MatchConfig(top_k=28, radius_cells=35.0, temperature=0.2),
    ),
)
_preset(
    "osvos",
    "supervised: OSVOS, each object's first mask fine-tunes a network (slow start)",
    TrackConfig(refine=_PLAIN, system=SystemSpec(name="osvos")),
)
