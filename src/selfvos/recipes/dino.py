"""Self-distillation without labels (ICCV 2021), learned from video frames."""

from selfvos.data.clips import ClipConfig
from selfvos.models.segmenter import SegmenterConfig
from selfvos.recipes.base import RECIPES
from selfvos.recipes.crw import later_joint
from selfvos.training.settings import ObjectiveSpec, OptimizerConfig, PhaseConfig, PseudoMaskConfig, TrainConfig


@RECIPES.register("dino_resnet50")
def dino_resnet50() -> TrainConfig:
    """Return a run of self-distillation with ResNet-50: multi-crop views of two frames a clip, 100 epochs.

    Source:
        Caron et al. 2021 and its public code for views, head, prototypes and epochs. Departures: frames of videos for
        ImageNet; batches of 64 clips, hence 128 images, for 512 images (on 8 GPUs); Adam for SGD; a constant weight
        decay. Which stage its ResNet-50 row tracked with is not known here: layer3, as for the other methods, with
        the propagation of DINO.
    """
    distil = ObjectiveSpec(name="dino", settings={"prototypes": 65536})
    match = {"top_k": 5, "window": "square", "temperature": 0.1, "exempt_permanent": False}
    return TrainConfig(
        model=SegmenterConfig(backbone="resnet50", stride=8, last_stage=4, mask_path="full"),
        clips=ClipConfig(offsets=(0, 1, 2, 22), frame_step=2, crop_px=256),
        warmup=PhaseConfig(
            epochs=100,
            batch_clips=64,
            objectives=(distil,),
            optimizer=OptimizerConfig(
                lr=2.5e-4, betas=(0.9, 0.999), weight_decay=1e-4, bias_lr_factor=1.0, clip_norm=3.0, schedule="cosine"
            ),
        ),
        joint=later_joint(distil),
        pseudo_masks=PseudoMaskConfig(feature="layer3"),
        track={"feature": {"stage": "layer3"}, "refine": {"rounds": 0}, "memory": {"last": 7}, "match": match},
    )
