"""The label-propagation settings of published methods, by name."""

from selfvos.ops.matching import MatchConfig
from selfvos.registry import Registry
from selfvos.tracking.settings import SystemSpec, TrackConfig

PRESETS: Registry[TrackConfig] = Registry("preset", "selfvos.tracking")
"""All but the supervised ones remember the first and last 20 frames and match the top 10 within a radius of 12."""

_VFS = MatchConfig(temperature=0.07, exempt_permanent=False)

PRESETS.register("mask-vos", about="the paper: key, three refinement rounds")(TrackConfig())
PRESETS.register("mask-vos-propagation", about="the paper without refinement")(TrackConfig(rounds=0))
PRESETS.register("crw", about="CRW: layer3, first frame matched everywhere")(TrackConfig(rounds=0, feature="layer3"))
PRESETS.register("dul", about="DUL: layer4, first frame matched everywhere")(TrackConfig(rounds=0, feature="layer4"))
PRESETS.register("vfs", about="VFS: layer3, temperature 0.07, first frame restricted too")(
    TrackConfig(rounds=0, feature="layer3", match=_VFS)
)
PRESETS.register("osvos", about="supervised: OSVOS, each object's first mask fine-tunes a network (slow start)")(
    TrackConfig(rounds=0, system=SystemSpec(name="osvos"))
)
