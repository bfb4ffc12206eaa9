import threading

import numpy as np
import pytest
from PIL import Image

from selfvos import api
from selfvos.api import MaskFile, Shot, Span
from selfvos.api.given_masks import read_given
from selfvos.api.span import legs
from selfvos.data.mask_png import write_mask
from selfvos.data.source import FrameArrays
from selfvos.data.track_reader import open_track
from selfvos.data.video import VideoFile
from selfvos.errors import DataError, MaskMismatch, Stopped, UsageError
from selfvos.settings import override
from selfvos.stopping import StopFlag
from selfvos.types import Watching, ignore

COUNT = 8
SIZE = (48, 64)


def truth(t, value=1):
    mask = np.zeros(SIZE, np.uint8)
    mask[12:36, 4 + 4 * t : 20 + 4 * t] = value
    return mask


def video(count=COUNT):
    frames = np.full((count, *SIZE, 3), (40, 120, 60), np.uint8)
    for t in range(count):
        frames[t][truth(t) > 0] = (230, 40, 40)
    return frames


@pytest.fixture(scope="module")
def model():
    return api.load("lab-patches", device="cpu")


@pytest.fixture(scope="module")
def config(model):
    return override(api.track_config(model, None), ["frame.short_side_px=48"])


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for t, rgb in enumerate(video()):
        Image.fromarray(rgb).save(folder / f"{t}.png")
    return folder


def agreement(tracked, value=1):
    true, found = truth(tracked.frame.index) > 0, tracked.mask == value
    return (true & found).sum() / (true | found).sum()


def run(model, config, masks, span=None, watch=ignore):
    return list(api.track(model, video(), masks, span=span, config=config, watch=watch))


@pytest.mark.parametrize(
    ("span", "masks", "order"),
    [
        (Span(), [0], [0, 1, 2, 3, 4, 5, 6, 7]),
        (Span(), [3], [3, 4, 5, 6, 7]),
        (Span(start=2, end=4), [2], [2, 3, 4]),
        (Span(direction="backward"), [5], [5, 4, 3, 2, 1, 0]),
        (Span(start=6, end=3, direction="backward"), [6, 4], [6, 5, 4, 3]),
        (Span(direction="both"), [3], [3, 4, 5, 6, 7, 2, 1, 0]),
        (Span(start=3, end=5, direction="both"), [1, 3, 5], [3, 4, 5, 2, 1, 0]),
        (Span(start=0, direction="both"), [0], [0, 1, 2, 3, 4, 5, 6, 7]),
    ],
)
def test_frames_come_in_the_order_that_the_span_asks_for(model, config, span, masks, order):
    told = []
    watch = Watching(lambda _, done, total: told.append((done, total)))
    found = run(model, config, {index: truth(index) for index in masks}, span, watch)
    assert [tracked.frame.index for tracked in found] == order
    assert min(agreement(tracked) for tracked in found) > 0.6
    assert told == [(done, len(order)) for done in range(1, len(order) + 1)]


def test_backward_is_forward_through_the_reversed_video(model, config):
    back = run(model, config, {COUNT - 1: truth(COUNT - 1)}, Span(direction="backward"))
    forth = list(api.track(model, video()[::-1].copy(), truth(COUNT - 1), config=config))
    for one, other in zip(back, forth, strict=True):
        np.testing.assert_array_equal(one.mask, other.mask)


def test_an_object_that_comes_in_later(model, config):
    found = run(model, config, {0: np.zeros(SIZE, np.uint8), 5: truth(5)})
    assert [bool(tracked.mask.any()) for tracked in found] == [False] * 5 + [True] * 3
    assert [len(tracked.objects) for tracked in found] == [0] * 5 + [1] * 3


def test_a_bool_mask_is_object_1(model, config):
    assert agreement(run(model, config, truth(0) > 0)[3]) > 0.6


@pytest.mark.parametrize(
    ("masks", "span", "error", "words"),
    [
        ({}, Span(), UsageError, "no mask"),
        ({0: np.zeros(SIZE, np.uint8)}, Span(), MaskMismatch, "empty"),
        ({0: truth(0)[:30]}, Span(), MaskMismatch, "30x64"),
        ({0: truth(0).astype(float)}, Span(), MaskMismatch, "integer"),
        ({0: truth(0), 8: truth(0)}, Span(), MaskMismatch, "frames 0 to 7"),
        ({0: truth(0)}, Span(end=9), UsageError, "frames 0 to 7"),
        ({0: truth(0), 5: truth(5)}, Span(start=3), MaskMismatch, "frame 0 lies outside"),
        ({0: truth(0), 5: truth(5)}, Span(end=3), MaskMismatch, "frame 5 lies outside"),
        ({2: truth(2)}, Span(start=4, direction="both"), MaskMismatch, "no object is drawn"),
        ({0: truth(0), 2: "typo.png"}, Span(), UsageError, "typo.png"),
    ],
)
def test_all_is_looked_at_before_the_first_frame(model, config, masks, span, error, words):
    with pytest.raises(error, match=words):
        api.track(model, video(), masks, span=span, config=config)


@pytest.mark.parametrize(
    "wrong", [{"start": -1}, {"start": 4, "end": 2}, {"start": 2, "end": 4, "direction": "backward"}]
)
def test_spans_that_cannot_be_are_refused(wrong):
    with pytest.raises(UsageError, match=r"frame"):
        Span(**wrong)


