import pytest
import torch
from torch import nn

from selfvos.errors import UsageError
from selfvos.models.backbones.base import BACKBONES
from selfvos.models.backbones.vit import Block, VisionTransformer
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.tracking.settings import FeatureConfig, FrameConfig, RefineConfig, TrackConfig
from selfvos.tracking.tracker import Tracker

# DeiT's published counts (22,050,664 and 86,567,656) without the classifier; with patches of 8, a smaller projection
# and 588 more positions.
PARAMETERS = {"vit-s16": 21_665_664, "vit-b16": 85_798_656, "vit-s8": 21_670_272, "vit-b8": 85_807_872}
# DINOv2's published count (22,056,576) without its mask token.
PARAMETERS["dinov2-small"] = 22_056_192


@pytest.fixture(scope="module")
def small() -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(64, 8).eval()


@pytest.mark.parametrize(("name", "count"), PARAMETERS.items())
def test_as_many_parameters_as_the_published_ones(name, count):
    with torch.device("meta"):
        body = BACKBONES.get(name)(stride=14 if name.startswith("dinov2") else int(name[5:]), last_stage=4)
    assert sum(p.numel() for p in body.parameters()) == count


def test_names_are_those_of_the_public_code(small):
    names = set(small.state_dict())
    block = [f"{part}.{kind}" for part in ("norm1", "norm2") for kind in ("weight", "bias")]
    block += [f"{p}.{kind}" for p in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2") for kind in ("weight", "bias")]
    expected = {
        "cls_token",
        "pos_embed",
        "patch_embed.proj.weight",
        "patch_embed.proj.bias",
        "norm.weight",
        "norm.bias",
    }
    assert names == expected | {f"blocks.{number}.{name}" for number in range(12) for name in block}


@torch.no_grad()
def test_a_block_computes_what_the_library_s_own_layer_does():
    torch.manual_seed(1)
    block = Block(128, scaled=False).eval()
    layer = nn.TransformerEncoderLayer(
        128, 2, 512, dropout=0.0, activation="gelu", layer_norm_eps=1e-6, batch_first=True, norm_first=True
    ).eval()
    ours = block.state_dict()
    names = {
        "self_attn.in_proj_weight": "attn.qkv.weight",
        "self_attn.in_proj_bias": "attn.qkv.bias",
        "self_attn.out_proj.weight": "attn.proj.weight",
        "self_attn.out_proj.bias": "attn.proj.bias",
        "linear1.weight": "mlp.fc1.weight",
        "linear1.bias": "mlp.fc1.bias",
        "linear2.weight": "mlp.fc2.weight",
        "linear2.bias": "mlp.fc2.bias",
    }
    layer.load_state_dict({name: ours[names.get(name, name)] for name in layer.state_dict()})
    x = torch.randn(2, 7, 128)
    torch.testing.assert_close(block(x), layer(x), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_scales_weigh_what_a_block_adds():
    torch.manual_seed(1)
    plain, scaled = Block(64, scaled=False), Block(64, scaled=True)
    scaled.load_state_dict({**scaled.state_dict(), **plain.state_dict()})
    x = torch.randn(1, 5, 64)
    for part in (scaled.ls1, scaled.ls2):
        part.get_parameter("gamma").fill_(1)
    torch.testing.assert_close(scaled(x), plain(x))
    for part in (scaled.ls1, scaled.ls2):
        part.get_parameter("gamma").zero_()
    torch.testing.assert_close(scaled(x), x)


@torch.no_grad()
def test_tokens_come_back_as_a_map_in_reading_order(small):
    frames = torch.rand(1, 3, 224, 224)
    tokens = small.patch_embed.proj(frames).flatten(2).mT
    tokens = torch.cat([small.cls_token, tokens], dim=1) + small.pos_embed
    for block in small.blocks:
        tokens = block(tokens)
    expected = small.norm(tokens)[0, 1:].reshape(28, 28, 64).permute(2, 0, 1)
    torch.testing.assert_close(small(frames)["block12"][0], expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_dinov2_computes_what_transformers_does():
    """The same weights through `Dinov2Model` of transformers, on pictures of the size that positions are for."""
    transformers = pytest.importorskip("transformers", reason="needs the extra: pip install 'selfvos[backbones]'")
    torch.manual_seed(0)
    config = transformers.Dinov2Config(hidden_size=384, num_attention_heads=6, image_size=518, patch_size=14)
    theirs, ours = (
        transformers.Dinov2Model(config).eval(),
        BACKBONES.get("dinov2-small")(stride=14, last_stage=4).eval(),
    )
    state = ours.state_dict()
    for weight in state.values():
        weight.copy_(0.5 + torch.rand_like(weight) if weight.ndim == 1 else torch.randn_like(weight) / 20)
    for name, weight in theirs.state_dict(keep_vars=True).items():
        if "mask_token" not in name:
            weight.copy_(_published_as(name, state))
    pixels = torch.rand(1, 3, 518, 518)
    expected = theirs(pixels).last_hidden_state[:, 1:].mT.unflatten(2, (37, 37))
    torch.testing.assert_close(ours(pixels)["block12"], expected, atol=1e-3, rtol=1e-3)


def _published_as(name: str, state: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return our tensor for a name of transformers, whose releases call the parts of attention differently."""
    for theirs, ours in (
        ("embeddings.patch_embeddings.projection", "patch_embed.proj"),
        ("embeddings.position_embeddings", "pos_embed"),
        ("embeddings.", ""),
        ("encoder.layer.", "blocks."),
        ("layernorm.", "norm."),
        ("lambda1", "gamma"),
        ("layer_scale", "ls"),
        ("attention.attention.", "attn."),
        ("attention.output.dense", "attn.proj"),
        ("attention.o_proj", "attn.proj"),
        ("attention.", "attn."),
    ):
        name = name.replace(theirs, ours)
    for place, part in enumerate(("query", "key", "value")):
        for wanted in (f"attn.{part}.", f"attn.{part[0]}_proj."):
            if wanted in name:
                return state[name.replace(wanted, "attn.qkv.")].chunk(3)[place]
    return state[name]


@torch.no_grad()
def test_positions_are_the_learned_ones_where_the_grid_is_and_stretched_elsewhere():
    body = VisionTransformer(64, 8)
    torch.testing.assert_close(body.patch_positions(28, 28), body.pos_embed[:, 1:])
    ramp = torch.arange(28.0)
    body.pos_embed[0, 1:] = ramp.repeat_interleave(28)[:, None]  # the row that a patch lies in
    stretched = body.patch_positions(56, 14).reshape(56, 14, 64)
    inner = (torch.arange(56.0)[4:-4] + 0.5) / 2 - 0.5
    # The library's bicubic curve (a = -0.75) follows a straight line closely, not exactly.
    torch.testing.assert_close(stretched[4:-4, 3, 0], inner, atol=0.05, rtol=0)
    torch.testing.assert_close(stretched[:, :1].expand(-1, 14, -1), stretched, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("stride", "last_stage"), [(8, 4), (16, 3), (4, 4)])
def test_what_does_not_fit_is_refused(stride, last_stage):
    with pytest.raises(UsageError, match="stride to 16, leave last_stage at 4"):
        BACKBONES.get("vit-s16")(stride=stride, last_stage=last_stage)


@pytest.mark.parametrize("mask_path", ["full", "slim"])
def test_a_mask_path_is_refused(mask_path):
    with pytest.raises(UsageError, match="needs a ResNet"), torch.device("meta"):
        Segmenter(SegmenterConfig(backbone="vit-s16", stride=16, mask_path=mask_path))


def test_label_propagation_runs_on_patch_tokens():
    torch.manual_seed(0)
    model = Segmenter(SegmenterConfig(backbone="vit-s16", stride=16, mask_path="none")).eval()
    config = TrackConfig(
        refine=RefineConfig(rounds=0),
        feature=FeatureConfig(stage="block12"),
        frame=FrameConfig(short_side_px=96, precision="float32"),
    )
    frame = torch.randint(0, 256, (96, 130, 3), dtype=torch.uint8).numpy()
    mask = torch.zeros(96, 130, dtype=torch.uint8)
    mask[16:80, 32:96] = 3
    tracker = Tracker(model, config)
    tracker.start(frame, mask.numpy())
    found = torch.from_numpy(tracker.step(frame))
    inside, together = ((found == 3) & (mask == 3)).sum(), ((found == 3) | (mask == 3)).sum()
    assert inside / together > 0.7
