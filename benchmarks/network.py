"""The network, watching and learning, in the precision that is fastest here, against eager float32."""

import copy

import torch
from torch.nn import functional as F

from benchmarks.compare import Entry, compare
from benchmarks.footage import frames, model
from selfvos.models.inference import for_inference
from selfvos.models.precision import autocast, decide
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.training.settings import ObjectiveSpec
from selfvos.training.step import TrainingStep
from selfvos.types import Clip

CPU = torch.device("cpu")


def encoder_bf16(repeats: int) -> Entry:
    """ResNet-18 to layer3 on a 480p frame: folded, channels last, bfloat16 where that is faster, against eager."""
    precision = decide("auto", CPU)
    ready, eager = for_inference(model()), model()
    frame = F.pad(torch.from_numpy(frames()[0]).permute(2, 0, 1)[None].float() / 255, (0, 2, 0, 0), mode="replicate")

    @torch.inference_mode()
    def ours() -> torch.Tensor:
        with autocast(precision, CPU):
            return ready.encode_frame(frame).stages["layer3"].float()

    @torch.inference_mode()
    def reference() -> torch.Tensor:
        return eager.encode_frame(frame).stages["layer3"]

    cosine = F.cosine_similarity(ours(), reference(), dim=1)
    assert cosine.mean() > 0.999, cosine.mean()
    text = f"{precision}; cosine mean {cosine.mean():.5f}, least {cosine.min():.5f}"
    return compare("encoder_bf16", (ours, reference), 2 * repeats + 3, text)


def train_step_bf16(repeats: int) -> Entry:
    """A step of `dul` on 4 clips of 3 frames of 256 px: channels last, bfloat16 where faster, against eager float32."""
    precision = decide("auto", CPU)
    torch.manual_seed(0)
    plain = Segmenter(SegmenterConfig(backbone="resnet18", last_stage=3, mask_path="none")).train()
    clip = Clip(frames=_clips(), index=torch.arange(3).expand(4, 3).contiguous())
    sides = {
        "ours": (copy.deepcopy(plain).to(memory_format=torch.channels_last), precision),
        "reference": (plain, "float32"),
    }

    def step(side: str) -> float:
        used = sides[side][1]
        module = steps[side]
        module.zero_grad()
        with autocast(used, CPU):
            loss, _ = module(clip, torch.Generator().manual_seed(0))
        loss.backward()
        return float(loss.detach())

    steps = {side: TrainingStep(network, (ObjectiveSpec(name="dul"),)) for side, (network, _) in sides.items()}
    losses = step("ours"), step("reference")
    assert abs(losses[0] / losses[1] - 1) < 0.02, losses
    text = f"{precision}; first loss {losses[0]:.4f} and {losses[1]:.4f}"
    return compare("train_step_bf16", (lambda: step("ours"), lambda: step("reference")), repeats + 1, text)


def _clips() -> torch.Tensor:
    shown = torch.stack([torch.from_numpy(frames()[t]).permute(2, 0, 1)[:, 100:356, 200:456] for t in range(12)])
    return (shown.float() / 255).view(4, 3, 3, 256, 256)
