import math

import numpy as np
import pytest
import torch

from selfvos.errors import MaskMismatch, UsageError
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.ops.masks import balanced_cross_entropy
from selfvos.tracking.encoding import EncodedFrame
from selfvos.tracking.osvos import OSVOSConfig, augment
from selfvos.tracking.settings import FrameConfig, RefineConfig, SystemSpec, TrackConfig
from selfvos.tracking.system import MaskTracker, make_tracker

SIZE = 64
COLOURS = {1: (220, 40, 40), 700: (40, 60, 220), 3: (240, 220, 30)}


def draw(places):
    """Coloured discs on a textured ground and their mask; places: id -> (y, x) of the centre."""
    noise = np.random.default_rng(0).integers(0, 20, (SIZE, SIZE, 1), dtype=np.uint8)
    rgb = np.full((SIZE, SIZE, 3), (40, 130, 60), dtype=np.uint8) + noise
    mask = np.zeros((SIZE, SIZE), dtype=np.uint16)
    y, x = np.mgrid[:SIZE, :SIZE]
    for i, (cy, cx) in places.items():
        disc = (y - cy) ** 2 + (x - cx) ** 2 <= 100
        rgb[disc], mask[disc] = COLOURS[i], i
    return rgb, mask


def overlap(a, b):
    return (a & b).sum() / max((a | b).sum(), 1)


@pytest.fixture(scope="module")
def model(tiny_resnet):
    torch.manual_seed(0)
    return Segmenter(SegmenterConfig(backbone=tiny_resnet, last_stage=3, key_channels=8, mask_path="none")).eval()


@pytest.fixture(scope="module")
def colour_model():
    """Nothing but the sides learns: quick."""
    return Segmenter(SegmenterConfig(backbone="lab-patches", stride=4, mask_path="none")).eval()


def config(**settings):
    return TrackConfig(
        refine=RefineConfig(rounds=0),
        frame=FrameConfig(short_side_px=SIZE),
        system=SystemSpec(name="osvos", settings=settings),
    )


def test_follows_a_blob_from_an_untrained_encoder(model):
    tracker = make_tracker(model, config(steps=60, lr=3e-3, head_lr=3e-3))
    tracker.start(*draw({1: (16, 16)}))
    for step in range(1, 4):
        frame, mask = draw({1: (16 + 6 * step, 16 + 8 * step)})
        assert overlap(tracker.step(frame) == 1, mask == 1) > 0.8
    assert model.training is False
    assert all(p.requires_grad for p in model.parameters())


@pytest.fixture(scope="module")
def followed(colour_model):
    tracker = make_tracker(colour_model, config(steps=150, head_lr=1e-2))
    first = tracker.start(*draw({1: (16, 16), 700: (46, 44)}))
    frame, mask = draw({1: (28, 24), 700: (40, 30)})
    return tracker, first, tracker.step(frame), mask


def test_follows_two_blobs_by_one_network_each(followed):
    _, _, result, mask = followed
    assert overlap(result == 1, mask == 1) > 0.8
    assert overlap(result == 700, mask == 700) > 0.8


def test_has_the_interface_of_the_tracker(followed, colour_model):
    tracker, first, result, mask = followed
    assert isinstance(tracker, MaskTracker)
    own = make_tracker(colour_model, TrackConfig(refine=RefineConfig(rounds=0), frame=FrameConfig(short_side_px=SIZE)))
    assert isinstance(own, MaskTracker)
    assert own.supervision == ""
    assert own.start(*draw({1: (16, 16), 700: (46, 44)})).dtype == first.dtype
    other = own.step(draw({1: (28, 24), 700: (40, 30)})[0])
    assert (type(other), other.dtype, other.shape) == (type(result), result.dtype, result.shape)
    assert [state.id for state in own.objects] == [state.id for state in tracker.objects]
    assert first.dtype == result.dtype == np.uint16
    assert result.shape == mask.shape
    assert [state.id for state in tracker.objects] == [1, 700]
    assert all(not state.lost and 0.5 < state.confidence <= 1 for state in tracker.objects)
    assert "supervised" in tracker.supervision


