"""What there is, by name."""

from collections.abc import Mapping

from selfvos.api.weights import BUILT_IN
from selfvos.data.benchmarks.base import BENCHMARKS
from selfvos.errors import UsageError
from selfvos.models.backbones.base import BACKBONES
from selfvos.objectives.base import OBJECTIVES
from selfvos.recipes import RECIPES
from selfvos.tracking.presets import PRESETS
from selfvos.training.settings import TrainConfig


def names(kind: str) -> dict[str, str]:
    """Return what there is of a kind (recipes, objectives, backbones, benchmarks, presets, weights), described.

    Raises:
        UsageError: No such kind.
    """
    listed: dict[str, Mapping[str, object]] = {
        "recipes": {name: RECIPES.get(name) for name in RECIPES.names()},
        "objectives": {name: OBJECTIVES.get(name) for name in OBJECTIVES.names()},
        "backbones": {name: BACKBONES.get(name) for name in BACKBONES.names()},
        "benchmarks": {name: BENCHMARKS.get(name) for name in BENCHMARKS.names()},
        "presets": {name: PRESETS[name] for name in sorted(PRESETS)},
    }
    if kind == "weights":
        return dict(BUILT_IN)
    if kind not in listed:
        raise UsageError(f"nothing is called {kind!r}; list one of {', '.join([*listed, 'weights'])}")
    return {name: _first_line(thing) for name, thing in listed[kind].items()}


def recipe(name: str) -> TrainConfig:
    """Return the settings of a named recipe.

    Raises:
        UnknownName: No such recipe.
    """
    return RECIPES.get(name)()


def _first_line(thing: object) -> str:
    return (getattr(thing, "__doc__", None) or "").strip().partition("\n")[0]
