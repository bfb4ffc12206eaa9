import pytest
import torch

from selfvos.errors import UsageError
from selfvos.models.backbones.base import BACKBONES
from selfvos.models.backbones.dinov3 import RotaryVisionTransformer, rotations, turn
from selfvos.models.convert.base import FORMATS, State, build


def filled(shapes: dict[str, tuple[int, ...]]) -> State:
    """Return tensors that depend on names and shapes alone; the weights are large enough for every part to matter."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name in sorted(shapes):
        values = torch.randn(shapes[name], generator=generator)
        fan = max(1, torch.Size(shapes[name][1:]).numel())
        state[name] = values / fan**0.5 if "weight" in name and len(shapes[name]) > 1 else 1 + 0.3 * values
    return state


def published() -> dict[str, tuple[int, ...]]:
    """Return names and shapes of DINOv3's ViT-S as Hugging Face publishes it, from our own names."""
    with torch.device("meta"):
        own = RotaryVisionTransformer(384).state_dict()
    renamed = {}
    for name, tensor in own.items():
        for ours, theirs in (
            ("patch_embed.proj", "embeddings.patch_embeddings"),
            ("cls_token", "embeddings.cls_token"),
            ("register_tokens", "embeddings.register_tokens"),
            ("blocks.", "layer."),
            (".attn.", ".attention."),
            ("ls1.gamma", "layer_scale1.lambda1"),
            ("ls2.gamma", "layer_scale2.lambda1"),
            ("fc1", "up_proj"),
            ("fc2", "down_proj"),
        ):
            name = name.replace(ours, theirs)
        renamed[name] = tuple(tensor.shape)
    return renamed


@pytest.fixture(scope="module")
def state() -> State:
    return filled(published())


@pytest.fixture(scope="module")
def body(state) -> torch.nn.Module:
    return build(FORMATS.get("dinov3")(state), source="test")[0].encoder.backbone


def frames(y: int, x: int) -> torch.Tensor:
    return torch.linspace(-2, 2, 3 * y * x).reshape(1, 3, y, x).sin() * 2


@torch.no_grad()
@pytest.mark.parametrize("size", [(64, 96), (224, 224)])
def test_it_computes_what_transformers_does(state, body, size):
    """The same weights through `DINOv3ViTModel` of transformers, which the extra `backbones` installs."""
    transformers = pytest.importorskip("transformers", reason="needs the extra: pip install 'selfvos[backbones]'")
    model = transformers.DINOv3ViTModel(transformers.DINOv3ViTConfig(num_register_tokens=4)).eval()
    # Newer releases call the layers model.layer in memory, and layer in files as all of them do.
    own = {name.removeprefix("model."): tensor for name, tensor in model.state_dict(keep_vars=True).items()}
    assert own.keys() == state.keys() | {"embeddings.mask_token"}
    for name, tensor in state.items():
        own[name].copy_(tensor)
    pixels = frames(*size)
    theirs = model(pixels).last_hidden_state[:, 5:].mT.unflatten(2, (size[0] // 16, size[1] // 16))
    torch.testing.assert_close(body(pixels)["block12"], theirs, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_it_computes_what_transformers_did(body):
    """Numbers of `DINOv3ViTModel` of transformers 5.23.0 with the same weights, kept where it is not installed."""
    found = body(frames(32, 48))["block12"]
    known = torch.tensor([[1.73981, 2.25462, 0.51999, 0.77729], [1.53973, 2.27375, 0.64622, 0.79460]])
    torch.testing.assert_close(found[0, :4, [1, 0], [2, 0]].T, known, atol=1e-3, rtol=1e-3)


def test_rotations_keep_lengths_and_leave_tokens_without_a_place_alone():
    rotation = rotations(3, 5, like=torch.zeros(()))
    assert rotation.shape == (2, 5 + 15, 64)
    x = torch.randn(2, 6, 20, 64, generator=torch.Generator().manual_seed(0))
    turned = turn(x, rotation)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(turned[:, :, :5], x[:, :, :5])
    assert not torch.allclose(turned[:, :, 5:], x[:, :, 5:])


def test_what_two_patches_say_to_each_other_depends_on_their_distance_alone():
    rotation = rotations(1, 8, like=torch.zeros(()))
    query, key = torch.randn(2, 64, generator=torch.Generator().manual_seed(0))
    queries, keys = (turn(x.expand(1, 1, 13, 64), rotation)[0, 0, 5:] for x in (query, key))
    scores = queries @ keys.T
    for distance in range(-7, 8):
        along = scores.diagonal(distance)
        torch.testing.assert_close(along, along[:1].expand_as(along), atol=1e-4, rtol=1e-4)
    assert scores[0].std() > 0.1


def test_the_first_turn_of_each_axis_goes_once_around_the_frame_and_rows_come_first():
    cosine, sine = rotations(4, 2, like=torch.zeros(()))
    rows = torch.tensor([-0.75, -0.25, 0.25, 0.75]).repeat_interleave(2)
    columns = torch.tensor([-0.5, 0.5]).repeat(4)
    for channel, places in ((0, rows), (16, columns)):
        torch.testing.assert_close(cosine[5:, channel], (2 * torch.pi * places).cos())
        torch.testing.assert_close(sine[5:, channel + 32], (2 * torch.pi * places).sin())


def test_as_many_parameters_as_the_published_ones():
    with torch.device("meta"):
        counts = [
            sum(p.numel() for p in BACKBONES.get(f"dinov3-{size}")(stride=16, last_stage=4).parameters())
            for size in ("small", "base")
        ]
    assert [round(count / 1e6) for count in counts] == [22, 86]


@pytest.mark.parametrize(("stride", "last_stage"), [(8, 4), (16, 3), (14, 4)])
def test_what_does_not_fit_is_refused(stride, last_stage):
    with pytest.raises(UsageError, match="set stride to 16, leave last_stage at 4"):
        BACKBONES.get("dinov3-small")(stride=stride, last_stage=last_stage)
