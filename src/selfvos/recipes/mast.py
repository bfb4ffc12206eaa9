"""MAST (CVPR 2020): a colour channel, rebuilt from another frame."""

from dataclasses import replace

from selfvos.data.clips import ClipConfig
from selfvos.models.segmenter import SegmenterConfig
from selfvos.ops.warp import CropConfig
from selfvos.recipes.base import RECIPES
from selfvos.recipes.crw import later_joint
from selfvos.training.settings import ObjectiveSpec, OptimizerConfig, PhaseConfig, PseudoMaskConfig, TrainConfig

_MAST = ObjectiveSpec(name="mast")


@RECIPES.register("mast_resnet18")
def mast_resnet18() -> TrainConfig:
    """Return MAST's run with ResNet-18 at stride 4: 400 passes over YouTube-VOS, batches of 12.

    ``--set joint.epochs=100`` joins the mask embedding; `mast_resnet18_l_seg` also tracks with it.

    Source:
        Lai et al. 2020, arXiv:2002.07793, released code: frames 2, 5 or 8 apart, batch, Adam. Inferred: its 20
        epochs show 70,000 pairs each, here 20 of each YouTube-VOS video; the rate halves every 100 passes, where the
        released code waits for 400,000 pairs and then 200,000 each. Departures: ResNet-18 ends after layer3, whose
        256 channels the paper's last stage has too; frames are cut square instead of squeezed.
    """
    optimizer = OptimizerConfig(
        lr=1e-3, betas=(0.9, 0.999), weight_decay=0.0, bias_lr_factor=1.0, clip_norm=0.0, halve_epochs=100
    )
    return TrainConfig(
        model=SegmenterConfig(backbone="resnet18", stride=4, last_stage=3, mask_path="full"),
        clips=ClipConfig(offsets=(0, 2, 5, 8), frame_step=1, crop=CropConfig(max_short_side=1.0, flip_probability=0.0)),
        warmup=PhaseConfig(epochs=400, batch_clips=12, objectives=(_MAST,), optimizer=optimizer),
        joint=later_joint(_MAST),
        pseudo_masks=PseudoMaskConfig(feature="layer3"),
        track={"feature": {"stage": "layer3"}, "refine": {"rounds": 0}},
    )


@RECIPES.register("mast_resnet18_l_seg")
def mast_resnet18_l_seg() -> TrainConfig:
    """Return MAST's run followed by 100 epochs together with the mask embedding.

    Source:
        Mask-VOS, Table 4f, MAST + L_seg; the number of epochs and the rates are inferred.
    """
    mast = mast_resnet18()
    return replace(mast, joint=replace(mast.joint, epochs=100), track={})
