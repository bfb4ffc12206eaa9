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


def test_a_pinned_frame_outlives_any_number_of_others():
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
