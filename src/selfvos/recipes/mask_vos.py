"""Unified mask embedding and correspondence learning (CVPR 2023): the system that selfvos is built around."""

from dataclasses import replace

from selfvos.data.clips import ClipConfig
from selfvos.data.photos import PhotoConfig
from selfvos.models.segmenter import SegmenterConfig
from selfvos.ops.paste import PasteConfig
from selfvos.ops.warp import CropConfig
from selfvos.recipes.base import RECIPES
from selfvos.training.settings import ObjectiveSpec, OptimizerConfig, PhaseConfig, PseudoMaskConfig, TrainConfig

_SHORT = ObjectiveSpec(name="l_short")
_LONG = ObjectiveSpec(name="l_long")
_SEG = ObjectiveSpec(name="l_seg")


@RECIPES.register("mask_vos_resnet18")
def mask_vos_resnet18() -> TrainConfig:
    """Return the paper's run with ResNet-18: 120 epochs of warm-up, 100 joint ones, masks refreshed every 10.

    Source:
        Mask-VOS, Table 4 for losses, M = 5 and the refresh period; released code for optimiser, batch and crop.
        The paper prints no number of epochs: 120 is the released warm-up checkpoint, 100 is inferred.
    """
    return TrainConfig(
        model=SegmenterConfig(backbone="resnet18", last_stage=4, mask_path="full"),
        clips=ClipConfig(),
        warmup=PhaseConfig(epochs=120, batch_clips=16, objectives=(_SHORT, _LONG)),
        joint=PhaseConfig(
            epochs=100,
            batch_clips=12,
            objectives=(_SEG, _SHORT, _LONG),
            optimizer=OptimizerConfig(lr=1e-5, mask_lr=1e-4),
        ),
        pseudo_masks=PseudoMaskConfig(refresh_epochs=10),
    )


@RECIPES.register("mask_vos_resnet50")
def mask_vos_resnet50() -> TrainConfig:
    """Return the paper's run with ResNet-50, cut after layer3 as in the released code."""
    return replace(mask_vos_resnet18(), model=SegmenterConfig(backbone="resnet50", last_stage=3, mask_path="full"))


@RECIPES.register("mask_vos_resnet18_tiny")
def mask_vos_resnet18_tiny() -> TrainConfig:
    """Return a run of both phases that two laptop cores finish within half an hour.

    ResNet-18 to layer3 with the slim mask path, on small crops. The released code's objective warms up, since it
    learns most per step; the paper's losses join with L_seg. Each round of pseudo masks takes a sample of the videos.
    V and D have no weight decay: the gradient of L_seg is small, and Adam would follow the decay alone.
    """
    optimizer = OptimizerConfig(lr=1e-3, schedule="cosine", warm_steps=20, betas=(0.9, 0.999))
    return TrainConfig(
        model=SegmenterConfig(backbone="resnet18", last_stage=3, mask_path="slim"),
        clips=ClipConfig(offsets=(0, 2, 6), frame_step=1, crop_px=192),
        warmup=PhaseConfig(
            epochs=8,
            steps_per_epoch=30,
            batch_clips=6,
            objectives=(ObjectiveSpec(name="dul"),),
            optimizer=optimizer,
        ),
        joint=PhaseConfig(
            epochs=6,
            steps_per_epoch=20,
            batch_clips=6,
            objectives=(_SEG, _SHORT, _LONG),
            optimizer=replace(optimizer, lr=1e-4, mask_lr=1e-3, weight_decay=0.0),
        ),
        pseudo_masks=PseudoMaskConfig(
            refresh_epochs=2, feature="layer3", short_side_px=224, max_videos=48, max_frames=10
        ),
        track={"feature": {"stage": "layer3"}, "refine": {"rounds": 1}},
    )


