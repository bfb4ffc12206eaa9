from copy import deepcopy

import pytest
import torch

from selfvos.errors import UsageError
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.objectives.base import EncodedClip
from selfvos.objectives.l_refine import LRefine, LRefineConfig, mending_loss, relative_loss, track_clips
from selfvos.ops.alignment import AlignConfig
from selfvos.ops.carrying import CarryConfig
from selfvos.ops.matching import MatchConfig
from selfvos.ops.whitening import WhitenConfig
from selfvos.types import Clip

TRACKED = CarryConfig(
    match=MatchConfig(top_k=3, radius_cells=6.0),
    scale=4,
    restore_contrast=True,
    reach_cells=4.0,
    align=AlignConfig(),
)
CONFIG = LRefineConfig(feature="layer2+layer3", whiten=WhitenConfig(channels=12), carry=TRACKED)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def moving(b=2, t=3):
    """Two objects on noise; the first one grows."""
    frames = torch.rand(b, t, 3, 64, 64, generator=seeded(1))
    masks = torch.zeros(b, t, 64, 64, dtype=torch.long)
    masks[..., 36:60, 36:60] = 2
    for i in range(t):
        masks[:, i, 8:24, 8 : 24 + 8 * i] = 1
    return Clip(frames=frames, index=torch.arange(t).repeat(b, 1), masks=masks)


def made(path):
    torch.manual_seed(0)
    return Segmenter(SegmenterConfig(backbone="resnet18", last_stage=3, mask_path=path, key_channels=16)).train()


def test_an_untrained_wide_pair_leaves_of_the_loss_what_was_there():
    model = made("wide").eval()
    clip = EncodedClip(moving(), model)
    tracked = track_clips(clip, CONFIG, seeded())
    assert clip.clip.masks is not None
    losses = []
    for t in (1, 2):
        shown = torch.nn.functional.interpolate(tracked.masks[:, t], scale_factor=2, mode="bilinear")
        likely = shown.clamp_min(1e-3).log().log_softmax(dim=1)
        was = -likely.gather(1, clip.clip.masks[:, t, None]).mean(dim=(1, 2, 3))
        losses.append((was / (was + 0.01)).mean())
    torch.testing.assert_close(mending_loss(model, tracked), torch.stack(losses).mean())


def test_clips_count_alike_however_much_is_wrong_with_them():
    labels, present = torch.ones(2, 4, 4, dtype=torch.long), torch.ones(2, 1, dtype=torch.bool)
    right = torch.tensor([0.5, 0.999])[:, None, None, None].expand(2, 1, 4, 4)
    before = torch.cat([1 - right, right], dim=1).log()
    half = 0.5 * before
    kept, mended = (relative_loss(after, before, labels, present) for after in (before, half))
    torch.testing.assert_close(mended, kept / 2)
    assert kept > 0.5 * 0.98
    assert relative_loss(before, before, labels, present & False) == 0


@pytest.mark.parametrize("path", ["slim", "wide"])
def test_v_and_d_learn_to_mend(path):
    """A few steps on one clip: what its first object shows anew is found."""
    model = made(path)
    model.encoder.requires_grad_(False).eval()
    assert model.mask_path is not None
    tracked = track_clips(EncodedClip(moving(b=1), model), CONFIG, seeded())
    optimizer = torch.optim.Adam(model.mask_path.parameters(), lr=1e-3)
    losses = []
    for _ in range(25):
        loss = mending_loss(model, tracked)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_the_first_masks_are_true_and_flaws_come_later():
    clip = EncodedClip(moving(), made("slim").eval())
    plain, flawed = (
        track_clips(clip, LRefineConfig(carry=TRACKED, perturb=share), seeded(3)).masks for share in (0.0, 1.0)
    )
    assert torch.equal(plain[:, 0], flawed[:, 0])
    assert (plain[:, 1:] != flawed[:, 1:]).flatten(2).any(dim=2).all()
    assert clip.clip.masks is not None
    assert torch.equal(plain[:, 0].argmax(dim=1).repeat_interleave(2, 1).repeat_interleave(2, 2), clip.clip.masks[:, 0])


def test_the_gradient_reaches_memory():
    """V's view of remembered frames counts, not only that of the frame itself."""
    model = made("wide")
    torch.nn.init.normal_(model.get_parameter("mask_path.head.weight"), std=0.1)
    LRefine(CONFIG)(EncodedClip(moving(), model), seeded()).total.backward()
    reached = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert {"mask_path.mask_stem.0.weight", "mask_path.evidence.weight", "mask_path.skip4.weight"} <= reached
    joined = model.get_parameter("mask_path.join.weight").grad
    assert joined is not None
    assert joined[:, : model.value_channels].abs().sum() > 0


def test_absent_objects_do_not_count_and_clips_without_any_are_left_out():
    model = made("wide").eval()
    torch.nn.init.normal_(model.get_parameter("mask_path.head.weight"), std=0.1)
    clip = moving()
    assert clip.masks is not None
    one = Clip(frames=clip.frames, index=clip.index, masks=clip.masks.where(clip.masks == 1, 0))
    empty = deepcopy(one)
    assert empty.masks is not None
    empty.masks[1] = 0

    def loss(given, rows=2, objects=2):
        part = Clip(frames=given.frames[:rows], index=given.index[:rows], masks=given.masks[:rows])
        config = LRefineConfig(objects=objects, carry=TRACKED)
        return LRefine(config)(EncodedClip(part, model), seeded()).total.item()

    assert loss(one) == pytest.approx(loss(one, objects=1), rel=1e-3)
    assert loss(empty) == pytest.approx(loss(one, rows=1), rel=1e-4)


@pytest.mark.parametrize("settings", [{"objects": 0}, {"frames": 1}, {"perturb": 1.5}])
def test_settings_are_checked(settings):
    with pytest.raises(UsageError):
        LRefineConfig(**settings)


def test_labels_finer_than_pixels_are_refused():
    clip = EncodedClip(moving(), made("slim"))
    with pytest.raises(UsageError, match="finer than pixels"):
        track_clips(clip, LRefineConfig(carry=CarryConfig(scale=16)), seeded())
