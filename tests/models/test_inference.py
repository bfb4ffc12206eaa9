import pytest
import torch
from torch import nn
from torch.nn import functional as F

from selfvos.models.inference import for_inference
from selfvos.models.precision import autocast
from selfvos.models.ready_layers import ReadyBasicBlock, ReadyConstant, ReadyConvolution, ReadyResBlock
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.ops import winograd
from selfvos.ops.threads import computing

CONFIGS = [
    SegmenterConfig(backbone="resnet18", last_stage=3, mask_path="slim"),
    SegmenterConfig(backbone="resnet18", last_stage=3, mask_path="wide"),
    SegmenterConfig(backbone="resnet18", last_stage=4, mask_path="full"),
    SegmenterConfig(backbone="resnet50", last_stage=3, mask_path="none"),
    SegmenterConfig(backbone="lab-patches", mask_path="none"),
]


def trained(config: SegmenterConfig) -> Segmenter:
    """Make a network whose normalisations have statistics, as after training."""
    torch.manual_seed(0)
    model = Segmenter(config)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.uniform_(module.running_mean, -0.3, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()


def norms(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.backbone}-{c.mask_path}")
@torch.no_grad()
def test_the_copy_sees_the_same(config):
    model = trained(config)
    before, state = norms(model), {name: value.clone() for name, value in model.state_dict().items()}
    ready = for_inference(model)
    frames = torch.rand(1, 3, 48, 64)
    wanted, found = model.encode_frame(frames), ready.encode_frame(frames)
    torch.testing.assert_close(found.key, wanted.key, atol=1e-5, rtol=1e-4)
    for name, stage in wanted.stages.items():
        assert F.cosine_similarity(found.stages[name], stage, dim=1).min() > 0.99999
    if model.mask_path is not None:
        masks = torch.rand(1, 2, 48, 64)
        logits = [
            m.decode_masks(context, values := m.encode_masks(context, masks), values)
            for m, context in ((m, m.prepare_masks(frames, m.encode_frame(frames))) for m in (model, ready))
        ]
        torch.testing.assert_close(logits[1], logits[0], atol=1e-3, rtol=1e-3)
    assert norms(ready) == 0
    assert norms(model) == before, "the original is not touched"
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@torch.no_grad()
def test_a_normalisation_by_the_frame_itself_stays():
    model = trained(CONFIGS[0])
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats, module.running_mean, module.running_var = False, None, None
    ready = for_inference(model)
    assert norms(ready) == norms(model) > 0
    frames = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(ready.encode_frame(frames).key, model.encode_frame(frames).key, atol=1e-4, rtol=1e-3)


@torch.no_grad()
def test_bfloat16_keeps_the_direction_of_features():
    model = for_inference(trained(CONFIGS[0]))
    frames = F.avg_pool2d(torch.rand(1, 3, 56, 72), 9, 1)
    wanted = model.encode_frame(frames).stages["layer3"]
    with autocast("bfloat16", frames.device):
        found = model.encode_frame(frames).stages["layer3"]
    assert found.dtype == torch.bfloat16
    assert F.cosine_similarity(found.float(), wanted, dim=1).mean() > 0.999


@pytest.fixture
def tiles():
    """Let tests run where convolutions are done in tiles."""
    if not winograd.is_worth_it():
        pytest.skip("this machine convolves as torch does")


@torch.no_grad()
def test_a_copy_sees_the_same_with_any_number_of_threads(tiles):
    frames = torch.rand(1, 3, 64, 96)
    ready = for_inference(trained(CONFIGS[0]))
    alone = ready.encode_frame(frames).base
    with computing(1, kernels=lambda: 3):
        together = ready.encode_frame(frames).base
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_blocks_of_the_copy_write_once(tiles):
    ready = for_inference(trained(CONFIGS[0]))
    kinds = [type(module) for module in ready.modules()]
    assert kinds.count(ReadyBasicBlock) == 6
    assert kinds.count(ReadyResBlock) == 3
    assert kinds.count(ReadyConvolution) == 11 + 6 + 1
    with autocast("bfloat16", torch.device("cpu")):
        assert ready.encode_frame(torch.rand(1, 3, 32, 32)).base.dtype == torch.bfloat16


@pytest.mark.parametrize("rectify", [False, True])
@torch.no_grad()
def test_weights_are_cast_once_and_to_what_autocast_would_cast_them_to(rectify, tiles):
    layer = nn.Conv2d(32, 16, 3, padding=1)
    ready, x, added = ReadyConvolution(layer), torch.randn(2, 32, 9, 8), torch.randn(2, 16, 9, 8)
    with autocast("bfloat16", torch.device("cpu")):
        wanted, half = layer(x), added.bfloat16()
        assert ready(x).equal(wanted)
        assert ready(x, half, rectify=rectify).equal(torch.relu(wanted + half) if rectify else wanted + half)
        mixed = ready(x, added, rectify=rectify)
        first = ready._weights("cpu")[0]
        assert ready._weights("cpu")[0] is first
    assert mixed.dtype == torch.float32, "what is added in full precision is not rounded"
    torch.testing.assert_close(ready(x), layer(x), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("rectify", [False, True])
@torch.no_grad()
def test_a_convolution_that_learned_nothing_is_its_bias(rectify):
    layer = nn.Conv2d(5, 3, (4, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2))
    assert not ReadyConstant.fits(layer)
    nn.init.zeros_(layer.weight)
    assert ReadyConstant.fits(layer)
    x = torch.rand(2, 5, 9, 8)
    wanted = layer(x)
    added = torch.randn_like(wanted)
    ready = ReadyConstant(layer)
    assert ready(x).equal(wanted)
    wanted = torch.relu(wanted + added) if rectify else wanted + added
    torch.testing.assert_close(ready(x, added, rectify=rectify), wanted)


@torch.no_grad()
def test_a_key_that_nobody_wants_is_not_made():
    model = trained(CONFIGS[0])
    frames = torch.rand(1, 3, 32, 32)
    with_key, without = model.encode_frame(frames), model.encode_frame(frames, keyed=False)
    assert with_key.key.shape[1] == 128
    assert without.key.shape == (1, 0, 4, 4)
    assert all(without.stages[name].equal(stage) for name, stage in with_key.stages.items())
