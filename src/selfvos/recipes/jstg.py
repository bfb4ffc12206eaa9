"""Joint space-time graph (ICCV 2021)."""

from dataclasses import replace

from selfvos.recipes.base import RECIPES
from selfvos.recipes.crw import crw_resnet18, later_joint
from selfvos.training.settings import ObjectiveSpec, TrainConfig


@RECIPES.register("jstg_resnet18")
def jstg_resnet18() -> TrainConfig:
    """Return the run of `crw_resnet18` on the joint space-time graph.

    Source:
        Zhao, Jin, Heng 2021: the data and patches of CRW. Batch, epochs and optimiser are CRW's too, inferred.
    """
    walks, graph = crw_resnet18(), ObjectiveSpec(name="jstg")
    return replace(walks, warmup=replace(walks.warmup, objectives=(graph,)), joint=later_joint(graph))