def test_an_object_may_appear_later(colour_model):
    tracker = make_tracker(colour_model, config(steps=150, head_lr=1e-2))
    tracker.start(*draw({1: (16, 16)}))
    frame, mask = draw({1: (20, 20), 3: (46, 44)})
    given = np.where(mask == 3, mask, 0)
    assert (tracker.step(frame, given)[given == 3] == 3).all()
    assert [state.id for state in tracker.objects] == [1, 3]
    frame, mask = draw({1: (24, 24), 3: (46, 40)})
    result = tracker.step(frame)
    assert overlap(result == 3, mask == 3) > 0.5


def test_the_seed_decides_and_the_caller_may_have_switched_gradients_off(model):
    def run(seed):
        tracker = make_tracker(model, config(steps=2, seed=seed))
        tracker.start(*draw({1: (16, 16)}))
        noise = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
        framing = tracker._encoding.fit(np.zeros((SIZE, SIZE, 3), np.uint8))
        with torch.inference_mode():
            return tracker.propagator.follow(EncodedFrame(tracker._encoding, noise, framing, 0)).cells

    first = run(1)
    torch.rand(1)  # the global generator must not matter
    with torch.inference_mode():
        again = run(1)
    assert torch.equal(first, again)
    assert not torch.equal(first, run(2))


def test_wrong_calls_and_settings_say_what_to_do(model):
    tracker = make_tracker(model, config())
    frame, mask = draw({1: (16, 16)})
    with pytest.raises(UsageError, match="start"):
        tracker.step(frame)
    with pytest.raises(MaskMismatch, match="mask is 10x10"):
        tracker.start(frame, mask[:10, :10])
    with pytest.raises(UsageError, match="steps"):
        make_tracker(model, config(steps=0))
    with pytest.raises(UsageError, match="did you mean 'steps'"):
        make_tracker(model, config(step=1))
    with pytest.raises(UsageError, match="did you mean 'osvos'"):
        make_tracker(model, TrackConfig(refine=RefineConfig(rounds=0), system=SystemSpec(name="osvoz")))


def test_object_and_background_weigh_the_same_in_the_loss():
    mask = torch.zeros(1, 1, 10, 10)
    mask[..., :2, :] = 1  # a fifth
    even = balanced_cross_entropy(torch.zeros_like(mask), mask)
    torch.testing.assert_close(even, torch.tensor(2 * 0.2 * 0.8 * math.log(2)))
    wrong_object = balanced_cross_entropy(torch.full_like(mask, -5.0), mask)
    wrong_ground = balanced_cross_entropy(torch.full_like(mask, 5.0), mask)
    torch.testing.assert_close(wrong_object, wrong_ground)


def test_augmentation_moves_frame_and_mask_together():
    rgb, mask = draw({1: (20, 40)})
    image = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
    drawn = torch.from_numpy(mask == 1)[None, None].float()
    generator = torch.Generator().manual_seed(0)
    centres = set()
    for _ in range(5):
        frame, target = augment(image, drawn, OSVOSConfig(), generator)
        red = frame[:, :1] - frame[:, 1:2] > 0.2
        assert overlap(red.numpy(), (target > 0.5).numpy()) > 0.85
        centres.add(tuple(target[0, 0].nonzero().float().mean(dim=0).round().tolist()))
    assert len(centres) > 3


def test_without_ranges_augmentation_leaves_everything_or_mirrors():
    image, mask = torch.rand(1, 3, 6, 10), torch.rand(1, 1, 6, 10)
    still = {"max_rotation_degrees": 0.0, "min_scale": 1.0, "max_scale": 1.0}
    for probability, flipped in ((0.0, False), (1.0, True)):
        ranges = OSVOSConfig(flip_probability=probability, **still)
        frame, target = augment(image, mask, ranges, torch.Generator().manual_seed(0))
        torch.testing.assert_close(frame, image.flip(-1) if flipped else image, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(target, mask.flip(-1) if flipped else mask, atol=1e-5, rtol=1e-5)
