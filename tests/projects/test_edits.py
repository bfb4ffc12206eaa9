import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfvos.errors import DataError
from selfvos.projects.edits import Change, EditLog, as_line


def draw(log, frame, digest):
    return log.append(as_line([Change("keyframe", frame, log.state.keyframes.get(frame), digest)], "draw"))


def test_undo_and_redo_go_on_after_a_restart(tmp_path):
    path = tmp_path / "edits.jsonl"
    log = EditLog(path)
    draw(log, 3, "a")
    draw(log, 3, "b")
    log.append({"undo": True})
    again = EditLog(path)
    assert again.state == log.state
    assert again.state.keyframes == {3: "a"}
    assert again.append({"redo": True}).keyframes == {3: "b"}
    EditLog(path).append({"undo": True})
    assert draw(EditLog(path), 4, "c").undone == ()


def test_it_is_known_when_each_object_came(tmp_path):
    log = EditLog(tmp_path / "edits.jsonl")
    draw(log, 1, "a")
    car, bus = ({"name": name, "colour": [1, 2, 3]} for name in ("car", "bus"))
    log.append(as_line([Change("object", 1, None, car)], "add car"))
    log.append(as_line([Change("object", 1, car, bus)], "change car"))
    assert (log.state.named, log.state.revisions) == ({1: 2}, {1: 1})


def test_who_looks_on_takes_in_whole_lines_alone(tmp_path):
    path = tmp_path / "edits.jsonl"
    writer, reader = EditLog(path), EditLog(path)
    assert reader.refresh().revision == 0
    draw(writer, 1, "a")
    whole = path.read_bytes()
    draw(writer, 2, "b")
    writer.append({"undo": True})
    path_bytes = path.read_bytes()
    path.write_bytes(path_bytes[:-3])
    assert reader.refresh().keyframes == {1: "a", 2: "b"}
    path.write_bytes(path_bytes)
    assert reader.refresh() == writer.state
    path.write_bytes(whole + b"no edit\n" + path_bytes)
    with pytest.raises(DataError, match="damaged"):
        EditLog(path)


def test_a_torn_last_line_is_dropped_and_the_next_one_kept(tmp_path):
    path = tmp_path / "edits.jsonl"
    draw(EditLog(path), 1, "a")
    whole = path.read_bytes()
    line = json.dumps(as_line([Change("keyframe", 2, None, "b")], "draw")).encode()
    for cut in (1, len(line) // 2, len(line)):
        path.write_bytes(whole + line[:cut])
        log = EditLog(path)
        draw(log, 5, "c")
        assert EditLog(path).state.keyframes == {1: "a", 5: "c"}


def test_a_damaged_line_in_the_middle_is_told(tmp_path):
    path = tmp_path / "edits.jsonl"
    log = EditLog(path)
    draw(log, 1, "a")
    draw(log, 2, "b")
    path.write_bytes(path.read_bytes().replace(b'"do"', b'"dx"', 1))
    with pytest.raises(DataError, match="damaged at byte 0"):
        EditLog(path)


DOINGS = st.one_of(
    st.tuples(st.just("draw"), st.integers(0, 3), st.sampled_from("abc")),
    st.tuples(st.just("erase"), st.integers(0, 3)),
    st.just(("undo",)),
    st.just(("redo",)),
    st.just(("restart",)),
)


@settings(max_examples=150, deadline=None)
@given(doings=st.lists(DOINGS, max_size=20))
def test_any_doings_agree_with_a_list_of_states(doings):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "edits.jsonl"
        log, states, now = EditLog(path), [{}], 0
        for kind, *rest in doings:
            if kind == "restart":
                log = EditLog(path)
            elif kind in ("undo", "redo"):
                there = now + (1 if kind == "redo" else -1)
                if 0 <= there < len(states):
                    log.append({kind: True})
                    now = there
                else:
                    with pytest.raises(ValueError, match="no edit"):
                        log.append({kind: True})
            else:
                digest = rest[1] if kind == "draw" else None
                draw(log, rest[0], digest)
                state = {frame: one for frame, one in states[now].items() if frame != rest[0]}
                states = [*states[: now + 1], state | ({rest[0]: digest} if digest else {})]
                now += 1
            assert log.state.keyframes == states[now]
