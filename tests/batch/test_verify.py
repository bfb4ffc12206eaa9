import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from selfvos.batch.job import Job, track_one
from selfvos.batch.manifest import read_manifest
from selfvos.batch.shards import Shards
from selfvos.batch.sink import open_sink
from selfvos.batch.store import LocalStore, open_store
from selfvos.batch.verify import Repair, verify
from selfvos.errors import UsageError


@pytest.fixture
def finished(jobs, model, plan, clips):
    """A folder in which three of four videos are finished, one of them by now in a shard of its own."""
    for job in jobs[:3]:
        assert track_one(job, model).state == "done"
    return clips / "m.jsonl"


def _files(plan):
    folder = "parts" if plan.layout == "parquet" else "tracks"
    return sorted((Path(plan.out) / folder).iterdir())


def _file_of(plan, jobs, number):
    return Path(plan.out) / (
        f"parts/{jobs[number].row.key}.parquet" if plan.layout == "parquet" else f"tracks/clip{number}"
    )


def _damage(path: Path) -> None:
    """Change one byte of the masks."""
    if path.is_file():
        _damage_masks_of(path, 0)
        return
    file = path / "masks" / "00002.png"
    content = bytearray(file.read_bytes())
    content[len(content) // 4] ^= 1
    file.write_bytes(content)


def _damage_masks_of(shard: Path, part: int) -> None:
    """Change the first byte of a video's masks that alters what is read; some bytes of headers say nothing."""
    from pyarrow import parquet

    group = parquet.read_metadata(shard).row_group(part)
    [column] = [c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == "rle"]
    start = column.dictionary_page_offset or column.data_page_offset
    before, content = _rows_or_none(shard, part), shard.read_bytes()
    for place in range(start, start + column.total_compressed_size):
        shard.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        if _rows_or_none(shard, part) != before:
            return
    raise AssertionError("no byte of the masks is read")


def _rows_or_none(shard: Path, part: int):
    from pyarrow import ArrowException, parquet

    try:
        with parquet.ParquetFile(shard) as file:
            return file.read_row_group(part).to_pylist()
    except (ArrowException, OSError, ValueError):
        return None


def test_what_is_missing_is_listed_for_another_run(finished, plan, tmp_path):
    found = verify(plan.out, finished, repair=Repair(rerun=tmp_path / "again.jsonl"))
    assert (found.whole, found.missing, found.faulty) == (3, ("clip3",), True)
    assert found.table().splitlines() == ["missing: clip3", "incomplete: 3 of 4 videos whole"]
    [row] = read_manifest(tmp_path / "again.jsonl")
    assert row == list(read_manifest(finished))[3]


def test_one_changed_byte_is_noticed_and_repaired(finished, jobs, model, plan):
    _damage(_file_of(plan, jobs, 1))
    found = verify(plan.out, finished)
    assert [name for name, _ in found.damaged] == ["clip1"] or found.partial
    verify(plan.out, finished, repair=Repair(discard=True))
    assert [track_one(job, model).state for job in jobs] == ["already", "done", "already", "done"]
    assert verify(plan.out, finished).table() == "complete: 4 of 4 videos whole"


def test_what_is_half_there_is_partial_and_repaired(finished, jobs, model, plan):
    path = _file_of(plan, jobs, 2)
    if path.is_dir():
        (path / "done").unlink()
    else:
        path.write_bytes(path.read_bytes()[:-200])
    found = verify(plan.out, finished, repair=Repair(discard=True))
    assert len(found.partial) == 1
    assert not path.exists()
    assert [track_one(job, model).state for job in jobs[2:]] == ["done", "done"]
    assert not verify(plan.out, finished).faulty


def test_what_is_there_twice_is_told_and_one_copy_kept(finished, jobs, plan, model):
    track_one(jobs[3], model)
    path = _file_of(plan, jobs, 0)
    copy = path.with_name("copy" + path.suffix)
    (shutil.copytree if path.is_dir() else shutil.copy)(path, copy)
    found = verify(plan.out, finished)
    assert found.twice == ("clip0",)
    assert found.faulty
    verify(plan.out, finished, repair=Repair(discard=True))
    assert verify(plan.out, finished).whole == 4


@pytest.mark.parametrize("plan", ["parquet"], indirect=True)
def test_one_damaged_video_of_a_shard_costs_no_other(finished, jobs, model, plan):
    sink = open_sink(open_store(plan.out), plan.layout)
    sink.gather(everything=True)
    [shard] = (Path(plan.out) / "masks").iterdir()
    _damage_masks_of(shard, 1)
    found = verify(plan.out, finished)
    assert len(found.damaged) == 1
    verify(plan.out, finished, repair=Repair(discard=True))
    again = verify(plan.out, finished)
    assert again.whole == 2
    assert set(again.missing) == {"clip3", found.damaged[0][0]}


@pytest.mark.parametrize("plan", ["parquet"], indirect=True)
def test_the_column_of_masks_reads_with_the_tool_of_coco(finished, plan):
    coco = pytest.importorskip("pycocotools.mask")
    from pyarrow import parquet

    open_sink(open_store(plan.out), plan.layout).gather(everything=True)
    [shard] = (Path(plan.out) / "masks").iterdir()
    for row in parquet.read_table(shard).to_pylist():
        mask = coco.decode({"size": [row["height"], row["width"]], "counts": row["rle"].encode()})
        assert mask.sum() == row["area"] > 0


def test_a_result_of_a_row_that_was_changed_is_damaged(jobs, model, plan, clips, tmp_path):
    other = replace(jobs[0].row, fps=10.0)
    assert track_one(Job(other, plan), model).state == "done"
    found = verify(plan.out, clips / "m.jsonl")
    assert found.damaged == (("clip0", "made from another row of this name"),)


def test_results_of_another_manifest_are_no_fault(finished, plan, tmp_path, clips):
    [row, *_] = [json.loads(line) for line in finished.read_text().splitlines()]
    (clips / "one.jsonl").write_text(json.dumps(row) + "\n")
    found = verify(plan.out, clips / "one.jsonl")
    assert (found.whole, found.unknown, found.faulty) == (1, 2, False)


def test_a_folder_without_results_is_refused(clips, tmp_path):
    with pytest.raises(UsageError, match="no results of a batch"):
        verify(str(tmp_path), clips / "m.jsonl")


@pytest.mark.parametrize("plan", ["parquet"], indirect=True)
def test_a_shard_is_made_when_there_are_enough_parts(jobs, model, plan, monkeypatch):
    monkeypatch.setattr("selfvos.batch.shards._GATHERED", 3)
    sink = Shards(open_store(plan.out))
    for job in jobs:
        track_one(job, model)
        sink.gather(everything=False)
    assert [stored.place.partition("/")[0] for stored in sink.finished()] == ["masks"] * 3 + ["parts"]
    assert track_one(jobs[3], model).state == "already"


def test_a_shard_is_fetched_once_however_many_videos_it_holds(jobs, model, plan, monkeypatch):
    for job in jobs:
        assert track_one(job, model).state == "done"
    store = open_store(plan.out)
    sink = open_sink(store, plan.layout)
    sink.gather(everything=True)
    stored = list(sink.finished())
    lent = []
    lend = LocalStore.lend
    monkeypatch.setattr(LocalStore, "lend", lambda self, name: lent.append(name) or lend(self, name))
    assert list(sink.faults(stored)) == [""] * 4
    assert len(lent) == (1 if plan.layout == "parquet" else 4)


@pytest.mark.parametrize("plan", ["parquet"], indirect=True)
def test_a_damaged_video_of_a_shard_does_not_hide_the_others(jobs, model, plan):
    for job in jobs:
        assert track_one(job, model).state == "done"
    sink = open_sink(open_store(plan.out), plan.layout)
    sink.gather(everything=True)
    stored = list(sink.finished())
    shard = Path(plan.out) / stored[0].place
    _damage_masks_of(shard, 1)
    assert [bool(fault) for fault in sink.faults(stored)] == [False, True, False, False]
    shard.write_bytes(b"nothing")
    assert all("cannot be read" in fault for fault in sink.faults(stored))
