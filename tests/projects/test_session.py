import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field

import numpy as np
import pytest
from PIL import Image
from tests.tiny import SIDE, picture, truth

from selfvos.errors import Stopped, UsageError
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.projects.planning import Run, fill
from selfvos.projects.project import Project
from selfvos.projects.session import track_run
from selfvos.tracking.settings import FrameConfig, MemoryConfig, RefineConfig, TrackConfig
from selfvos.tracking.tracker import Tracker

PLAIN = TrackConfig(
    refine=RefineConfig(rounds=0),
    frame=FrameConfig(short_side_px=SIDE, precision="float32"),
    memory=MemoryConfig(last=3),
)


def tracker():
    return Tracker(Segmenter(SegmenterConfig(backbone="lab-patches", stride=4, mask_path="none")).eval(), PLAIN)


def run(project, start, end, **more):
    return [one.frame.index for one in track_run(project, tracker, Run(start, end), **more)]


def files(project):
    return {int(path.stem): path.read_bytes() for path in (project.folder / "track" / "masks").glob("0*.png")}


@dataclass
class Counting:
    """A source that says which frames were asked for."""

    source: object
    seen: list[int] = field(default_factory=list)

    def frames(self, *span):
        for frame in self.source.frames(*span):
            self.seen.append(frame.index)
            yield frame

    def __getattr__(self, name):
        return getattr(self.source, name)


def test_a_correction_changes_what_follows_alone_and_costs_no_more(project):
    project.draw(0, truth(0))
    assert run(project, 0, 9) == list(range(10))
    before = files(project)
    project.draw(6, np.roll(truth(6), 20, axis=0))
    assert project.stale == (7, 8, 9)
    counting = project._source = Counting(project.source)
    assert run(project, 6, 9) == [6, 7, 8, 9]
    now = files(project)
    assert {index for index in before if now[index] != before[index]} == {6, 7, 8, 9}
    assert sorted(counting.seen) == [0, 6, 7, 8, 9]  # frame 0 as the other drawing, to be remembered
    assert project.stale == ()


def test_backward_and_meeting_in_the_middle(project):
    project.draw(9, truth(9))
    assert run(project, 9, 5) == [9, 8, 7, 6, 5]
    assert all(project.store.frames[index].step == -1 for index in range(5, 9))
    project.draw(0, truth(0))
    for part in fill(project, 0, 9):
        run(project, part.start, part.end)
    assert sorted(project.store.frames) == list(range(10))
    assert [project.store.frames[index].step for index in (1, 4, 5, 8)] == [1, 1, -1, -1]
    assert project.stale == ()


def test_going_back_from_a_tracked_frame_leaves_where_it_came_from(project):
    project.draw(3, truth(3))
    run(project, 3, 6)
    was = project.store.frames[6], files(project)[6]
    run(project, 6, 4)
    assert (project.store.frames[6], files(project)[6]) == was
    with pytest.raises(UsageError, match="no mask"):
        run(project, 9, 8)


class Meanwhile:
    """Somebody who does something when a run has come to a frame."""

    def __init__(self, **acts):
        self.acts = acts

    def tell(self, stage, done, total, **facts):  # noqa: ARG002
        self.acts.pop(f"after_{done}", lambda: None)()

    def stopped(self):
        return False


def watched(project, start, end, **acts):
    """Track as the worker does: with the project open in another process that draws."""
    run(Project.look(project.folder), start, end, watch=Meanwhile(**acts))
    project.store.refresh()


def lower(t):
    return np.roll(truth(t), 20, axis=0)


def test_what_is_drawn_ahead_of_a_run_is_met_and_learned_from(project):
    project.draw(0, truth(0))
    watched(project, 0, 9, after_3=lambda: project.draw(6, lower(6)))
    assert project.stale == ()
    assert np.array_equal(project.mask_at(6), lower(6))
    met = files(project)
    run(project, 6, 9)
    agree = [np.mean(project.mask_at(t) == before) for t, before in ((t, project.store.mask(t)) for t in (7, 8))]
    assert min(agree) == 1
    assert np.count_nonzero(project.mask_at(7)[36:60]) > 100  # where the drawing of frame 6 has put the object
    assert set(met) == set(range(10))


