import math
from dataclasses import replace

import pytest

from selfvos import api
from selfvos.errors import UsageError
from selfvos.ops.left_behind import LeaveConfig
from selfvos.ops.matching import MatchConfig
from selfvos.ops.window_attention import AttendConfig
from selfvos.settings import from_dict, override, to_dict
from selfvos.tracking.presets import PRESETS
from selfvos.tracking.recommendation import recommended
from selfvos.tracking.settings import FrameConfig, LabelConfig, ShowConfig, SmoothConfig, TrackConfig


@pytest.mark.parametrize(("side", "radius", "edge"), [(240, 9.0, 6), (360, 13.5, 9), (480, 18.0, 12)])
def test_a_smaller_frame_shrinks_the_window_and_the_reach_of_edges(side, radius, edge):
    usual = TrackConfig(match=MatchConfig(radius_cells=18.0, top_k=6), show=ShowConfig(edge_px=12))
    small = usual.at_size(side)
    assert (small.frame.short_side_px, small.match.radius_cells, small.show.edge_px) == (side, radius, edge)
    assert small.match.top_k == 6
    assert small.at_size(480) == usual


def test_other_sizes_scale_alike():
    assert TrackConfig(frame=FrameConfig(size_px=(320, 480))).at_size(160).frame.size_px == (160, 240)
    assert TrackConfig(match=AttendConfig(radius_cells=12)).at_size(240).match == AttendConfig(radius_cells=6)
    assert TrackConfig(match=MatchConfig(radius_cells=math.inf)).at_size(240).match.radius_cells == math.inf
    assert TrackConfig(show=ShowConfig(edge_px=1)).at_size(120).show.edge_px == 1, "what is there stays there"
    assert TrackConfig().at_size(120).show.edge_px == TrackConfig().at_size(120).show.lines_px == 0
    lines = TrackConfig(show=ShowConfig(lines_px=7))
    assert [lines.at_size(side).show.lines_px for side in (120, 240, 480, 600, 720)] == [3, 3, 7, 9, 11]
    half = TrackConfig(labels=LabelConfig(leave=LeaveConfig())).at_size(240).labels.leave
    assert half == LeaveConfig(away_cells=1.5, around_cells=4, reach_cells=18.0)
    with pytest.raises(UsageError, match=r"set frame\.short_side_px"):
        PRESETS.get("mast").at_size(240)


def test_a_setting_of_a_group_chooses_no_other_group():
    mast = PRESETS.get("mast")
    assert override(mast, ["match.temperature=0.5"]).match == replace(mast.match, temperature=0.5)
    assert override(TrackConfig(), ["match.top_k=6"]).match == MatchConfig(top_k=6)
    with pytest.raises(UsageError, match="setting match: top_k do not go with compact_above, recentre_after"):
        override(mast, ["match.top_k=6"])
    assert override(mast, ['match={"top_k": 6}']).match == MatchConfig(top_k=6)
    assert from_dict(TrackConfig, to_dict(mast)) == mast


def test_weights_that_ship_know_how_to_be_quick():
    model = api.load("default", device="cpu")
    fast = api.track_config(model, None, "fast")
    assert (fast.frame.short_side_px, fast.match.radius_cells, fast.show.edge_px, fast.refine.rounds) == (
        240,
        9.0,
        6,
        0,
    )
    balanced, best = api.track_config(model, None, "balanced"), api.track_config(model, None, "best")
    assert balanced == recommended(model)
    larger = balanced.at_size(600)
    assert larger.labels.leave is not None
    labels = replace(larger.labels, leave=replace(larger.labels.leave, every=1))
    feature = replace(larger.feature, smaller=(0.8,))
    assert best == replace(larger, feature=feature, labels=labels, smooth=SmoothConfig())
    with pytest.raises(UsageError, match="know fast, balanced, best, not 'fats'; did you mean 'fast'"):
        api.track_config(model, None, "fats")
    with pytest.raises(UsageError, match="not both"):
        api.track_config(model, "crw", "fast")
    with pytest.raises(UsageError, match="know no quality: leave it out"):
        api.track_config(api.load("lab-patches", device="cpu"), None, "fast")
