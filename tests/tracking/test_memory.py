import pytest
import torch

from selfvos.tracking.memory import Entry, Memory


def entry(number, objects=1):
    return Entry(
        key=torch.full((2, 3, 4), float(number)),
        labels=torch.full((6, objects + 1), float(number)),
        values=torch.full((objects, 6, 5), float(number)),
    )


def remembered(memory):
    return [int(frame[0, 0, 0]) for frame in memory.keys]


def test_first_stays_and_the_latest_take_turns():
    memory = Memory(last=2)
    memory.pin(entry(0))
    for number in range(1, 6):
        memory.write(entry(number))
    assert remembered(memory)[0] == 0
    assert sorted(remembered(memory)) == [0, 4, 5]
    assert memory.permanent.tolist() == [True, False, False]


def test_frames_are_put_in_the_order_in_which_they_came():
    memory = Memory(last=3)
    memory.pin(entry(0))
    for number in range(1, 6):
        memory.write(entry(number))
        assert sorted(remembered(memory)) == [remembered(memory)[place] for place in memory.known.order]
    memory.pin(entry(6))
    assert [remembered(memory)[place] for place in memory.known.order][-1] == 6


def test_keys_labels_and_values_stay_together():
    memory = Memory(last=3)
    memory.pin(entry(0))
    for number in range(1, 5):
        memory.write(entry(number))
    memory.pin(entry(9))
    memory.write(entry(5))
    frames = remembered(memory)
    assert sorted(frames) == [0, 3, 4, 5, 9]
    assert memory.labels[:, 0].reshape(5, 6)[:, 0].tolist() == frames
    assert memory.values(0)[:, 0].reshape(5, 6)[:, 0].tolist() == frames


def test_a_permanent_frame_outlives_any_number_of_others():
    memory = Memory(last=2)
    memory.pin(entry(0))
    memory.write(entry(1))
    memory.pin(entry(7))
    for number in range(10, 20):
        memory.write(entry(number))
    assert remembered(memory)[:2] == [0, 7]
    assert sorted(remembered(memory)[2:]) == [18, 19]


def test_new_objects_are_nowhere_in_what_is_remembered():
    memory = Memory(last=2)
    memory.pin(entry(3))
    memory.add_objects(2)
    assert memory.labels.shape == (6, 4)
    assert memory.labels[:, 2:].abs().max() == 0
    assert memory.values(2).abs().max() == 0
    memory.write(entry(4, objects=3))
    assert len(memory) == 2


def test_new_objects_have_labels_in_every_part_of_a_cell():
    memory = Memory(last=2)
    memory.pin(entry(3))
    memory.add_objects(2, parts=4)
    assert memory.labels.shape == (6, 10)
    assert memory.values(2).abs().max() == 0


@pytest.mark.parametrize("last", [0, 1])
def test_short_memories(last):
    memory = Memory(last=last)
    memory.pin(entry(0))
    memory.write(entry(1))
    memory.write(entry(2))
    assert remembered(memory) == [0, 2][: 1 + last]


def test_size_does_not_grow_with_the_video():
    memory = Memory(last=4)
    memory.pin(entry(0))
    for number in range(1, 6):
        memory.write(entry(number))
    before = memory.keys.untyped_storage().nbytes()
    for number in range(6, 50):
        memory.write(entry(number))
    assert memory.keys.untyped_storage().nbytes() == before


def kept(frames, **settings):
    """Return the ages of what is lent after so many frames, oldest first, and check that keys go with them."""
    memory = Memory(**settings)
    for number in range(frames):
        memory.keep(entry(number), given=number == 0)
    assert remembered(memory) == [frames - age for age in memory.ages]
    assert memory.labels[:, 0].reshape(-1, 6)[:, 0].tolist() == remembered(memory)
    assert memory.values(0)[:, 0].reshape(-1, 6)[:, 0].tolist() == remembered(memory)
    assert len(memory.permanent) == len(memory.ages)
    return sorted(remembered(memory))


@pytest.mark.parametrize(
    ("frames", "lent"),
    [
        (1, [0]),
        (2, [0, 1]),
        (4, [0, 1, 3]),
        (6, [0, 1, 3, 5]),
        (7, [0, 2, 4, 5, 6]),
        (9, [0, 4, 5, 6, 8]),
    ],
)
def test_only_some_of_the_latest_frames_are_lent(frames, lent):
    wanted = sorted({i for i in (0, 5, frames - 1, frames - 3, frames - 5) if 0 <= i < frames})
    assert kept(frames, last=5, permanent=(0, 5), offsets=(1, 3, 5)) == wanted
    assert wanted == lent


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_with_nothing_permanent_the_latest_are_all_there_is(frames):
    assert kept(frames, last=1, permanent=()) == [frames - 1]


def test_room_for_more_of_the_latest():
    memory = Memory(last=3)
    memory.keep(entry(0))
    assert memory.missing == 3
    for number in range(1, 6):
        memory.keep(entry(number))
    assert memory.missing == 0
    memory.forget_recent()
    assert (memory.missing, memory.ages) == (3, [6])
