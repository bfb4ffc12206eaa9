import math
from itertools import pairwise

import pytest
import torch

from selfvos.errors import UsageError
from selfvos.ops.paste import PasteConfig, paste_objects

ALWAYS = PasteConfig(probability=1.0)


def two_clips(side: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """One dark and one bright clip, each with a square in its middle as object 1."""
    frames = torch.stack([torch.full((3, 3, side, side), 0.1), torch.full((3, 3, side, side), 0.9)])
    masks = torch.zeros(2, 3, side, side, dtype=torch.int64)
    masks[..., side // 4 : -side // 4, side // 4 : -side // 4] = 1
    return frames, masks


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_pasted_object_brings_the_pixels_of_the_other_clip_where_its_label_is():
    frames, masks = two_clips()
    seen, labels = paste_objects(frames, masks, ALWAYS, seeded(), label=2)
    for clip, other in ((0, 0.9), (1, 0.1)):
        core = seen[clip][(labels[clip] == 2)[:, None].expand_as(seen[clip])]
        assert core.numel() > 0
        # At the outline, where it covers half, both clips are mixed.
        assert (core - other).abs().max() <= 0.4 + 1e-3
        assert ((core - other).abs() < 1e-3).float().mean() > 0.7
        far = labels[clip] != 2
        changed = (seen[clip] - frames[clip]).abs().amax(dim=1)
        assert changed[far].max() <= 0.4 + 1e-3


def test_it_moves_in_a_straight_line_as_drawn():
    """Its centre, counted over its pixels, goes as far in each frame as the generator says."""
    frames, masks = two_clips()
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    whole = 0
    for seed in range(12):
        _, labels = paste_objects(frames, masks, PasteConfig(probability=1.0, max_scale=0.6), seeded(seed), label=2)
        unit = torch.rand(7, 2, generator=seeded(seed))
        for clip in range(2):
            shown = labels[clip] == 2
            if shown[:, [0, -1]].any() or shown[:, :, [0, -1]].any():
                continue  # a part is beyond the picture
            centres = [((columns[one].mean().item()), rows[one].mean().item()) for one in shown]
            towards, far = math.pi * (2 * unit[3, clip].item() - 1), 0.12 * unit[2, clip].item() * 32
            for (x, y), (next_x, next_y) in pairwise(centres):
                assert next_x - x == pytest.approx(far * math.cos(towards), abs=0.4)
                assert next_y - y == pytest.approx(far * math.sin(towards), abs=0.4)
            whole += 1
    assert whole >= 5


def test_nothing_changes_at_probability_0_nor_alone_nor_without_an_object_to_take():
    frames, masks = two_clips()
    assert paste_objects(frames, masks, PasteConfig(), seeded(), label=2) == (frames, masks)
    assert paste_objects(frames[:1], masks[:1], ALWAYS, seeded(), label=2)[0] is not None
    for given in (masks * 0, masks * 2):
        seen, labels = paste_objects(frames, given, ALWAYS, seeded(), label=2)
        assert torch.equal(seen, frames)
        assert torch.equal(labels, given)


def test_the_same_seed_pastes_the_same():
    frames, masks = two_clips()
    once, again = (paste_objects(frames, masks, ALWAYS, seeded(3), label=2) for _ in range(2))
    assert torch.equal(once[0], again[0])
    assert torch.equal(once[1], again[1])


def test_an_own_object_of_that_name_gives_way():
    frames, masks = two_clips()
    masks[:, :, :4, :4] = 2
    _, labels = paste_objects(frames, masks, ALWAYS, seeded(5), label=2)
    corners = labels[:, :, :2, :2]
    covered = (labels[:, :, 8:, 8:] == 2).flatten(1).any(dim=1)
    assert covered.all()
    assert ((corners == 0) | (labels[:, :, :2, :2] == 2)).all()


@pytest.mark.parametrize(
    "settings", [{"probability": 1.1}, {"min_scale": 0.0}, {"min_scale": 2.0}, {"reveal": 1.5}, {"bend": -0.1}]
)
def test_settings_are_checked(settings: dict[str, float]):
    with pytest.raises(UsageError):
        PasteConfig(**settings)


def test_what_is_revealed_shows_a_part_first_and_all_of_it_last():
    """One in four hides instead; what is shown is never more than the whole object."""
    frames, masks = two_clips()
    config = PasteConfig(probability=1.0, max_scale=0.6)
    grown, shrunk = 0, 0
    for seed in range(20):
        _, whole = paste_objects(frames, masks, config, seeded(seed), label=2)
        _, part = paste_objects(
            frames, masks, PasteConfig(probability=1.0, max_scale=0.6, reveal=1.0), seeded(seed), label=2
        )
        for clip in range(2):
            full, shown = whole[clip] == 2, part[clip] == 2
            assert not (shown & ~full).any()
            share = shown.flatten(1).sum(dim=1) / full.flatten(1).sum(dim=1)
            grown += bool(share[0] < 0.8 and share[-1] == 1)
            shrunk += bool(share[-1] < 0.8 and share[0] == 1)
    assert grown > shrunk > 0
    assert grown + shrunk >= 30


def test_what_bends_keeps_its_place_and_changes_its_shape():
    frames, masks = two_clips()
    rigid = paste_objects(frames, masks, PasteConfig(probability=1.0, max_scale=0.6), seeded(2), label=2)[1] == 2
    bent = (
        paste_objects(frames, masks, PasteConfig(probability=1.0, max_scale=0.6, bend=0.1), seeded(2), label=2)[1] == 2
    )
    assert (rigid != bent).any()
    both = (rigid & bent).flatten(1).sum(dim=1) / (rigid | bent).flatten(1).sum(dim=1)
    assert (both > 0.6).all()
