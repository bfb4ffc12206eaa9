import pytest
import torch

from selfvos.errors import UnknownName, UsageError
from selfvos.models.blocks import CBAM, ResBlock
from selfvos.models.mask_paths.full import FullMaskPath
from selfvos.models.segmenter import Segmenter, SegmenterConfig

COMBINATIONS = [
    SegmenterConfig(backbone="resnet18", last_stage=4, mask_path="full"),
    SegmenterConfig(backbone="resnet18", last_stage=3, mask_path="slim"),
    SegmenterConfig(backbone="resnet18", last_stage=3, stride=4, mask_path="slim"),
    SegmenterConfig(backbone="resnet18", last_stage=3, mask_path="wide"),
    SegmenterConfig(backbone="resnet18", last_stage=4, stride=4, mask_path="full"),
    SegmenterConfig(backbone="resnet50", last_stage=3, mask_path="full"),
]


def run(model, frames, masks):
    features = model.encode_frame(frames)
    context = model.prepare_masks(frames, features)
    values = model.encode_masks(context, masks)
    return features, values, model.decode_masks(context, values, values)


@pytest.mark.parametrize("config", COMBINATIONS, ids=lambda c: f"{c.backbone}-{c.mask_path}-{c.stride}")
def test_shapes(config):
    model = Segmenter(config).eval()
    with torch.no_grad():
        features, values, logits = run(model, torch.rand(2, 3, 32, 48), torch.rand(2, 3, 32, 48))
    h, w = 32 // config.stride, 48 // config.stride
    assert features.key.shape == (2, 128, h, w)
    torch.testing.assert_close(features.key.norm(dim=1), torch.ones(2, h, w))
    assert values.shape == (2, 3, model.value_channels, h, w)
    assert logits.shape == (2, 3, 32, 48)


def test_layer_table_of_the_paper():
    path = Segmenter(SegmenterConfig(backbone="resnet50", last_stage=3, mask_path="full")).mask_path
    assert isinstance(path, FullMaskPath)
    shapes = {name: tuple(p.shape) for name, p in path.named_parameters()}
    expected = {
        "encoder.body.conv1.weight": (64, 4, 7, 7),
        "encoder.body.conv1.bias": (64,),
        "encoder.narrow.weight": (512, 1024, 1, 1),
        "encoder.block1.conv1.weight": (512, 1024, 3, 3),
        "encoder.block1.shortcut.weight": (512, 1024, 3, 3),
        "encoder.attention.mlp.0.weight": (32, 512),
        "encoder.attention.spatial.weight": (1, 2, 7, 7),
        "encoder.block2.conv2.weight": (512, 512, 3, 3),
        "decoder.block1.conv1.weight": (512, 1024, 3, 3),
        "decoder.skip8.weight": (512, 512, 3, 3),
        "decoder.block2.conv1.weight": (256, 512, 3, 3),
        "decoder.skip4.weight": (256, 256, 3, 3),
        "decoder.block3.conv1.weight": (128, 256, 3, 3),
        "decoder.head.weight": (1, 128, 3, 3),
        "reduce8.0.weight": (512, 512, 1, 1),
        "reduce4.0.weight": (256, 256, 1, 1),
    }
    assert {name: shapes[name] for name in expected} == expected
    assert not any(name.startswith("encoder.body.layer4") for name in shapes)


def test_resnet18_variant_joins_768_channels():
    path = Segmenter(SegmenterConfig(backbone="resnet18", last_stage=4, mask_path="full")).mask_path
    assert path is not None
    assert path.get_parameter("encoder.block1.conv1.weight").shape == (512, 768, 3, 3)


def test_full_mask_path_starts_from_the_encoder_and_blind_to_masks():
    model = Segmenter(SegmenterConfig(backbone="resnet18", last_stage=4, mask_path="full")).eval()
    model.start_mask_path()
    body = model.encoder.backbone
    assert isinstance(model.mask_path, FullMaskPath)
    torch.testing.assert_close(
        model.mask_path.encoder.body.get_parameter("layer3.0.conv1.weight"), body.get_parameter("layer3.0.conv1.weight")
    )
    stem = model.mask_path.encoder.body.get_parameter("conv1.weight")
    torch.testing.assert_close(stem[:, :3], body.get_parameter("conv1.weight"))
    assert stem[:, 3].abs().max() == 0


def test_untrained_slim_path_returns_the_coarse_mask():
    model = Segmenter(SegmenterConfig(backbone="resnet18", last_stage=3, mask_path="slim")).eval()
    masks = torch.zeros(1, 1, 64, 64)
    masks[..., 16:48, 16:48] = 1
    with torch.no_grad():
        _, _, logits = run(model, torch.rand(1, 3, 64, 64), masks)
    # Bilinear interpolation of half-cells rounds the square's corners.
    assert ((logits > 0) == (masks > 0)).float().mean() > 0.99


def test_objects_do_not_see_each_other_in_the_mask_path():
    model = Segmenter(SegmenterConfig(backbone="resnet18", last_stage=3, mask_path="slim")).eval()
    frames, masks = torch.rand(1, 3, 32, 32), torch.rand(1, 2, 32, 32)
    with torch.no_grad():
        both, first = run(model, frames, masks)[1], run(model, frames, masks[:, :1])[1]
    torch.testing.assert_close(both[:, :1], first, atol=1e-5, rtol=1e-4)


def test_sides_that_the_stride_does_not_divide_are_refused():
    with pytest.raises(ValueError, match="multiples of 8"):
        Segmenter(SegmenterConfig(last_stage=3, mask_path="none")).encode_frame(torch.rand(1, 3, 30, 32))


def test_wrong_names_are_refused_with_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'resnet18'"):
        Segmenter(SegmenterConfig(backbone="resnet81"))
    with pytest.raises(UnknownName, match="slim"):
        Segmenter(SegmenterConfig(mask_path="slin"))


def test_without_a_mask_path_only_propagation_is_offered():
    model = Segmenter(SegmenterConfig(last_stage=3, mask_path="none"))
    frames = torch.rand(1, 3, 16, 16)
    with pytest.raises(UsageError, match="rounds 0"):
        model.prepare_masks(frames, model.encode_frame(frames))


def test_residual_block_keeps_its_input_when_its_last_convolution_is_zero():
    block = ResBlock(4, 4)
    torch.nn.init.zeros_(block.conv2.weight)
    torch.nn.init.zeros_(block.conv2.bias)
    x = torch.randn(2, 4, 5, 6)
    torch.testing.assert_close(block(x), x)


def test_attention_only_ever_weakens():
    x = torch.rand(2, 32, 5, 6)
    gated = CBAM(32)(x)
    assert (gated <= x).all()
    assert (gated > 0).all()
