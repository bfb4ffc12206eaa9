import torch

from selfvos.ops.evidence import evidence
from selfvos.ops.matching import MatchConfig, Matches, match


def test_a_cell_that_memory_holds_has_the_score_of_itself():
    cells = torch.nn.functional.normalize(torch.randn(4, 5, 16, generator=torch.Generator().manual_seed(0)), dim=-1)
    known = cells.clone()
    known[0, 0] = -known[0, 0]
    matches = match(cells, known[None], torch.tensor([True]), MatchConfig(top_k=1))
    best, mean = evidence(matches, (4, 5))
    assert best[0, 0] < 0.9
    torch.testing.assert_close(best.flatten()[1:], torch.ones(19))
    torch.testing.assert_close(best, mean)


def test_matches_that_are_not_there_do_not_count():
    score = torch.tensor([[0.8, 0.4], [0.6, -torch.inf]])
    matches = Matches(torch.zeros(2, 2, dtype=torch.int64), torch.tensor([[0.75, 0.25], [1.0, 0.0]]), score)
    best, mean = evidence(matches, (1, 2))
    torch.testing.assert_close(best, torch.tensor([[0.8, 0.6]]))
    torch.testing.assert_close(mean, torch.tensor([[0.7, 0.6]]))
