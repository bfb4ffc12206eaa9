from dataclasses import dataclass

import numpy as np
import pytest

from selfvos.data.source import FrameArrays
from selfvos.formats.memory import Known, Moment, Track, track_of
from selfvos.types import TrackedObject

FPS = 30000 / 1001


def make_track(masks, *, first=0, step=1, names=None, name="pond", fps=FPS):
    """Return the track of masks; confidences differ, and so do the colours of objects."""
    indices = [first + step * place for place in range(len(masks))]
    moments = [Moment(index=i, name=f"{i:05d}", seconds=i / fps) for i in indices]
    numbers = sorted({int(i) for ids in masks for i in np.unique(ids)} - {0})
    called = names or {i: f"fish {i}" for i in numbers}
    objects = {i: TrackedObject(i, called[i], (i % 256, 7 * i % 256, 255 - i % 256)) for i in called}
    confidences = {(place, i): (1 + i % 7 + place) / 32 for place in range(len(masks)) for i in numbers}
    known = Known(name=name, moments=moments, fps=fps, objects=objects, confidences=confidences)
    return track_of(lambda place: masks[place].copy(), len(masks), known)


def leaving_and_returning():
    """Three objects with gaps between their ids, at odd sizes: a ring, an island of two parts, a single pixel."""
    masks = [np.zeros((13, 17), np.uint8) for _ in range(7)]
    for t, ids in enumerate(masks):
        if t in (0, 1, 4, 6):
            ids[2:8, 1 + t : 7 + t] = 4
            ids[4:6, 3 + t : 5 + t] = 0
        if t in (1, 2, 5):
            ids[9:12, 0:2], ids[9:11, 12:17] = 9, 9
        if t in (2, 4, 5):
            ids[12, 16 - t] = 1
    assert not masks[3].any()
    return make_track(masks, first=5)


def many():
    """300 objects, whose ids need 16 bits; half of them are gone in every second frame."""
    first = np.zeros((40, 61), np.uint16)
    numbers = np.arange(1, 301).reshape(15, 20)
    first[:30, :60] = numbers.repeat(2, axis=0).repeat(3, axis=1)
    second = np.where(first % 2 == 1, first, 0).astype(np.uint16)
    return make_track([first, second, first])


def empty():
    return make_track([np.zeros((5, 4), np.uint8)] * 3, names={3: "nobody"})


def late():
    """Nothing in the first frames nor in the last ones, and one object that never comes."""
    masks = [np.zeros((6, 9), np.uint8) for _ in range(5)]
    masks[2][1:3, 2:5] = 2
    masks[3][5, 8] = 2
    return make_track(masks, names={2: 'a < b & "c"', 5: "never"})


def one_pixel():
    return make_track([np.full((1, 1), 255, np.uint8)])


def sharing_a_name():
    masks = [np.array([[1, 1, 0], [0, 2, 2]], np.uint8), np.array([[0, 1, 0], [2, 2, 2]], np.uint8)]
    return make_track(masks, names={1: "cow", 2: "cow"}, step=3)


SCENES = {scene.__name__: scene for scene in (leaving_and_returning, many, empty, late, one_pixel, sharing_a_name)}


@dataclass
class Scene:
    track: Track
    video: FrameArrays


@pytest.fixture(params=SCENES)
def any_scene(request):
    return make_scene(request.param)


@pytest.fixture
def scene():
    return make_scene("leaving_and_returning")


def make_scene(name):
    track = SCENES[name]()
    height, width = track.size
    pictures = [
        np.random.default_rng(i).integers(0, 256, (height, width, 3), np.uint8)
        for i in range(track.frames[-1].index + 1)
    ]
    return Scene(track, FrameArrays(pictures, fps=track.fps))
