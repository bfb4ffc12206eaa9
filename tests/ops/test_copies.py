import math

import pytest
import torch
from torch.nn import functional as F

from selfvos.ops.copies import repeat_first
from selfvos.ops.matching import MatchConfig, match_plain
from selfvos.ops.propagation import readout


@pytest.mark.parametrize("copies", [0, 1, 3, 40])
@pytest.mark.parametrize(
    "config",
    [
        MatchConfig(top_k=5, radius_cells=3.0, temperature=0.3),
        MatchConfig(top_k=12, radius_cells=2.0, window="square", temperature=0.3, exempt_permanent=False),
        MatchConfig(top_k=64, radius_cells=math.inf, temperature=0.3),
        MatchConfig(top_k=4, radius_cells=math.inf, temperature=0.3, per_frame=True, normalise="frame"),
    ],
)
def test_it_is_as_if_copies_had_been_searched(config, copies):
    generator = torch.Generator().manual_seed(copies)
    query, memory = (F.normalize(torch.randn(*n, 6, 7, 8, generator=generator), dim=-1) for n in ((), (3,)))
    labels = torch.rand(3, 42, 2, generator=generator)
    first = torch.tensor([True, False, False])
    found = repeat_first(match_plain(query, memory, first, config), copies, (6, 7), config)
    more = torch.cat([memory, memory[:1].expand(copies, -1, -1, -1)])
    wanted = match_plain(query, more, torch.arange(3 + copies) == 0, config)
    carried = readout(torch.cat([labels, labels[:1].expand(copies, -1, -1)]).flatten(0, 1), wanted)
    torch.testing.assert_close(readout(labels.flatten(0, 1), found), carried)
