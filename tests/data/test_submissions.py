import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from selfvos.data.benchmarks.base import Benchmark, LabelledVideo
from selfvos.data.benchmarks.stored_ids import read_ids
from selfvos.data.mask_png import write_mask
from selfvos.data.submissions import pack, validate_archive
from selfvos.errors import DataError, UsageError
from selfvos.types import Watching

NAMES = ("00000", "00005", "00010")
SIZE = (4, 6)


@dataclass
class Video(LabelledVideo):
    """Objects 2 and 5, 4 x 6 pixels; the second frame is not asked for."""

    name: str
    frames = counted = ()
    frame_names = NAMES
    objects = (2, 5)
    required = NAMES[::2]

    def truth(self, frame):  # noqa: ARG002
        return np.full(SIZE, 2, np.uint8)


@dataclass
class OnServer(Benchmark):
    name: str = "some-valid"
    subset: str = "valid"
    note: str = ""
    videos: tuple = (Video("ant"), Video("bee"))
    archive_prefix: str | None = "Annotations/"

    def read_result(self, path):
        return read_ids(path)


def mask(*labels):
    ids = np.zeros(SIZE, np.uint8)
    ids[0, : len(labels)] = labels
    return ids


@pytest.fixture
def results(tmp_path):
    for video in ("ant", "bee"):
        for name in NAMES:
            write_mask(tmp_path / "results" / video / f"{name}.png", mask(2, 5))
    return tmp_path / "results"


@pytest.fixture
def archive(tmp_path, results):
    pack(results, OnServer(), tmp_path / "good.zip")
    return tmp_path / "good.zip"


def rewrite(archive: Path, change) -> Path:
    """Copy an archive; `change` takes the content of each member by name and gives it back as it shall be."""
    with zipfile.ZipFile(archive) as old:
        members = change({name: old.read(name) for name in old.namelist()})
    bad = archive.with_name("bad.zip")
    with zipfile.ZipFile(bad, "w") as new:
        for name, content in members.items():
            new.writestr(name, content)
    return bad


def png(tmp_path, ids, palette=True) -> bytes:
    path = tmp_path / "one.png"
    write_mask(path, ids) if palette else Image.fromarray(ids).save(path)
    return path.read_bytes()


def refusal(archive, kind=DataError) -> str:
    with pytest.raises(kind) as caught:
        validate_archive(archive, OnServer())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_archive_holds_the_required_frames_and_nothing_else(tmp_path, results):
    (results / "bee" / "note.txt").touch()
    (results / "cat").mkdir()
    packed = pack(results, OnServer(), tmp_path / "out" / "good.zip")
    assert (packed.videos, packed.frames) == (2, 4)
    with zipfile.ZipFile(packed.path) as archive:
        assert archive.namelist() == [
            f"Annotations/{video}/{name}.png" for video in ("ant", "bee") for name in NAMES[::2]
        ]
        # Palette PNGs go in as they are.
        assert archive.read("Annotations/bee/00010.png") == (results / "bee" / "00010.png").read_bytes()
    assert validate_archive(packed.path, OnServer()) == packed
    assert "only the official server can score them" in packed.table()
    assert "\n" not in packed.table()
    assert packed.to_dict() == {
        "path": str(packed.path), "protocol": "some-valid", "note": "", "videos": 2, "frames": 4, "validated": True,
    }  # fmt: skip


