"""Recipes by name."""

from collections.abc import Callable

from selfvos.registry import Registry
from selfvos.training.settings import TrainConfig

RECIPES: Registry[Callable[[], TrainConfig]] = Registry("recipe", "selfvos.recipes")
