import pytest
import torch

from selfvos.models.mask_paths.wide import Surroundings, WideMaskPath
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.ops.masks import corrected


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Segmenter(SegmenterConfig(backbone="resnet18", last_stage=3, mask_path="wide")).eval()


def awake(model):
    """Let the layers that start at zero say something."""
    assert isinstance(model.mask_path, WideMaskPath)
    for parameter in model.mask_path.parameters():
        if not parameter.abs().sum() > 0:
            torch.nn.init.normal_(parameter, std=0.05)
    return model


def prepared(model, frames, scores=0.9):
    with torch.no_grad():
        context = model.prepare_masks(frames, model.encode_frame(frames))
    h, w = frames.shape[-2] // 8, frames.shape[-1] // 8
    return context.with_evidence(torch.full((len(frames), 2, h, w), scores))


def test_an_untrained_pair_changes_no_probability_at_all(model):
    frames, masks = torch.rand(1, 3, 64, 72), torch.rand(1, 3, 64, 72).softmax(dim=1)
    with torch.no_grad():
        context = prepared(model, frames)
        values = model.encode_masks(context, masks[:, 1:])
        logits = model.decode_masks(context, values, values)
    assert model.corrects_masks
    assert logits.shape == (1, 2, 64, 72)
    assert torch.equal(corrected(masks, logits), masks)


@pytest.mark.parametrize("part", ["mask", "memory"])
def test_every_output_sees_300_pixels_each_way(model, part):
    """What one pixel of the output depends on, by its gradient: in the coarse mask and in what memory says.

    Normalisation, by which all cells have a little to say everywhere, is left out.
    """
    side = 704
    frames, masks = torch.rand(1, 3, side, side), torch.full((1, 1, side, side), 0.5, requires_grad=True)
    path = awake(model).mask_path
    path.around_d[0], path.fine[0] = torch.nn.Identity(), torch.nn.Identity()
    context = prepared(model, frames)
    values = model.encode_masks(context, masks)
    read = values.detach().clone().requires_grad_(True)
    model.decode_masks(context, read, values)[0, 0, side // 2, side // 2].backward()
    seen, cell = (masks.grad, 1) if part == "mask" else (read.grad, 8)
    assert seen is not None
    rows, columns = seen.abs().flatten(0, -3).sum(dim=0).nonzero().T * cell
    farthest = 300 if part == "mask" else 150  # to each side
    for places in (rows, columns):
        assert side // 2 - places.min() >= farthest
        assert places.max() - side // 2 >= farthest


def test_the_gradient_reaches_v_d_and_evidence(model):
    frames, masks = torch.rand(1, 3, 64, 64), torch.rand(1, 1, 64, 64)
    context = prepared(model, frames)
    with torch.enable_grad():
        context = model.prepare_masks(frames, model.encode_frame(frames)).with_evidence(context.evidence)
        values = awake(model).encode_masks(context, masks)
        model.decode_masks(context, values, values).square().sum().backward()
    path = model.mask_path
    assert path is not None
    without = [n for n, p in path.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


def test_what_memory_knows_little_of_is_decoded_otherwise(model):
    frames, masks = torch.rand(1, 3, 64, 64), torch.rand(1, 1, 64, 64)
    awake(model)
    found = []
    with torch.no_grad():
        for scores in (0.9, 0.3):
            context = prepared(model, frames, scores)
            values = model.encode_masks(context, masks)
            found.append(model.decode_masks(context, values, values))
    assert not torch.allclose(found[0], found[1])


def test_surroundings_add_nothing_before_they_have_learned_and_the_same_everywhere_to_an_even_map():
    layer, x = Surroundings(8, 2), torch.full((1, 8, 15, 27), 0.5)
    assert torch.equal(layer(x), x)
    for name, parameter in layer.named_parameters():
        if name.endswith("conv2.bias"):
            torch.nn.init.constant_(parameter, 0.25)
    torch.testing.assert_close(layer(x), x + 0.5)
