"""Matching and read-out at 480p: 60 x 107 cells, 21 frames, the first everywhere; plain features and whitened ones."""

from collections.abc import Callable

import torch

from benchmarks.compare import Entry, Turns, compare
from benchmarks.footage import features, model, whitened
from benchmarks.reference.matcher import dense_matches
from selfvos.ops import matching
from selfvos.ops.known_frames import KnownFrames, MatchCache
from selfvos.ops.matching import MatchConfig, Matches, match
from selfvos.ops.propagation import readout
from selfvos.tracking.recommendation import recommended

Match = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, MatchConfig], Matches]


def match_exact(repeats: int) -> Entry:
    """Every product computed in full, against the dense definition."""
    return _against_dense("match_exact", _exhaustive, repeats, features(22), MatchConfig())


def match_fast(repeats: int) -> Entry:
    """What the tracker uses: sketches tell which products can be left out, and the answer is the same."""
    return _against_dense("match_fast", match, repeats, features(22), MatchConfig())


def match_whitened(repeats: int) -> Entry:
    """What the tracker does with the features that the weights recommend, of which one frame is new each time."""
    cache, calls = MatchCache(leading=True), 0

    def find(query: torch.Tensor, memory: torch.Tensor, permanent: torch.Tensor, config: MatchConfig) -> Matches:
        nonlocal calls
        calls += 1
        latest = (calls if i == 1 + calls % (len(memory) - 1) else -i for i in range(len(memory)))
        return match(query, memory, permanent, config, KnownFrames(cache, tuple(latest)))

    config = recommended(model()).match
    assert isinstance(config, MatchConfig), "the weights recommend a mixture of windows"
    return _against_dense("match_whitened", find, repeats, whitened(22), config, recall=0.999)


def _exhaustive(query: torch.Tensor, memory: torch.Tensor, permanent: torch.Tensor, config: MatchConfig) -> Matches:
    """Match without sketches."""
    worth, matching._is_worth_sketching = matching._is_worth_sketching, lambda *_: False
    try:
        return match(query, memory, permanent, config)
    finally:
        matching._is_worth_sketching = worth


def _against_dense(
    name: str, find: Match, repeats: int, frames: torch.Tensor, config: MatchConfig, *, recall: float = 1.0
) -> Entry:
    query, memory = frames[-1].contiguous(), frames[:-1].contiguous()
    values = torch.rand(memory.shape[:3].numel(), 3)
    permanent = torch.arange(len(memory)) == 0

    def ours() -> tuple[torch.Tensor, torch.Tensor]:
        matches = find(query, memory, permanent, config)
        return matches.index, readout(values, matches)

    def reference() -> tuple[torch.Tensor, torch.Tensor]:
        cells, weights = dense_matches(
            query, memory, radius=config.radius_cells, top_k=config.top_k, temperature=config.temperature
        )
        return cells, (values[cells] * weights[..., None]).sum(dim=1)

    (cells, mixed), (true_cells, true_mixed) = ours(), reference()
    same = (cells.sort(dim=1).values == true_cells.sort(dim=1).values).all(dim=1)
    # Where nothing moves, several memory cells are equally good, and either side may keep any of them.
    gap = _scores(query, memory, true_cells) - _scores(query, memory, cells)
    found = float((gap < 1e-6).float().mean())
    difference = float((mixed - true_mixed)[same].abs().max())
    assert found >= recall, found
    assert difference < 1e-5, difference
    text = (
        f"{found:.3%} of top {config.top_k} found, all of {same.float().mean():.3%} of cells; read-out {difference:.0e}"
    )
    return compare(name, (ours, reference), Turns(repeats=repeats, heavy=True), text)


def _scores(query: torch.Tensor, memory: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """Return the kept products in double precision, best first."""
    kept = memory.flatten(0, 2)[cells].double()
    return (kept @ query.flatten(0, 1).double()[..., None])[..., 0].sort(dim=1, descending=True).values
