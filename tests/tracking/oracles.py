"""Label propagation as the table of published methods says it, written out densely: slow, and with nothing shared."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    references: Callable[[int], list[tuple[int, bool]]]
    """Frames that frame t is compared with, and whether each is restricted to the neighbourhood."""
    near: Callable[[float, float], bool]
    """Whether rows and columns so far apart are in the neighbourhood."""
    mode: str
    """``joint`` or ``frame`` top k, ``all`` cells."""
    k: int
    tau: float
    l2: bool = True
    down: str = "area"
    up: str = "bilinear"
    hard: bool = False
    norm: str = "never"
    gain: float = 1.0
    recentre: bool = False
    compact: bool = False


def first_and(n, *, restricted):
    return lambda t: [(0, restricted), *((i, True) for i in range(max(1, t - n), t))]


def with_copies(n):
    return lambda t: [(0, False), *((max(0, i), True) for i in range(t - n, t))]


def mast(t):
    return [(i, True) for i in sorted({i for i in (0, 5, t - 1, t - 3, t - 5) if 0 <= i < t})]


def euclid(r):
    return lambda y, x: (y * y + x * x) ** 0.5 < r


def square(r):
    return lambda y, x: abs(y) <= r and abs(x) <= r


def everywhere(y, x):
    return True


_UVC = Row(first_and(7, restricted=True), everywhere, "frame", 5, 1.0, l2=False, down="nearest", norm="shown")
_DINO = Row(first_and(7, restricted=True), square(12), "joint", 5, 0.1, down="nearest", norm="shown")
_VFS = Row(first_and(20, restricted=True), euclid(12), "joint", 10, 0.07, down="nearest", norm="shown")
_MAST = Row(mast, square(12), "all", 0, 1.0, l2=False, down="subsample", hard=True, recentre=True)
ROWS = {
    # Departure of the preset: masks are averaged over cells.
    "crw": Row(with_copies(20), euclid(12), "joint", 10, 0.05),
    "dul": Row(with_copies(20), euclid(12), "joint", 10, 0.05),
    "mask-vos-propagation": Row(first_and(20, restricted=False), euclid(12), "joint", 10, 0.05),
    "vfs": _VFS,
    "vfs-resnet50": Row(first_and(20, restricted=True), euclid(18), "joint", 10, 0.07, down="nearest", norm="shown"),
    "dino": _DINO,
    "uvc": _UVC,
    "concorr": _UVC,
    "timecycle": Row(with_copies(7), everywhere, "frame", 5, 512**-0.5, down="bilinear", norm="carried"),
    "corrflow": Row(
        lambda t: [(t - 1, True)], square(6), "all", 0, 1.0, l2=False, down="subsample", hard=True
    ),
    "mast": _MAST,
    "liir": Row(
        mast, square(14), "all", 0, 1.0, l2=False, down="subsample", hard=True, gain=1.05, compact=True
    ),
    "dinov3": Row(
        first_and(7, restricted=True),
        lambda y, x: y * y + x * x <= 144,
        "joint",
        5,
        0.2,
        down="nearest",
        up="nearest",
        norm="shown",
    ),
    "rsp": Row(first_and(30, restricted=True), square(30), "joint", 7, 0.1, down="nearest", norm="shown"),
    "cropmae": Row(with_copies(20), euclid(20), "joint", 7, 0.7, down="bilinear"),
    "smtc": Row(with_copies(20), euclid(7), "joint", 7, 0.2, down="bilinear"),
    "smtc-fine": Row(with_copies(20), euclid(35), "joint", 28, 0.2, down="bilinear"),
}  # fmt: skip


def propagate(features, ids, objects, row):
    """Follow the row to the letter.

    Args:
        features: t h w c, as the network gives them.
        ids: First mask at the size of the frame, a multiple of the grid.
        objects: Ids to follow.
        row: The rule.

    Returns:
        For every later frame: labels o1 h w as they are carried on, ids y x, and the pixels where the second best label
        is clearly worse.
    """
    features = features.double()
    if row.l2:
        features = F.normalize(features, dim=-1)
    t, h = features.shape[:2]
    stride = len(ids) // h
    labels, results = [shrink(one_hot(ids, objects), stride, row.down)], []
    for now in range(1, t):
        carried = (carry_all if row.mode == "all" else carry_best)(features, labels, now, row)
        carried[1:] *= row.gain
        if row.norm == "carried":
            carried = normalise(carried)
        picture = F.interpolate(
            carried[None], scale_factor=stride, mode="bilinear" if row.up == "bilinear" else "nearest-exact"
        )[0]
        if row.norm == "shown":
            picture = normalise(picture)
        mask = torch.tensor([0, *objects])[picture.argmax(dim=0)]
        labels.append(shrink(one_hot(mask, objects), stride, row.down) if row.hard else carried)
        best, second = picture.topk(2, dim=0).values
        results.append((labels[-1], mask, best - second > 1e-3))
    return results


def one_hot(ids, objects):
    return torch.stack([ids == i for i in (0, *objects)]).double()


def shrink(maps, stride, down):
    if down == "area":
        return F.avg_pool2d(maps, stride)
    if down == "subsample":
        return maps[:, ::stride, ::stride]
    mode = "bilinear" if down == "bilinear" else "nearest-exact"
    return F.interpolate(maps[None], scale_factor=1 / stride, mode=mode)[0]


def normalise(maps):
    out = maps.clone()
    for channel in out:
        channel -= channel.min()
        if channel.max() > 0:
            channel /= channel.max()
    return out


def neighbourhood(h, w, near):
    """Tell for each pair of cells r, q whether they are near."""
    inside = torch.zeros(2 * h - 1, 2 * w - 1, dtype=torch.bool)
    for dy in range(1 - h, h):
        for dx in range(1 - w, w):
            inside[dy + h - 1, dx + w - 1] = near(dy, dx)
    y, x = torch.arange(h * w) // w, torch.arange(h * w) % w
    return inside[y[:, None] - y + h - 1, x[:, None] - x + w - 1]


def carry_best(features, labels, now, row):
    h, w, c = features.shape[1:]
    query = features[now].reshape(-1, c)
    near = neighbourhood(h, w, row.near)
    references = row.references(now)
    columns = []
    for frame, restricted in references:
        scores = features[frame].reshape(-1, c) @ query.T  # r q
        columns.append(scores.masked_fill(~near, -torch.inf) if restricted else scores)
    values = [labels[frame].flatten(1) for frame, _ in references]  # o r
    if row.mode == "frame":
        parts = []
        for scores, value in zip(columns, values, strict=True):
            affinity = (scores / row.tau).softmax(dim=0)
            least = affinity.topk(row.k, dim=0).values[-1]
            parts.append(value @ affinity.where(affinity >= least, 0.0))
        return (sum(parts) / len(parts)).unflatten(1, (h, w))
    scores, value = torch.cat(columns), torch.cat(values, dim=1)
    best, index = scores.topk(row.k, dim=0)
    return (value[:, index] * (best / row.tau).softmax(dim=0)).sum(dim=1).unflatten(1, (h, w))


def carry_all(features, labels, now, row):
    h, w, _ = features.shape[1:]
    radius = max(r for r in range(max(40, h, w)) if row.near(r, 0))
    steps = torch.arange(-radius, radius + 1).double()
    dy, dx = (grid.flatten() for grid in torch.meshgrid(steps, steps, indexing="ij"))
    y, x = (grid.flatten().double() for grid in torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij"))
    query = features[now].flatten(0, 1)  # m c
    scores, samples = [], []
    for frame, _ in row.references(now):
        picture = features[frame].movedim(2, 0)
        down, across = y, x
        age = now - frame
        if row.recentre and age > 15:
            rate = min(4, age // 15 + 1)
            at = y[:, None] + rate * dy, x[:, None] + rate * dx  # m k
            coarse = compare(query, picture, *at, row.tau).softmax(dim=1)
            down, across = y + rate * (coarse * dy).sum(dim=1), x + rate * (coarse * dx).sum(dim=1)
        at = down[:, None] + dy, across[:, None] + dx
        scores.append(compare(query, picture, *at, row.tau))
        samples.append(sample(labels[frame], *at))  # o m k
    weight = torch.stack(scores, dim=1).flatten(1).softmax(dim=1).unflatten(1, (len(scores), -1))  # m n k
    if row.compact:
        weight = torch.stack([two_peaks(w, radius) for w in weight.flatten(0, 1)]).view_as(weight)
    return torch.einsum("mnk,nomk->om", weight, torch.stack(samples)).unflatten(1, (h, w))


def sample(picture, down, across):
    h, w = picture.shape[1:]
    grid = torch.stack([2 * across / (w - 1) - 1, 2 * down / (h - 1) - 1], dim=-1)
    return F.grid_sample(picture[None], grid[None], align_corners=True)[0]


def compare(query, picture, down, across, tau):
    h, w = picture.shape[1:]
    scores = torch.einsum("mc,cmk->mk", query, sample(picture, down, across)) / tau
    inside = (down >= 0) & (down <= h - 1) & (across >= 0) & (across <= w - 1)
    return scores.masked_fill(~inside, -torch.inf)


def two_peaks(weight, radius):
    if weight.max() <= 0.1:
        return weight
    side = 2 * radius + 1
    best, place = weight.sort(descending=True)
    heights = best[:2].softmax(dim=0)
    y, x = torch.arange(side**2) // side, torch.arange(side**2) % side
    return sum(
        height * 2.0 ** (-4 * ((y - p // side) ** 2 + (x - p % side) ** 2))
        for height, p in zip(heights, place[:2], strict=True)
    )