def test_the_same_masks_give_the_same_archive(tmp_path, results):
    pack(results, OnServer(), tmp_path / "one.zip")
    for path in results.rglob("*.png"):
        path.touch()
    pack(results, OnServer(), tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_grey_masks_become_palette_ones_of_the_same_ids(tmp_path, results):
    Image.fromarray(mask(2, 5, 2)).save(results / "ant" / "00000.png")
    pack(results, OnServer(), tmp_path / "good.zip")
    with zipfile.ZipFile(tmp_path / "good.zip") as archive, archive.open("Annotations/ant/00000.png") as file:
        image = Image.open(file)
        assert image.mode == "P"
        assert image.getpalette()[6:9] == [0, 128, 0]
        assert np.array(image).tolist() == mask(2, 5, 2).tolist()


def test_progress_runs_through_packing_and_validating(tmp_path, results):
    told = []
    pack(results, OnServer(), tmp_path / "good.zip", watch=Watching(lambda _, done, total: told.append((done, total))))
    assert told == [(i, 8) for i in range(1, 9)]


def test_the_folder_in_the_archive_is_the_benchmarks(tmp_path, results):
    pack(results, OnServer(archive_prefix=""), tmp_path / "good.zip")
    with zipfile.ZipFile(tmp_path / "good.zip") as archive:
        assert archive.namelist()[0] == "ant/00000.png"


def test_a_benchmark_without_a_server_is_refused(tmp_path, results, archive):
    with pytest.raises(UsageError, match="no server takes results of some-valid"):
        pack(results, OnServer(archive_prefix=None), tmp_path / "new.zip")
    with pytest.raises(UsageError, match="no server takes results of some-valid"):
        validate_archive(archive, OnServer(archive_prefix=None))


# --- Results that are refused before they become an archive. ---


def spoil_missing_frame(results):
    (results / "bee" / "00010.png").unlink()
    return r"no result .*bee/00010\.png \(1 of 2 frames missing\)"


def spoil_label(results):
    write_mask(results / "bee" / "00010.png", mask(3))
    return r"mask .*results/bee/00010\.png holds label 3, bee has objects 2, 5; write the ids"


def spoil_void(results):
    write_mask(results / "bee" / "00010.png", mask(255))
    return r"mask .*results/bee/00010\.png holds label 255 \(void, which results must not hold\)"


def spoil_size(results):
    write_mask(results / "bee" / "00010.png", mask(2)[:, :3])
    return r"mask .*results/bee/00010\.png is 4x3 \(height x width\), its annotation 4x6"


def spoil_content(results):
    (results / "bee" / "00010.png").write_bytes(b"no picture")
    return r"cannot read mask .*results/bee/00010\.png: it is no picture; write it again"


def spoil_colours(results):
    Image.new("RGB", SIZE[::-1]).save(results / "bee" / "00010.png")
    return r"mask .*results/bee/00010\.png holds colours \(RGB\)"


@pytest.mark.parametrize(
    "spoil", [spoil_missing_frame, spoil_label, spoil_void, spoil_size, spoil_content, spoil_colours]
)
def test_what_does_not_fit_is_named_and_the_old_archive_stays(results, archive, spoil):
    before = archive.read_bytes()
    words = spoil(results)
    with pytest.raises(DataError, match=words) as caught:
        pack(results, OnServer(), archive)
    assert "\n" not in str(caught.value)
    assert archive.read_bytes() == before
    assert [path.name for path in archive.parent.iterdir() if path.name.startswith(".")] == []


def test_results_one_level_away_are_told_apart(tmp_path, results):
    with pytest.raises(DataError, match=rf"is one video's results: give its parent {results}"):
        pack(results / "ant", OnServer(), tmp_path / "x.zip")
    with pytest.raises(DataError, match=rf"one level deeper: give {results}"):
        pack(tmp_path, OnServer(), tmp_path / "x.zip")


# --- Archives that others wrote. ---


def test_a_missing_frame_is_named(archive):
    bad = rewrite(archive, lambda members: {n: c for n, c in members.items() if n != "Annotations/bee/00010.png"})
    assert f"no mask Annotations/bee/00010.png in {bad} (1 of 2 frames missing)" in refusal(bad)


def test_a_missing_video_is_named(archive):
    bad = rewrite(archive, lambda members: {n: c for n, c in members.items() if "bee" not in n})
    assert f"no folder Annotations/bee in {bad} (1 of 2 videos missing)" in refusal(bad)


def test_an_empty_archive_misses_all(archive):
    assert "(2 of 2 videos missing)" in refusal(rewrite(archive, lambda _: {}))


@pytest.mark.parametrize("top", ["", "results/", "results/Annotations/"])
def test_another_folder_at_the_top_is_named(archive, top):
    bad = rewrite(archive, lambda members: {n.replace("Annotations/", top): c for n, c in members.items()})
    words = f"{top}ant/00000.png in {bad} lies in the wrong folder: the server looks for Annotations/ant/00000.png"
    assert refusal(bad) == words


def test_a_single_folder_at_the_top_is_refused_where_there_must_be_none(archive):
    with pytest.raises(DataError, match=r"Annotations/ant/00000\.png in .* looks for ant/00000\.png"):
        validate_archive(archive, OnServer(archive_prefix=""))


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (mask(2, 7), "holds label 7, bee has objects 2, 5"),
        (mask(255), "holds label 255 (void"),
        (mask(2)[:2], "is 2x6 (height x width), its annotation 4x6"),
    ],
)
def test_a_mask_that_does_not_fit_is_named(tmp_path, archive, ids, words):
    content = png(tmp_path, ids)
    bad = rewrite(archive, lambda members: {**members, "Annotations/bee/00010.png": content})
    message = refusal(bad)
    assert f"mask {bad}/Annotations/bee/00010.png" in message
    assert words in message


def test_a_grey_mask_and_another_format_are_refused(tmp_path, archive):
    grey = png(tmp_path, mask(2, 5), palette=False)
    bad = rewrite(archive, lambda members: {**members, "Annotations/bee/00010.png": grey})
    assert "bee/00010.png is no palette PNG" in refusal(bad)
    Image.fromarray(mask(2, 5)).save(tmp_path / "one.bmp")
    bitmap = (tmp_path / "one.bmp").read_bytes()
    bad = rewrite(archive, lambda members: {**members, "Annotations/bee/00010.png": bitmap})
    assert "bee/00010.png is no palette PNG" in refusal(bad)


def test_a_damaged_mask_is_named(archive):
    bad = rewrite(archive, lambda members: {**members, "Annotations/bee/00010.png": b"no picture"})
    assert f"cannot read mask {bad}/Annotations/bee/00010.png: it is no picture" in refusal(bad)


def test_a_damaged_archive_is_refused(tmp_path, archive):
    content = bytearray(archive.read_bytes())
    place = content.index(b"Annotations/bee/00010.png") + 30
    content[place : place + 20] = bytes(20)
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(content)
    assert "cannot read" in refusal(damaged)
    damaged.write_bytes(content[: len(content) // 2])
    assert f"{damaged} is no whole zip archive" in refusal(damaged)
    assert "no such file" in refusal(tmp_path / "not.zip", UsageError)


def test_more_than_required_does_no_harm(archive):
    more = rewrite(archive, lambda members: {**members, "Annotations/bee/00005.png": b"", "Annotations/note": b""})
    assert validate_archive(more, OnServer()).frames == 4