def test_what_is_drawn_behind_a_run_leaves_the_rest_of_it_stale(project):
    project.draw(0, truth(0))
    watched(project, 0, 9, after_6=lambda: project.draw(2, lower(2)))
    assert project.stale == (3, 4, 5, 6, 7, 8, 9)
    assert np.array_equal(project.mask_at(2), lower(2))
    run(project, 2, 9)
    assert project.stale == ()


def test_behind_and_then_ahead_both_count(project):
    project.draw(0, truth(0))
    acts = {"after_4": lambda: project.draw(1, lower(1)), "after_5": lambda: project.draw(7, lower(7))}
    watched(project, 0, 9, **acts)
    assert project.stale == (2, 3, 4, 5, 6, 8, 9)
    assert np.array_equal(project.mask_at(7), lower(7))


def test_a_drawing_ahead_that_is_drawn_anew_or_taken_back_leaves_what_follows_it_stale(project):
    project.draw(0, truth(0))
    project.draw(6, truth(6))
    watched(project, 0, 9, after_3=lambda: project.draw(6, lower(6)))
    assert np.array_equal(project.mask_at(6), lower(6))
    assert project.stale == (7, 8, 9)
    run(project, 0, 9)
    assert project.stale == ()
    watched(project, 0, 9, after_3=lambda: project.erase(6))
    assert project.stale == (6, 7, 8, 9)


def test_the_frame_that_is_being_tracked_keeps_the_drawing_that_came_meanwhile(project):
    project.draw(9, truth(9))
    watched(project, 9, 0, after_4=lambda: (project.draw(6, lower(6)), project.draw(5, lower(5))))
    assert np.array_equal(project.mask_at(6), lower(6))
    assert np.array_equal(project.mask_at(5), lower(5))
    assert project.stale == (0, 1, 2, 3, 4)  # frame 6 was behind by then


def test_a_stop_keeps_what_was_tracked(project):
    class Third:
        done = 0

        def tell(self, stage, done, total, **facts):  # noqa: ARG002
            self.done = done

        def stopped(self):
            return self.done == 3

    project.draw(0, truth(0))
    with pytest.raises(Stopped):
        run(project, 0, 9, watch=Third())
    assert sorted(Project.look(project.folder).store.frames) == [0, 1, 2]


def test_an_object_added_later_goes_on_from_there(project, tmp_path):
    for t in range(5, 10):
        rgb = picture(t)
        rgb[44:64, 4:28] = (30, 60, 240)  # comes in at frame 5
        Image.fromarray(rgb).save(tmp_path / "clip" / f"{t:05d}.jpg", quality=95)
    project.draw(0, truth(0))
    run(project, 0, 9)
    both = project.mask_at(5).copy()
    both[44:64, 4:28] = 2
    project.draw(5, both)
    run(project, 5, 9)
    assert 2 not in np.unique(project.mask_at(4))
    assert 2 in np.unique(project.mask_at(6))


WORK = """
import sys
import numpy as np
from selfvos.projects.project import Project
from selfvos.types import Frame, ObjectState, Tracked
project = Project.open(sys.argv[1])
for turn in range(10**6):
    mask = np.zeros((64, 64), np.uint8)
    mask.flat[: turn % 4000 + 1] = 1
    project.draw(turn % 10, mask)
    print(turn, flush=True)
    frame = Frame(np.zeros((64, 64, 3), np.uint8), turn % 10, "x", 0.0)
    found = Tracked(frame, mask, (ObjectState(id=1, confidence=1.0, lost=False),))
    project.store.keep(found, revision=project.state.revision, step=1)
"""


@pytest.mark.parametrize("trial", range(3))
def test_a_kill_loses_no_drawing_that_was_confirmed(project, trial):
    project.close()
    command = [sys.executable, "-c", WORK, str(project.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        time.sleep(random.Random(trial).uniform(0, 0.4))
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        confirmed = [0, *(int(line) for line in process.stdout.read().splitlines() if line)]
    with Project.open(project.folder) as again:
        assert again.state.revision >= confirmed[-1] + 1
        for turn in confirmed[:-1][-9:]:
            assert np.count_nonzero(again.keyframe(turn % 10)) in {turn % 4000 + 1, (turn + 10) % 4000 + 1}
        for index in again.store.frames:
            assert again.store.mask(index).shape == (SIDE, SIDE)
