"""What there is, by name."""

from pathlib import Path

from selfvos.api.weights import BUILT_IN
from selfvos.data.benchmarks.base import BENCHMARKS, Benchmark
from selfvos.errors import UsageError
from selfvos.models.backbones.base import BACKBONES
from selfvos.models.convert.base import FORMATS
from selfvos.objectives.base import OBJECTIVES
from selfvos.recipes import RECIPES
from selfvos.registry import Registry
from selfvos.tracking.presets import PRESETS
from selfvos.tracking.system import SYSTEMS
from selfvos.training.settings import TrainConfig


def names(kind: str) -> dict[str, str]:
    """Return what there is of a kind (recipes, objectives, backbones, benchmarks, presets, systems, formats, weights).

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
    }
    if kind == "weights":
        return dict(BUILT_IN)
    if kind not in registries:
        raise UsageError(f"nothing is called {kind!r}; list one of {', '.join([*registries, 'weights'])}")
    return registries[kind].described()


def recipe(name: str) -> TrainConfig:
    """Return the settings of a named recipe.

    Raises:
        UnknownName: No such recipe.
    """
    return RECIPES.get(name)()


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
