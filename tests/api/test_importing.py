import numpy as np
import pytest
from PIL import Image
from tests.tiny import frame_folder, truth

from selfvos import api
from selfvos.errors import DataError, MaskMismatch, Stopped, UsageError
from selfvos.types import Watching

COUNT = 6


@pytest.fixture
def clip(tmp_path):
    return frame_folder(tmp_path / "clip", COUNT)


def masks():
    """A dancer in all frames but one, and a hat from frame 2 on."""
    found = [truth(t) * 3 for t in range(COUNT)]
    for ids in found[2:]:
        ids[50:60, 2:12] = 9
    found[4][found[4] == 3] = 0
    return found


@pytest.fixture
def exported(clip, tmp_path):
    """What another program was given: a project with names and colours, as COCO."""
    with api.Project.create(tmp_path / "made", clip) as project:
        for t, ids in enumerate(masks()):
            project.draw(t, ids)
        project.change_object(3, name="dancer", colour=(1, 2, 3))
        project.change_object(9, name="hat", colour=(4, 5, 6))
        api.export(project, "coco", tmp_path / "a.json")
    return tmp_path / "a.json"


def test_masks_names_and_colours_come_into_a_project(exported, clip, tmp_path):
    told = []
    watch = Watching(lambda stage, done, total: told.append((stage, done, total)))
    with api.import_project(exported, tmp_path / "project", video=clip, watch=watch) as project:
        assert [(one.id, one.name, one.colour) for one in project.objects] == [
            (3, "dancer", (1, 2, 3)),
            (9, "hat", (4, 5, 6)),
        ]
        assert project.keyframes == (0, 2), "where an object is seen for the first time"
        assert project.stale == ()
        assert all(np.array_equal(project.mask_at(t), ids) for t, ids in enumerate(masks()))
        assert told[-1] == ("importing", COUNT, COUNT)
        assert [one.lost for one in project.frames[4].objects] == [True, False]
    with api.Project.open(tmp_path / "project") as project:
        project.draw(3, masks()[2])
        assert project.stale == (4, 5), "as in every project"
        assert api.plan_tracking(project, 4, 5) == (3, 5)


def test_what_does_not_fit_is_refused(exported, clip, tmp_path):
    small = frame_folder(tmp_path / "short", 3)
    with pytest.raises(DataError, match="ends before"):
        api.import_project(exported, tmp_path / "a", video=small).close()
    tall = tmp_path / "tall"
    tall.mkdir()
    for t in range(COUNT):
        Image.fromarray(np.zeros((70, 64, 3), np.uint8)).save(tall / f"{t:05d}.png")
    with pytest.raises(MaskMismatch, match="masks are 64x64, the video is 70x64"):
        api.import_project(exported, tmp_path / "b", video=tall)
    assert not (tmp_path / "b").exists()
    with pytest.raises(UsageError, match="holds something"):
        api.import_project(exported, clip, video=clip)
    with pytest.raises(Stopped):
        api.import_project(exported, tmp_path / "c", video=clip, watch=Watching(asked=lambda: True))
    api.Project.open(tmp_path / "c").close()  # it is not locked any more
