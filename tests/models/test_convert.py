import argparse
import re
from collections.abc import Callable

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from selfvos.errors import DataError, UnknownName, UsageError, WeightsMismatch
from selfvos.models.convert.base import FORMATS, Converted, State, build, read_state, rename
from selfvos.settings import from_dict, merged, to_dict
from selfvos.tracking.presets import PRESETS
from selfvos.tracking.settings import TrackConfig


class Foreign:
    """What no checkpoint may bring along."""


class Shapes(dict[str, tuple[int, ...]]):
    """Names and shapes as a public network's layers make them."""

    def conv(self, name: str, outputs: int, inputs: int, side: int, *, bias: bool = False) -> None:
        self[f"{name}.weight"] = (outputs, inputs, side, side)
        if bias:
            self[f"{name}.bias"] = (outputs,)

    def norm(self, name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            self[f"{name}.{part}"] = (channels,)
        self[f"{name}.num_batches_tracked"] = ()

    def linear(self, name: str, outputs: int, inputs: int) -> None:
        self[f"{name}.weight"], self[f"{name}.bias"] = (outputs, inputs), (outputs,)

    def layer_norm(self, name: str, channels: int) -> None:
        self[f"{name}.weight"], self[f"{name}.bias"] = (channels,), (channels,)

    def under(self, prefix: str) -> "Shapes":
        return Shapes({prefix + name: shape for name, shape in self.items()})


def resnet(depth: int, *, widths: tuple[int, ...] = (64, 128, 256, 512)) -> Shapes:
    """Return torchvision's names and shapes without the classifier."""
    shapes, inputs = Shapes(), 64
    shapes.conv("conv1", 64, 3, 7)
    shapes.norm("bn1", 64)
    for number, (blocks, width) in enumerate(zip({18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}[depth], widths, strict=True), 1):
        outputs = width if depth == 18 else 4 * width
        for block in range(blocks):
            name = f"layer{number}.{block}"
            sides = (3, 3) if depth == 18 else (1, 3, 1)
            ends = (inputs, *[width] * (len(sides) - 1), outputs)
            for i, side in enumerate(sides, 1):
                shapes.conv(f"{name}.conv{i}", ends[i], ends[i - 1], side)
                shapes.norm(f"{name}.bn{i}", ends[i])
            # The first stage of ResNet-18 keeps its width, and so do the rebuilders' last.
            if block == 0 and (inputs != outputs or (depth == 18 and number == 2)):
                shapes.conv(f"{name}.downsample.0", outputs, inputs, 1)
                shapes.norm(f"{name}.downsample.1", outputs)
            inputs = outputs
    return shapes


def vit(channels: int, patch_px: int, positions: int) -> Shapes:
    shapes = Shapes(cls_token=(1, 1, channels), pos_embed=(1, positions, channels))
    shapes.conv("patch_embed.proj", channels, 3, patch_px, bias=True)
    for number in range(12):
        shapes.layer_norm(f"blocks.{number}.norm1", channels)
        shapes.linear(f"blocks.{number}.attn.qkv", 3 * channels, channels)
        shapes.linear(f"blocks.{number}.attn.proj", channels, channels)
        shapes.layer_norm(f"blocks.{number}.norm2", channels)
        shapes.linear(f"blocks.{number}.mlp.fc1", 4 * channels, channels)
        shapes.linear(f"blocks.{number}.mlp.fc2", channels, 4 * channels)
    shapes.layer_norm("norm", channels)
    return shapes


def dinov2() -> Shapes:
    shapes = Shapes({**vit(384, 14, 1370), "mask_token": (1, 384)})
    for number in range(12):
        shapes[f"blocks.{number}.ls1.gamma"] = shapes[f"blocks.{number}.ls2.gamma"] = (384,)
    return shapes


def dinov3(*, gated: bool = False) -> Shapes:
    """Return the names and shapes of DINOv3's ViT-S as Hugging Face publishes it."""
    shapes = Shapes({f"embeddings.{part}": (1, 1, 384) for part in ("cls_token", "mask_token")})
    shapes["embeddings.register_tokens"] = (1, 4, 384)
    shapes.conv("embeddings.patch_embeddings", 384, 3, 16, bias=True)
    for number in range(12):
        for part in "qkvo":
            shapes.linear(f"layer.{number}.attention.{part}_proj", 384, 384)
        del shapes[f"layer.{number}.attention.k_proj.bias"]
        for part in ("norm1", "norm2"):
            shapes.layer_norm(f"layer.{number}.{part}", 384)
        for part in ("up_proj", "gate_proj") if gated else ("up_proj",):
            shapes.linear(f"layer.{number}.mlp.{part}", 1536, 384)
        shapes.linear(f"layer.{number}.mlp.down_proj", 384, 1536)
        for part in (1, 2):
            shapes[f"layer.{number}.layer_scale{part}.lambda1"] = (384,)
    shapes.layer_norm("norm", 384)
    return shapes


def dinov3_file() -> Shapes:
    """Return the names and shapes of DINOv3's ViT-S in its own file."""
    shapes = Shapes({**vit(384, 16, 1), "storage_tokens": (1, 4, 384), "mask_token": (1, 384)})
    del shapes["pos_embed"]
    shapes["rope_embed.periods"] = (16,)
    for number in range(12):
        shapes[f"blocks.{number}.attn.qkv.bias_mask"] = (1152,)
        shapes[f"blocks.{number}.ls1.gamma"] = shapes[f"blocks.{number}.ls2.gamma"] = (384,)
    return shapes


def huggingface(shapes: Shapes) -> Shapes:
    """Rename our parts of a DINOv3 as Hugging Face does."""
    pairs = (("patch_embed.proj", "embeddings.patch_embeddings"), (r"^(cls|register)_", r"embeddings.\1_"))
    pairs += (("blocks", "layer"), ("attn", "attention"), (r"ls(\d).gamma", r"layer_scale\1.lambda1"))
    return _renamed(shapes, (*pairs, ("fc1", "up_proj"), ("fc2", "down_proj")))


def mmcv(shapes: Shapes) -> Shapes:
    """Rename torchvision's parts as convolution modules that hold their normalisation."""
    pairs = ((r"downsample\.0", "downsample.conv"), (r"downsample\.1", "downsample.bn"))
    pairs += ((r"conv(\d)\.", r"conv\1.conv."), (r"bn(\d)\.", r"conv\1.bn."))
    return _renamed(shapes, pairs)


def numbered(shapes: Shapes) -> Shapes:
    """Rename torchvision's parts as the numbered layers of MAST's code."""
    pairs = ((r"^conv1\.", "conv1.0."), (r"^bn1\.", "conv1.1."), ("downsample", "shortcut"))
    pairs += tuple((rf"(layer\d\.\d)\.{old}\.", rf"\1.left.{new}.") for old, new in IN_BLOCK.items())
    return _renamed(shapes, pairs)


IN_BLOCK = {"conv1": 0, "bn1": 1, "conv2": 3, "bn2": 4}


def _renamed(shapes: Shapes, pairs: tuple[tuple[str, str], ...]) -> Shapes:
    found = Shapes()
    for name, shape in shapes.items():
        for old, new in pairs:
            name = re.sub(old, new, name)
        found[name] = shape
    return found


def values(shapes: Shapes) -> State:
    """Return tensors of these shapes, all different, with which a deep network stays finite."""
    torch.manual_seed(0)
    return {name: _values(name, shape) for name, shape in shapes.items()}


def _values(name: str, shape: tuple[int, ...]) -> Tensor:
    if "num_batches" in name:
        return torch.tensor(7)
    if len(shape) < 2:
        return torch.rand(shape) + 0.5
    return torch.randn(shape) / torch.Size(shape[1:]).numel() ** 0.5


def embedding() -> Shapes:
    shapes = Shapes()
    shapes.conv("post_convolution", 64, 256, 3, bias=True)
    return shapes


REBUILDER = resnet(18, widths=(64, 128, 256, 256))


def crw() -> Shapes:
    return Shapes(
        {**resnet(18).under("encoder.model."), "selfsim_fc.0.weight": (128, 512), "selfsim_fc.0.bias": (128,)}
    )


def dul() -> Shapes:
    head = Shapes()
    head.conv("conv1", 512, 512, 1, bias=True)
    head.norm("bn1", 512)
    head.conv("conv2", 128, 512, 1, bias=True)
    return Shapes({**resnet(18).under("fast_net.backbone."), **head.under("fast_net.emb_q.")})


def uvc() -> Shapes:
    others = {"rgb_encoder.conv1.weight": (3, 3, 1, 1), "decoder.conv7.bias": (128,), "normalize.mean": (3,)}
    return Shapes({**resnet(18).under("gray_encoder."), **others})


def timecycle() -> Shapes:
    body = {n: (*s[:2], 1, *s[2:]) if len(s) == 4 else s for n, s in resnet(50).items() if "num_batches" not in n}
    others = {"afterconv3_trans.weight": (128, 900, 4, 4), "linear2.bias": (3,)}
    return Shapes({**Shapes(body).under("encoderVideo."), "afterconv1.weight": (512, 1024, 1, 1, 1), **others})


def liir() -> Shapes:
    others = {"conv_semantic.bias": (128,), "conv_semantic_k.bias": (128,), "colorizer.flag": (1,)}
    positions = {"feature_extraction.pos_embed1": (1, 64, 128, 128)}
    return Shapes({**REBUILDER.under("feature_extraction."), **positions, **embedding(), **others})


def rebuilder() -> Shapes:
    return Shapes({**numbered(REBUILDER).under("feature_extraction."), **embedding()})


def torchvision(depth: int) -> Shapes:
    shapes = resnet(depth)
    shapes.linear("fc", 1000, 512 if depth == 18 else 2048)
    return shapes


def vfs(depth: int) -> Shapes:
    head = {"img_head.projection_convs.0.conv.weight": (512, 512), "img_head.predictor_convs.0.bn.bias": (512,)}
    return Shapes({**mmcv(resnet(depth)).under("backbone."), **head})


# Format, original names and shapes, backbone, the prefix before the backbone's names.
CASES: dict[str, tuple[str, Callable[[], Shapes], str, str]] = {
    "torchvision-18": ("torchvision", lambda: torchvision(18), "resnet18", ""),
    "torchvision-50": ("torchvision", lambda: torchvision(50), "resnet50", ""),
    "crw": ("crw", crw, "resnet18-reflect", "encoder.model."),
    "vfs-18": ("vfs", lambda: vfs(18), "resnet18", "backbone."),
    "vfs-50": ("vfs", lambda: vfs(50), "resnet50", "backbone."),
    "dul": ("dul", dul, "resnet18", "fast_net.backbone."),
    "uvc": ("uvc", uvc, "resnet18-grey", "gray_encoder."),
    "timecycle": ("timecycle", timecycle, "resnet50", "encoderVideo."),
    "mast": ("mast", rebuilder, "mast-resnet18", "feature_extraction."),
    "corrflow": ("corrflow", rebuilder, "corrflow-resnet18", "feature_extraction."),
    "liir": ("liir", liir, "liir-resnet18", "feature_extraction."),
    "dino-vit": ("dino", lambda: vit(384, 16, 197), "vit-s16", ""),
    "dinov2": ("dinov2", dinov2, "dinov2-small", ""),
    "dinov3": ("dinov3", dinov3, "dinov3-small", ""),
    "dino-resnet": ("dino", lambda: resnet(50), "resnet50", ""),
}


def converted(case: str) -> tuple[State, Converted]:
    kind, shapes, _, _ = CASES[case]
    state = values(shapes())
    return state, FORMATS.get(kind)(state)


def original(name: str, case: str) -> str:
    """Return the published name of a backbone's tensor, written down the other way round than the converters do."""
    kind, _, _, prefix = CASES[case]
    if name.startswith("embedding."):
        return name.replace("embedding.", "post_convolution.")
    rewrites = {"vfs": mmcv, "mast": numbered, "corrflow": numbered, "dinov3": huggingface}
    rewrite = rewrites.get(kind, lambda shapes: shapes)
    return prefix + next(iter(rewrite(Shapes({name: ()}))))


def test_every_format_has_a_case():
    assert {kind for kind, *_ in CASES.values()} == set(FORMATS.names())


@pytest.mark.parametrize("case", CASES)
def test_every_tensor_lands_where_it_belongs_and_the_settings_fit(case):
    state, found = converted(case)
    model, untrained = build(found, source=case)
    assert found.config.backbone == CASES[case][2]
    assert not model.training
    body = model.encoder.backbone.state_dict()
    assert len(body) > 60
    for name, tensor in body.items():
        published = original(name, case)
        if case == "timecycle" and "num_batches" in name:
            continue
        wanted: Tensor = state[published]
        assert torch.equal(tensor, wanted.squeeze(2) if wanted.ndim == 5 else wanted), name
    heads = {"encoder.key_head", "encoder.reduce"} & {".".join(name.split(".")[:2]) for name in model.state_dict()}
    assert set(untrained) == (set() if case in ("dul", "timecycle") else heads)
    config = from_dict(TrackConfig, merged(to_dict(PRESETS.get(found.preset)), found.changes))
    assert config.refine.rounds == 0
    assert config.feature.stage in ["key", *model.encoder.backbone.channels]


@pytest.mark.parametrize("case", CASES)
def test_missing_extra_and_misshapen_tensors_are_listed(case):
    state, _ = converted(case)
    prefix = CASES[case][3]
    first, second = _two_names(state, prefix)
    del state[first]
    state[second] = torch.zeros(5)
    state[f"{prefix}surprise.weight"] = torch.zeros(1)
    found = FORMATS.get(CASES[case][0])(state)
    with pytest.raises(WeightsMismatch) as caught:
        build(found, source="their.pth")
    text = str(caught.value)
    for part in ("their.pth: ", " missing", "surprise.weight unexpected", "is (5,), expected ("):
        assert part in text


def _two_names(state: State, prefix: str) -> tuple[str, str]:
    names = [name for name in state if re.search(r"(layer\.?2|blocks\.2)\..*weight$", name) and name.startswith(prefix)]
    return names[0], names[1]


def test_a_checkpoint_of_another_format_is_refused():
    with pytest.raises(WeightsMismatch, match="missing"):
        build(FORMATS.get("crw")(values(vit(384, 16, 197))), source="x")
    for kind in ("dino", "dinov2", "dinov3", "dul", "timecycle"):
        with pytest.raises(WeightsMismatch, match="another format"):
            FORMATS.get(kind)({"weight": torch.zeros(1)})
    for kind in ("dino", "dinov2"):
        with pytest.raises(WeightsMismatch, match="1024 channels"):
            FORMATS.get(kind)({"patch_embed.proj.weight": torch.zeros(1024, 3, 16, 16)})
    large = {"cls_token": (1, 1, 1024), "register_tokens": (1, 4, 1024), "patch_embeddings.weight": (1024, 3, 16, 16)}
    for shapes in (dinov3(gated=True), Shapes(large).under("embeddings.")):
        with pytest.raises(WeightsMismatch, match="give ViT-S or ViT-B"):
            FORMATS.get("dinov3")(values(shapes))
    with pytest.raises(UnknownName, match="did you mean 'crw'"):
        FORMATS.get("crv")


def test_both_published_forms_of_dinov3_say_the_same():
    state = values(dinov3_file())
    found = FORMATS.get("dinov3")(state)
    model, _ = build(found, source="theirs.pth")
    attention = model.encoder.backbone.state_dict()
    for number in range(12):
        joined = [attention[f"blocks.{number}.attn.{part}_proj.weight"] for part in "qkv"]
        assert torch.equal(torch.cat(joined), state[f"blocks.{number}.attn.qkv.weight"])
        queries, _, answers = state[f"blocks.{number}.attn.qkv.bias"].chunk(3)
        assert torch.equal(attention[f"blocks.{number}.attn.q_proj.bias"], queries)
        assert torch.equal(attention[f"blocks.{number}.attn.v_proj.bias"], answers)
    assert torch.equal(attention["register_tokens"], state["storage_tokens"])
    assert found.tensors.keys() == converted("dinov3")[1].tensors.keys()
    assert found.preset == converted("dinov3")[1].preset


@torch.no_grad()
def test_the_key_is_the_feature_that_timecycle_matches():
    state, found = converted("timecycle")
    model, _ = build(found, source="x")
    features = model.encode_frame(torch.rand(1, 3, 16, 24))
    x = F.conv2d(features.stages["layer3"], state["afterconv1.weight"][:, :, 0])
    torch.testing.assert_close(features.key, F.normalize(x.relu(), dim=1), atol=1e-4, rtol=1e-3)


@torch.no_grad()
def test_the_key_is_the_embedding_of_dul():
    state, found = converted("dul")
    model, _ = build(found, source="x")
    features = model.encode_frame(torch.rand(1, 3, 16, 24))
    part = {name.removeprefix("fast_net.emb_q."): tensor for name, tensor in state.items()}
    x = F.conv2d(features.stages["layer4"], part["conv1.weight"], part["conv1.bias"])
    statistics = (part["bn1.running_mean"], part["bn1.running_var"], part["bn1.weight"], part["bn1.bias"])
    x = F.conv2d(F.batch_norm(x, *statistics).relu(), part["conv2.weight"], part["conv2.bias"])
    torch.testing.assert_close(features.key, F.normalize(x, dim=1), atol=1e-4, rtol=1e-3)


def test_what_is_not_in_the_checkpoint_is_always_the_same():
    _, found = converted("crw")
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    a, b = build(found, source="x")[0], build(found, source="x")[0]
    assert torch.equal(torch.random.get_rng_state(), before)
    for name, tensor in a.state_dict().items():
        assert torch.equal(tensor, b.state_dict()[name])


def test_beginnings_are_exchanged_the_first_that_fits():
    state = {name: torch.tensor(float(i)) for i, name in enumerate(["a.b.c", "a.d", "x.y", "head.z"])}
    assert {n: int(t) for n, t in rename(state, {"a.b.": "p.", "a.": "q."}, ignored=("head.",)).items()} == {
        "p.c": 0,
        "q.d": 1,
        "x.y": 2,
    }


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": {f"module.{name}": t for name, t in state.items()}, "args": argparse.Namespace(lr=0.1)},
        lambda state: {"student": {"other": torch.zeros(9)}, "teacher": state, "epoch": 1},
        lambda state: {"state_dict": {"model": state}},
    ],
)
def test_nestings_are_unwrapped(tmp_path, wrap):
    state = {"conv1.weight": torch.rand(2, 3), "bn1.bias": torch.rand(2)}
    torch.save(wrap(state), tmp_path / "a.pth")
    found = read_state(tmp_path / "a.pth")
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)


def test_safetensors_are_read(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "a.safetensors")
    assert torch.equal(read_state(tmp_path / "a.safetensors")["a"], torch.ones(2))


def test_a_pickle_of_anything_else_is_refused(tmp_path):
    torch.save({"state_dict": {"a": torch.ones(2)}, "best": Foreign()}, tmp_path / "a.pth")
    with pytest.raises(DataError, match="objects that are no tensors"):
        read_state(tmp_path / "a.pth")


@pytest.mark.parametrize("content", [b"", b"junk" * 20])
@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_damaged_files_are_refused(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        read_state(tmp_path / name)


@pytest.mark.parametrize("content", [{"epoch": 3}, [torch.ones(1)], {}, {0: torch.ones(1)}, torch.ones(3)])
def test_files_without_named_tensors_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(DataError, match="no tensors by name"):
        read_state(tmp_path / "a.pth")


def test_a_missing_file_is_a_wrong_argument(tmp_path):
    with pytest.raises(UsageError, match="no checkpoint at"):
        read_state(tmp_path / "none.pth")
