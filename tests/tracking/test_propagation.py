from dataclasses import replace

import pytest
import torch
from tests.tracking.given import FRAME, moving, small, tracker_of, two_objects
from torch.nn import functional as F

from selfvos.ops.matching import MatchConfig
from selfvos.ops.window_attention import AttendConfig, attend
from selfvos.tracking import propagation
from selfvos.tracking.memory import Entry, Memory
from selfvos.tracking.presets import PRESETS
from selfvos.tracking.settings import MemoryConfig, RefineConfig, TrackConfig

WAYS = {
    "top k of all": PRESETS.get("crw"),
    "top k of each frame": PRESETS.get("timecycle"),
    "twice": replace(PRESETS.get("vfs"), memory=MemoryConfig(pad_start="twice")),
}


def followed(config):
    tracker = tracker_of(moving(6), small(config))
    tracker.start(FRAME, two_objects())
    for _ in range(4):
        tracker.step(FRAME)
    return tracker.propagator.latest.cells


@pytest.mark.parametrize("way", WAYS)
def test_copies_that_are_searched_change_what_copies_that_are_counted_do(way, monkeypatch):
    counted = followed(WAYS[way])
    monkeypatch.setattr(propagation, "_are_cheap", lambda *_: False)
    torch.testing.assert_close(followed(WAYS[way]), counted, atol=2e-5, rtol=0)


def filled(count, **settings):
    """Return a memory of so many frames, what a frame is matched by, and their labels."""
    generator = torch.Generator().manual_seed(0)
    keys = F.normalize(torch.randn(count + 1, 6, 7, 8, generator=generator), dim=-1)
    labels = torch.rand(count, 42, 3, generator=generator)
    memory = Memory(4, **settings)
    for key, one in zip(keys[:-1], labels, strict=True):
        memory.keep(Entry(key, one, None))
    return memory, keys, labels


@pytest.mark.parametrize(
    ("settings", "copies"), [({"pad_start": "fill"}, 3), ({"pad_start": "twice"}, 1), ({"pad_start": "never"}, 0)]
)
def test_a_mixture_counts_copies_too(settings, copies):
    memory, keys, labels = filled(2)
    config = TrackConfig(
        refine=RefineConfig(rounds=0), match=AttendConfig(radius_cells=2), memory=MemoryConfig(last=4, **settings)
    )
    found = propagation.propagation(keys[2], memory, config).carry(memory.labels)
    frames = torch.cat([keys[:1].expand(copies, -1, -1, -1), keys[:2]])
    values = torch.cat([labels[:1].expand(copies, -1, -1), labels]).flatten(0, 1)
    wanted = attend(keys[2], frames, values, [2] * copies + [2, 1], AttendConfig(radius_cells=2))
    torch.testing.assert_close(found, wanted)


def test_offsets_that_reach_before_the_start_find_the_oldest_frame():
    memory, keys, labels = filled(2, offsets=(1, 3, 5))
    fill = MemoryConfig(last=5, offsets=(1, 3, 5), pad_start="fill")
    config = TrackConfig(refine=RefineConfig(rounds=0), match=MatchConfig(top_k=5), memory=fill)
    assert memory.missing == 2
    found = propagation.propagation(keys[2], memory, config).carry(memory.labels)
    whole = Memory(4)
    for place in (0, 0, 0, 1):
        whole.keep(Entry(keys[place], labels[place], None))
    never = replace(config, memory=MemoryConfig(last=4))
    wanted = propagation.propagation(keys[2], whole, never).carry(whole.labels)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
