"""LIIR (CVPR 2022): MAST among the cells of other videos, with compact matches."""

from selfvos.data.clips import ClipConfig
from selfvos.models.segmenter import SegmenterConfig
from selfvos.ops.warp import CropConfig
from selfvos.recipes.base import RECIPES
from selfvos.recipes.crw import later_joint
from selfvos.training.settings import ObjectiveSpec, OptimizerConfig, PhaseConfig, PseudoMaskConfig, TrainConfig

_LIIR = ObjectiveSpec(name="liir")


@RECIPES.register("liir_resnet18")
def liir_resnet18() -> TrainConfig:
    """Return LIIR's run with ResNet-18 at stride 4: 600 passes over YouTube-VOS, batches of 12.

    ``--set joint.epochs=100`` joins the mask embedding; add ``--set track.refine.rounds=3`` to track with it.

    Source:
        Li et al. 2022, arXiv:2203.14333, unofficial code: MAST's pairs, batch and Adam, 30 epochs of 69,600 pairs,
        here 20 of each YouTube-VOS video. Departures: one phase, where the unofficial code first leaves other videos
        out and brings them in for 5 epochs at 1e-4; the rate halves every 100 passes; as in `mast_resnet18`,
        ResNet-18 ends after layer3 and frames are cut square. The joint phase is inferred.
    """
    optimizer = OptimizerConfig(
        lr=1e-3, betas=(0.9, 0.999), weight_decay=0.0, bias_lr_factor=1.0, clip_norm=0.0, halve_epochs=100
    )
    return TrainConfig(
        model=SegmenterConfig(backbone="resnet18", stride=4, last_stage=3, mask_path="full"),
        clips=ClipConfig(offsets=(0, 2, 5, 8), frame_step=1, crop=CropConfig(max_short_side=1.0, flip_probability=0.0)),
        warmup=PhaseConfig(epochs=600, batch_clips=12, objectives=(_LIIR,), optimizer=optimizer),
        joint=later_joint(_LIIR),
        pseudo_masks=PseudoMaskConfig(feature="layer3"),
        track={"feature": {"stage": "layer3"}, "refine": {"rounds": 0}},
    )