@RECIPES.register("mask_vos_resnet18_small")
def mask_vos_resnet18_small() -> TrainConfig:
    """Return the run that the weights which ship came from: an hour and a half on two cores, most of it correspondence.

    The tiny run's warm-up, six times as long. V and D then learn with the encoder frozen, from what tracking will
    show them: the ten best matches of whitened ``layer2`` and ``layer3``, a first mask that is true, their own masks in
    memory after it, with flaws, clusters whose outlines follow the picture, and objects that fly through the clip with
    outlines known to the pixel. Between the two the encoder that ships had 900 steps more on larger crops;
    docs/results.md has the commands.
    """
    tiny = mask_vos_resnet18_tiny()
    matched = {"feature": "layer2+layer3", "whiten": {"shrinkage": 0.03, "channels": 192}}
    shown = {"top_k": 10, "own_memory": True, "perturb": 0.5, "perturbed": "later"}
    seg = ObjectiveSpec(name="l_seg", settings={**matched, **shown})
    masks = tiny.pseudo_masks
    return replace(
        tiny,
        warmup=replace(tiny.warmup, epochs=50),
        joint=PhaseConfig(
            epochs=20,
            steps_per_epoch=20,
            batch_clips=4,
            objectives=(seg,),
            optimizer=replace(tiny.joint.optimizer, lr=0.0),
        ),
        pseudo_masks=replace(
            masks,
            refresh_epochs=10,
            objects=replace(masks.objects, edge_px=10),
            paste=PasteConfig(probability=0.5),
            max_videos=80,
            max_frames=8,
        ),
        track={
            "feature": {"stage": matched["feature"], "whiten": matched["whiten"]},
            "match": {"radius_cells": 18.0, "top_k": 6, "temperature": 0.14},
            "labels": {"scale": 4, "restore_contrast": True},
            "refine": {"rounds": 1, "remember": "changes"},
            "show": {"edge_px": 12},
        },
    )


@RECIPES.register("mask_vos_resnet18_long")
def mask_vos_resnet18_long() -> TrainConfig:
    """Return one long schedule for the network that ships: days of two cores beside other work, or a night of a GPU.

    The small run's two stages of correspondence in one, on larger crops, with frames up to a second apart, photographs
    among the videos, and the mean of the weights instead of the last ones. V and D learn as in the small run. To go on
    from weights that are there, start with them and a lower rate; docs/results.md has what was run.
    """
    small = mask_vos_resnet18_small()
    return replace(
        small,
        clips=ClipConfig(
            offsets=(0, 3, 8), frame_step=2, crop_px=256, crop=CropConfig(max_short_side=1.5), photos=PhotoConfig()
        ),
        warmup=PhaseConfig(
            epochs=100,
            steps_per_epoch=100,
            batch_clips=4,
            objectives=(ObjectiveSpec(name="dul"),),
            optimizer=OptimizerConfig(lr=5e-4, schedule="cosine", warm_steps=100, betas=(0.9, 0.999)),
        ),
        ema_decay=0.995,
    )


@RECIPES.register("mask_vos_resnet18_wide")
def mask_vos_resnet18_wide() -> TrainConfig:
    """Return the small run with the wide pair of V and D, which learns to mend what label propagation makes of clips.

    In most clips the object comes out of another one: bent, turned, half hidden first and whole later, so that the
    target is known to the pixel and shows what memory has not seen. Masks to be mended are carried as in tracking.
    ``--init`` with weights of the small run and ``--set warmup.epochs=0`` train V and D alone.
    """
    small = mask_vos_resnet18_small()
    label = {"scale": 4, "restore_contrast": True, "reach_cells": 18.0, "align": {"reach": 1, "inertia": 0.01}}
    match = {"radius_cells": 18.0, "top_k": 6, "temperature": 0.14}
    mend = ObjectiveSpec(
        name="l_refine",
        settings={
            "objects": 1,
            "frames": 4,
            "feature": "layer2+layer3",
            "whiten": {"shrinkage": 0.03, "channels": 192},
            "carry": {"match": match, **label},
            "perturb": 0.15,
        },
    )
    masks = small.pseudo_masks
    return replace(
        small,
        model=replace(small.model, mask_path="wide"),
        clips=ClipConfig(offsets=(0, 2, 5, 9), frame_step=1, crop_px=256, crop=CropConfig(max_short_side=1.5)),
        joint=PhaseConfig(
            epochs=50,
            steps_per_epoch=100,
            batch_clips=2,
            objectives=(mend,),
            optimizer=replace(small.joint.optimizer, mask_lr=5e-4, warm_steps=50),
        ),
        pseudo_masks=replace(
            masks,
            refresh_epochs=0,
            objects=replace(masks.objects, objects=1, edge_px=10),
            paste=PasteConfig(probability=0.85, max_scale=2.0, reveal=0.5, bend=0.08),
            max_videos=80,
            max_frames=10,
        ),
        ema_decay=0.995,
        track={**small.track, "labels": label},
    )
