"""What there is, by name."""

from collections.abc import Sequence
from pathlib import Path

from selfvos.api.weights import BUILT_IN
from selfvos.data.benchmarks.base import BENCHMARKS, Benchmark
from selfvos.errors import UsageError
from selfvos.formats.base import FORMATS
from selfvos.models.backbones.base import BACKBONES
from selfvos.models.convert.base import FORMATS as CHECKPOINTS
from selfvos.objectives.base import OBJECTIVES
from selfvos.recipes import RECIPES
from selfvos.registry import Registry
from selfvos.settings import override
from selfvos.tracking.presets import PRESETS
from selfvos.tracking.system import SYSTEMS
from selfvos.training.settings import TrainConfig


def names(kind: str) -> dict[str, str]:
    """Return what there is of a kind, such as recipes, presets, formats of tracks or checkpoints that can be converted.

    Raises:
        UsageError: No such kind.
    """
    registries: dict[str, Registry] = {
        "recipes": RECIPES,
        "objectives": OBJECTIVES,
        "backbones": BACKBONES,
        "benchmarks": BENCHMARKS,
        "presets": PRESETS,
        "systems": SYSTEMS,
        "formats": FORMATS,
        "checkpoints": CHECKPOINTS,
    }
    if kind == "weights":
        return dict(BUILT_IN)
    if kind not in registries:
        raise UsageError(f"nothing is called {kind!r}; list one of {', '.join([*registries, 'weights'])}")
    return registries[kind].described()


def recipe(name: str, sets: Sequence[str] = ()) -> TrainConfig:
    """Return the settings of a named recipe.

    Args:
        name: See `names`.
        sets: Settings to change, as in ``seed=1``; see `selfvos.settings.override`.

    Raises:
        UsageError: No such recipe or setting, or a value that the setting does not accept.
    """
    return override(RECIPES.get(name)(), sets)


def open_benchmark(name: str, root: str | Path) -> Benchmark:
    """Return the videos of a benchmark, with the masks that are given and those that are kept back.

    Args:
        name: Of the protocol.
        root: Folder of the data set.

    Raises:
        UnknownName: No such benchmark.
        DataError: The folder does not hold that data set.
    """
    return BENCHMARKS.get(name)(Path(root))
