import pytest
import torch
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.ops.guided_filter import Guide, filter_labels, guided_filter, guided_filter_plain


def disc(side: int = 64) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return ((y - side / 2) ** 2 + (x - side / 2) ** 2 < (side / 4) ** 2).long()


def blocky(labels: torch.Tensor, cell: int = 8) -> torch.Tensor:
    return labels[cell // 2 :: cell, cell // 2 :: cell].repeat_interleave(cell, 0).repeat_interleave(cell, 1)


def test_a_blocky_outline_comes_closer_to_the_edge_in_the_picture():
    truth = disc()
    frames = torch.where(truth.bool(), 0.8, 0.3).expand(3, -1, -1) + 0.02 * torch.randn(3, 64, 64)
    given = blocky(truth)
    found = filter_labels(frames[None], given[None], radius_px=8)[0]
    assert (given != truth).float().mean() > 0.03
    assert (found != truth).float().mean() < 0.01


def test_labels_of_an_even_picture_stay_where_they_are():
    given = torch.zeros(1, 64, 64, dtype=torch.int64)
    given[:, :, 24:] = 1
    given[:, :, 48:] = 2
    assert torch.equal(filter_labels(torch.full((1, 3, 64, 64), 0.5), given, radius_px=6), given)


def test_it_keeps_labels_and_odd_sizes():
    torch.manual_seed(0)
    given = torch.randint(0, 3, (2, 33, 47))
    found = filter_labels(torch.rand(2, 3, 33, 47), given, radius_px=3)
    assert found.shape == given.shape
    assert set(found.unique().tolist()) <= {0, 1, 2}


def test_it_is_the_filter_that_its_authors_define():
    """In every window the plane over colours that fits the mask best, and in every pixel the mean of its planes."""
    generator = torch.Generator().manual_seed(0)
    frames, masks = torch.rand(1, 3, 14, 18, generator=generator), torch.rand(1, 1, 14, 18, generator=generator)
    radius, epsilon = 2, 0.01
    small = [functional.avg_pool2d(x, 2)[0].double() for x in (frames, masks)]
    height, width = small[0].shape[-2:]
    planes = torch.zeros(height, width, 4, dtype=torch.double)
    for y in range(height):
        for x in range(width):
            window = (slice(max(0, y - radius), y + radius + 1), slice(max(0, x - radius), x + radius + 1))
            colours, mask = (one[:, *window].flatten(1) for one in small)
            centred = colours - colours.mean(dim=1, keepdim=True)
            variance = centred @ centred.T / colours.shape[1] + epsilon * torch.eye(3, dtype=torch.double)
            covariance = centred @ (mask[0] - mask.mean()) / colours.shape[1]
            slope = torch.linalg.solve(variance, covariance)
            planes[y, x] = torch.cat([slope, (mask.mean() - slope @ colours.mean(dim=1))[None]])
    mean = torch.stack(
        [
            planes[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1].mean(dim=(0, 1))
            for y in range(height)
            for x in range(width)
        ]
    )
    grown = functional.interpolate(mean.T.view(1, 4, height, width), size=(14, 18), mode="bilinear")[0]
    expected = (grown[:3] * frames[0]).sum(dim=0) + grown[3]
    found = guided_filter(frames, masks, radius_px=2 * radius, epsilon=epsilon)[0, 0]
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [(2, 2), (3, 40), (8, 9), (64, 50)])
@pytest.mark.parametrize("radius", [1, 5, 30])
def test_running_sums_say_what_torch_says(size: tuple[int, int], radius: int):
    generator = torch.Generator().manual_seed(0)
    frames, masks = torch.rand(2, 3, *size, generator=generator), torch.rand(2, 4, *size, generator=generator)
    wanted = guided_filter_plain(frames.double(), masks.double(), radius_px=radius, epsilon=1e-3)
    found = guided_filter(frames, masks, radius_px=radius)
    torch.testing.assert_close(found.double(), wanted, atol=1e-4, rtol=0)


def test_maps_that_sum_to_one_still_do():
    frames, masks = torch.rand(1, 3, 20, 30), torch.rand(1, 3, 20, 30).softmax(dim=1)
    torch.testing.assert_close(guided_filter(frames, masks, radius_px=4).sum(dim=1), torch.ones(1, 20, 30))


def test_gradients_arrive_at_masks():
    masks = torch.rand(1, 2, 10, 12, requires_grad=True)
    guided_filter(torch.rand(1, 3, 10, 12), masks, radius_px=2).sum().backward()
    torch.testing.assert_close(masks.grad.sum(), torch.tensor(240.0))


@pytest.mark.parametrize("size", [(60, 90), (61, 91)])
@pytest.mark.parametrize("corner", [(0, 0), (30, 40), (54, 80)])
def test_a_part_that_has_all_of_a_mask_is_redrawn_as_the_whole(size, corner):
    generator = torch.Generator().manual_seed(0)
    frame, mask = torch.rand(3, *size, generator=generator), torch.zeros(size)
    mask[corner[0] : corner[0] + 6, corner[1] : corner[1] + 9] = 0.7
    guide = Guide(frame, radius_px=4, epsilon=1e-4)
    top, left = (max(0, place - guide.margin) for place in corner)
    part = (slice(top, corner[0] + 6 + guide.margin), slice(left, corner[1] + 10 + guide.margin))
    found = torch.zeros(size)
    found[part] = guide.redraw(mask[part], top, left)
    assert torch.equal(found, guided_filter(frame[None], mask[None, None], radius_px=4, epsilon=1e-4)[0, 0])


@pytest.mark.parametrize("settings", [{"radius_px": 0}, {"radius_px": 3, "epsilon": 0.0}])
def test_settings_are_checked(settings: dict[str, float]):
    with pytest.raises(UsageError):
        filter_labels(torch.rand(1, 3, 8, 8), torch.zeros(1, 8, 8, dtype=torch.int64), **settings)
