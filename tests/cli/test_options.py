"""What options make of settings."""

import pytest

from selfvos.cli.options import Changes
from selfvos.settings import override
from selfvos.tracking.settings import RefineConfig, TrackConfig

SMOOTH = override(TrackConfig(refine=RefineConfig(rounds=0)), ["smooth={}"])


@pytest.mark.parametrize("rounds", [None, 0, 1, 3])
def test_rounds_of_v_and_d_leave_no_smoothing(rounds):
    changed = Changes(rounds=rounds).of(SMOOTH)
    assert changed.refine.rounds == (rounds or 0)
    assert (changed.smooth is None) == bool(rounds)
