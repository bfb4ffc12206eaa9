"""What matching finds where the first memory frame stands there several times, without a copy of it."""

import torch
from jaxtyping import Int64
from torch import Tensor

from selfvos.ops.matching import MatchConfig, Matches, window_reach


def repeat_first(matches: Matches, copies: int, grid: tuple[int, int], config: MatchConfig) -> Matches:
    """Weight matches as if more copies of the first memory frame had been searched.

    A cell that stands there several times takes several of the top places, and so drives out the last of the others.
    What is left are cells that were found without the copies: nothing needs to be searched again.

    Args:
        matches: Found with `config`, the first frame once.
        copies: How many more of it there are, at least 0. They are no permanent frames: a cell of a copy counts
            within the window alone.
        grid: Rows and columns of cells.
        config: Window, number of matches, temperature; `per_frame` only with an infinite radius.

    Returns:
        The same cells with other weights.

    Source:
        Jabri et al. 2020 (arXiv:2006.14613) and Wang et al. 2019 (arXiv:1903.07593), public code: a video begins with
        copies of its first frame. This is exact, but for rounding.
    """
    first = matches.index < grid[0] * grid[1]
    if config.per_frame:
        times = first * copies + 1
        frames = matches.index.shape[1] // config.top_k
        return matches._replace(weight=matches.weight * times * (frames / (frames + copies)))
    times = (first & _in_window(matches.index, grid, config)) * copies + 1
    before = times.cumsum(dim=1) - times
    kept = (config.top_k - before).clamp_min(0).minimum(times)
    weight = kept * ((matches.score - matches.score[:, :1]) / config.temperature).exp()
    return matches._replace(weight=weight / weight.sum(dim=1, keepdim=True))


def _in_window(index: Int64[Tensor, "m k"], grid: tuple[int, int], config: MatchConfig) -> Tensor:
    h, w = grid
    query, place = torch.arange(h * w, device=index.device)[:, None], index % (h * w)
    reach = torch.from_numpy(window_reach(config, h, w)).to(index.device)
    return (query % w - place % w).abs() <= reach[(query // w - place // w).abs()]
