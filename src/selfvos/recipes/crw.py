"""Contrastive random walk (NeurIPS 2020), alone and together with mask embedding."""

from dataclasses import replace

from selfvos.data.clips import ClipConfig
from selfvos.models.segmenter import SegmenterConfig
from selfvos.recipes.base import RECIPES
from selfvos.training.settings import ObjectiveSpec, OptimizerConfig, PhaseConfig, PseudoMaskConfig, TrainConfig


def later_joint(*objectives: ObjectiveSpec) -> PhaseConfig:
    """Return a joint phase with L_seg that waits for its epochs: `joint.epochs=100` switches it on.

    Batch and rates are those of `mask_vos_resnet18`.
    """
    return PhaseConfig(
        epochs=0,
        batch_clips=12,
        objectives=(ObjectiveSpec(name="l_seg"), *objectives),
        optimizer=OptimizerConfig(lr=1e-5, mask_lr=1e-4),
    )


@RECIPES.register("crw_resnet18")
def crw_resnet18() -> TrainConfig:
    """Return the paper's run: walks through four frames, 25 epochs, batches of 20 clips.

    Source:
        Jabri et al. 2020 and its public code for clip length, batch, epochs, rate and the plain Adam. Departures:
        the rate is halved after 20 epochs (there: times 0.3); 15-fps video gives about 7 frames a second (there: 8).
        The key is no part of this objective, hence pseudo masks and tracking take layer3.
    """
    walk = ObjectiveSpec(name="crw")
    return TrainConfig(
        model=SegmenterConfig(backbone="resnet18", stride=8, last_stage=4, mask_path="full"),
        clips=ClipConfig(offsets=(0, 1, 2, 3), frame_step=2, crop_px=256),
        warmup=PhaseConfig(
            epochs=25,
            batch_clips=20,
            objectives=(walk,),
            optimizer=OptimizerConfig(
                lr=1e-4, betas=(0.9, 0.999), weight_decay=0.0, bias_lr_factor=1.0, clip_norm=0.0, halve_epochs=20
            ),
        ),
        joint=later_joint(walk),
        pseudo_masks=PseudoMaskConfig(feature="layer3"),
        track={"feature": {"stage": "layer3"}, "refine": {"rounds": 0}},
    )


@RECIPES.register("crw_resnet18_l_seg")
def crw_resnet18_l_seg() -> TrainConfig:
    """Return the run of `crw_resnet18` with 100 joint epochs of mask embedding after it.

    Source:
        Mask-VOS, Table 4f, CRW + L_seg. The number of epochs is that of `mask_vos_resnet18`, inferred there. L_seg
        trains the key, hence tracking matches it and refines masks, as with the paper's own objectives.
    """
    alone = crw_resnet18()
    return replace(alone, joint=replace(alone.joint, epochs=100), track={})
