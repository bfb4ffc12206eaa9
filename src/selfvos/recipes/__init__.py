"""Complete training runs by name."""

from selfvos.recipes.adaptation import adaptation
from selfvos.recipes.base import RECIPES
from selfvos.recipes.mask_vos import (
    mask_vos_resnet18,
    mask_vos_resnet18_small,
    mask_vos_resnet18_tiny,
    mask_vos_resnet50,
)

__all__ = [
    "RECIPES",
    "adaptation",
    "mask_vos_resnet18",
    "mask_vos_resnet18_small",
    "mask_vos_resnet18_tiny",
    "mask_vos_resnet50",
]
