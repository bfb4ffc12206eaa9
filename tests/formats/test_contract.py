"""What every registered format keeps to."""

import numpy as np
import pytest

from selfvos.errors import DataError, MissingExtra, Stopped, UsageError
from selfvos.formats.base import FORMATS
from selfvos.formats.memory import measured
from selfvos.types import TrackReader, Watching

NAMES = FORMATS.names()
READ = [name for name in NAMES if FORMATS.get(name).reads]


def make(name):
    form = FORMATS.get(name)()
    if form.module:
        pytest.importorskip(form.module, reason=f"the extra {form.extra} is not installed")
    return form


def place(form, tmp_path):
    return tmp_path / f"out{form.suffix}"


def write(form, scene, out, **more):
    form.write(scene.track, out, video=scene.video if form.pictures != "unused" else None, **more)
    return out


def fits(form, scene):
    return max((thing.id for thing in scene.track.objects), default=0) <= form.most_id


def seen(track):
    return {state.id for frame in track.frames for state in frame.objects if state.area}


@pytest.mark.parametrize("name", NAMES)
def test_a_format_says_what_it_is(name):
    form = FORMATS.get(name)
    assert form.name == name
    assert form.readers
    assert FORMATS.described()[name].endswith(".")
    assert form.reads == ("masks" in form.holds)
    assert bool(form.extra) == bool(form.module)


@pytest.mark.parametrize("name", READ)
def test_what_is_written_is_read_back(name, any_scene, tmp_path):
    form, track = make(name), any_scene.track
    if not fits(form, any_scene):
        with pytest.raises(DataError, match=f"ids up to {form.most_id}; choose png16"):
            write(form, any_scene, place(form, tmp_path))
        return
    out = write(form, any_scene, place(form, tmp_path))
    again = form.read(out)
    assert isinstance(again, TrackReader)
    assert again.size == track.size
    assert len(again.frames) == len(track.frames)
    for i, (before, after) in enumerate(zip(track.frames, again.frames, strict=True)):
        assert np.array_equal(again.mask(i), track.mask(i))
        found = {state.id: state for state in after.objects}
        assert tuple(state for state in after.objects if state.area) == tuple(
            found[state.id] for state in measured(track.mask(i))
        )
        for state in before.objects:
            if state.area:
                assert (found[state.id].area, found[state.id].box) == (state.area, state.box)
                if "confidence" in form.holds:
                    assert found[state.id].confidence == state.confidence
        if "indices" in form.holds and (seen(track) or "names" not in form.holds):
            assert after.index == before.index
        if "times" in form.holds:
            assert after.seconds == before.seconds
    things = {thing.id: thing for thing in again.objects}
    for thing in track.objects:
        if thing.id in seen(track):
            assert "names" not in form.holds or things[thing.id].name == thing.name
            assert "colours" not in form.holds or things[thing.id].colour == thing.colour


@pytest.mark.parametrize("name", READ)
def test_a_written_track_is_recognised_by_its_format_first_of_all(name, any_scene, tmp_path):
    form = make(name)
    if not fits(form, any_scene):
        return
    out = write(form, any_scene, place(form, tmp_path))
    found = [other for other in READ if FORMATS.get(other)().recognises(out)]
    assert found == (["png"] if name == "png16" else [name])


@pytest.mark.parametrize("name", NAMES)
def test_a_stop_leaves_nothing_behind(name, scene, tmp_path):
    form, told = make(name), []
    watch = Watching(lambda *facts: told.append(facts), lambda: len(told) == 1)
    with pytest.raises(Stopped):
        write(form, scene, place(form, tmp_path), watch=watch)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_frame_is_told(name, scene, tmp_path):
    form, told = make(name), []
    write(form, scene, place(form, tmp_path), watch=Watching(lambda *facts: told.append(facts)))
    count = len(scene.track.frames)
    assert told == [(f"writing {name}", i, count) for i in range(1, count + 1)]


@pytest.mark.parametrize("name", NAMES)
def test_the_estimate_of_a_short_track_is_its_size(name, scene, tmp_path):
    form = make(name)
    out = write(form, scene, place(form, tmp_path))
    files = [path for path in ([out] if out.is_file() else out.rglob("*")) if path.is_file()]
    taken = sum(path.stat().st_size for path in files)
    estimate = form.estimate_bytes(scene.track, video=scene.video if form.pictures != "unused" else None)
    assert estimate == pytest.approx(taken, abs=64)


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_written_is_refused_before_anything_is(name, scene, tmp_path):
    form = make(name)
    if form.pictures == "required":
        with pytest.raises(UsageError, match="--video"):
            form.write(scene.track, place(form, tmp_path))
    if form.suffix:
        with pytest.raises(UsageError, match=f"written as {form.suffix}"):
            write(form, scene, tmp_path / "out.txt")
    else:
        (tmp_path / "there").mkdir()
        with pytest.raises(UsageError, match="is there already"):
            write(form, scene, tmp_path / "there")
    assert [path.name for path in tmp_path.iterdir()] == ([] if form.suffix else ["there"])


@pytest.mark.parametrize("name", [name for name in NAMES if name not in READ])
def test_what_holds_no_masks_is_not_read(name, tmp_path):
    with pytest.raises(UsageError, match="does not hold masks"):
        FORMATS.get(name)().read(tmp_path)


@pytest.mark.parametrize("name", READ)
def test_a_file_that_is_not_there_is_named(name, tmp_path):
    with pytest.raises(UsageError, match=r"no such file: .*nowhere"):
        make(name).read(tmp_path / "nowhere")


@pytest.mark.parametrize("name", [name for name in NAMES if FORMATS.get(name).extra])
def test_a_missing_extra_names_the_line_that_installs_it(name, scene, tmp_path, monkeypatch):
    form = FORMATS.get(name)()
    monkeypatch.setattr(type(form), "module", "no_such_module_anywhere")
    line = rf'{name} needs no_such_module_anywhere: pip install "selfvos\[{form.extra}\]"$'
    with pytest.raises(MissingExtra, match=line):
        form.write(scene.track, place(form, tmp_path))
