import torch

from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.tracking import refinement
from selfvos.tracking.refinement import embed, objects_at_once, refine


def test_objects_at_once_follow_the_memory_that_is_free():
    pixels = 480 * 856
    one = refinement._BYTES_PER_PIXEL["full"] * pixels
    assert objects_at_once(8 * one, pixels, "full") == 4
    assert objects_at_once(one, pixels, "full") == 1
    assert objects_at_once(8 * one, pixels, "slim") > 4
    assert objects_at_once(8 * one, pixels, "of somebody else") == 4
    assert objects_at_once(None, pixels, "full") == 1


@torch.no_grad()
def test_a_few_objects_at_a_time_give_the_same_masks(monkeypatch):
    torch.manual_seed(0)
    model = Segmenter(SegmenterConfig(backbone="resnet18", last_stage=3, mask_path="slim")).eval()
    torch.nn.init.normal_(model.mask_path.head.weight)
    frame = torch.rand(1, 3, 32, 40)
    context = model.prepare_masks(frame, model.encode_frame(frame))
    memory = torch.rand(1, 3, model.value_channels, 4, 5)
    start = torch.rand(1, 4, 32, 40).softmax(dim=1)
    asked = []

    def readout(part):
        asked.append(part)
        return memory[:, part.start : part.stop]

    refine(model, context, readout, start, 2)
    assert asked == [range(2), range(2, 3)], "memory is read once for all rounds, on a CPU for two objects at a time"
    monkeypatch.setattr(refinement, "_MOST_ON_CPU", 3)
    together = refine(model, context, readout, start, 2), embed(model, context, start)
    monkeypatch.setattr(refinement, "available_bytes", lambda _: None)
    asked.clear()
    apart = refine(model, context, readout, start, 2), embed(model, context, start)
    assert asked == [range(1), range(1, 2), range(2, 3)]
    for one, other in zip(together, apart, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)


def test_free_memory_is_known_or_unknown():
    free = refinement.available_bytes(torch.device("cpu"))
    assert free is None or free > 2**20
