"""Self-cycle consistency (CVPR 2022)."""

from dataclasses import replace

from selfvos.recipes.base import RECIPES
from selfvos.recipes.crw import crw_resnet18, later_joint
from selfvos.training.settings import ObjectiveSpec, TrainConfig


@RECIPES.register("scr_resnet18")
def scr_resnet18() -> TrainConfig:
    """Return the run of `crw_resnet18` with all pairs of frames linked.

    Source:
        Son 2022, which builds on CRW. Clips, batch, epochs and optimiser are CRW's, inferred.
    """
    walks, graph = crw_resnet18(), ObjectiveSpec(name="scr")
    return replace(walks, warmup=replace(walks.warmup, objectives=(graph,)), joint=later_joint(graph))