def test_the_length_of_a_leg_is_that_of_its_frames():
    walks = [(Span(), 5), (Span(end=5), 3), (Span(direction="backward"), 4)]
    walks.append((Span(start=3, end=2, direction="backward"), 2))
    for span, length in walks:
        (leg,) = legs(span, {3: truth(3)}, COUNT)
        assert leg.length(COUNT) == len(list(leg.frames(FrameArrays(video())))) == length
    assert legs(Span(), {3: truth(3)}, None)[0].length(None) is None


def white(path, box):
    mask = np.zeros(SIZE, np.uint8)
    mask[box] = 255
    Image.fromarray(mask).save(path)
    return path


def test_a_second_white_mask_is_a_new_object_or_the_one_that_is_named(tmp_path, caplog):
    person = white(tmp_path / "person.png", np.s_[5:20, 5:20])
    car = white(tmp_path / "car.png", np.s_[30:40, 30:40])
    given = read_given({0: person, 6: car}, SIZE)
    assert [np.unique(mask).tolist() for mask in given.values()] == [[0, 1], [0, 2]]
    assert "car.png@6=ID" in caplog.text
    caplog.clear()
    given = read_given({0: person, 6: MaskFile(car, 1)}, SIZE)
    assert [np.unique(mask).tolist() for mask in given.values()] == [[0, 1], [0, 1]]
    given = read_given({0: MaskFile(person, 7), 6: MaskFile(car, 300)}, SIZE)
    assert [np.unique(mask).tolist() for mask in given.values()] == [[0, 7], [0, 300]]
    assert not caplog.text


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "P"])
def test_white_is_known_in_every_encoding_and_gets_a_free_id(tmp_path, mode):
    write_mask(tmp_path / "first.png", truth(0, 1) + truth(7, 4))
    first = white(tmp_path / "one.png", np.s_[5:20, 5:20])
    Image.open(white(tmp_path / "two.png", np.s_[30:40, 30:40])).convert(mode).save(tmp_path / "two.png")
    given = read_given({0: tmp_path / "first.png", 2: first, 3: tmp_path / "two.png"}, SIZE)
    shown = np.unique(given[3]).tolist()
    assert len(shown) == 2
    assert shown[1] > 4


def test_an_id_is_for_one_object_and_within_range(tmp_path):
    write_mask(tmp_path / "two.png", truth(0, 1) + truth(7, 4))
    with pytest.raises(MaskMismatch, match="objects 1, 4"):
        read_given({0: MaskFile(tmp_path / "two.png", 2)}, SIZE)
    with pytest.raises(UsageError, match="65535"):
        MaskFile("car.png", 0)


def test_a_track_on_disk_has_every_frame_in_order_of_time(model, config, pictures, tmp_path):
    shot = Shot(video=pictures, masks={3: truth(3, 9)}, span=Span(direction="both"), fps=5.0)
    results = list(api.track_to(model, shot, tmp_path / "out", config=config))
    track = open_track(tmp_path / "out")
    assert (track.done, track.fps, track.name) == (True, 5.0, "frames")
    assert [frame.name for frame in track.frames] == [str(t) for t in range(COUNT)]
    by_index = {tracked.frame.index: tracked for tracked in results}
    for place, frame in enumerate(track.frames):
        np.testing.assert_array_equal(track.mask(place), by_index[frame.index].mask)
    overlay = list(VideoFile(tmp_path / "out" / "overlay.mp4"))
    assert [round(frame.seconds, 3) for frame in overlay] == [t / 5 for t in range(COUNT)]
    assert track.about["weights"]["name"] == "lab-patches"
    assert len(track.about["weights"]["digest"]) == 64
    assert track.about["range"]["direction"] == "both"
    assert track.about["settings"]["frame"]["short_side_px"] == 48


def test_a_track_is_cancelled_from_another_thread_and_what_there_is_is_whole(model, config, pictures, tmp_path):
    flag, caught = StopFlag(), []
    watch = Watching(lambda _, done, __: flag.stop() if done == 3 else None, flag.stopped)

    def work():
        try:
            list(
                api.track_to(model, Shot(video=pictures, masks=truth(0)), tmp_path / "out", config=config, watch=watch)
            )
        except Stopped as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert len(caught) == 1
    track = open_track(tmp_path / "out")
    assert (len(track.frames), track.done, track.about["tracked"]["state"]) == (3, False, "stopped")
    assert len(list(VideoFile(tmp_path / "out" / "overlay.mp4"))) == 3


def test_a_generator_cannot_be_tracked_backward(model, config):
    with pytest.raises(UsageError, match=r"backward"):
        list(api.track(model, iter(video()), {3: truth(3)}, span=Span(direction="backward"), config=config))


def test_a_video_that_ends_before_a_mask_says_so_and_is_not_done(model, config, tmp_path):
    shot = Shot(video=iter(video()), masks={0: truth(0), 20: truth(0)})
    with pytest.raises(DataError, match="ends before"):
        list(api.track_to(model, shot, tmp_path / "out", config=config))
    assert not open_track(tmp_path / "out").done
    assert len(open_track(tmp_path / "out").frames) == COUNT
