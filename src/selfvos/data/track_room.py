"""The place that a track is written to: looked at before anything is written, and cleared of an earlier track."""

import os
import shutil
from pathlib import Path

from selfvos.data.source import Source
from selfvos.data.track_record import ABOUT, DONE, GIVEN, MASKS, OVERLAY, STATES, from_line, read_about
from selfvos.errors import OutOfSpace, UsageError

_BYTES_A_PIXEL = 0.02
"""What mask and overlay of easy videos take: with less than that, a disk is sure to fill up."""
_BYTES_BESIDE = 2**20


def check_room(path: Path, source: Source, *, overwrite: bool) -> None:
    """Make sure that a track can be written to a folder without touching anything but an earlier track.

    Raises:
        UsageError: It cannot; the message says what is there.
    """
    if not os.path.lexists(path):
        return
    _refuse_video_inside(path, source)
    if not path.is_dir():
        raise UsageError(f"{path} is no folder; choose another name for the result")
    entries = sorted(path.iterdir())
    if not entries:
        return
    if read_about(path) is None:
        raise UsageError(f"{path} holds {entries[0].name}, which is no track; choose an empty or a new folder")
    strange = _strange(path)
    if strange is not None:
        raise UsageError(f"{path} holds {strange}, which no track wrote; move it away, or choose another folder")
    if not overwrite:
        raise UsageError(f"{path} holds an earlier track; choose another folder, or replace it with --overwrite")


def clear(path: Path) -> None:
    """Remove the track that a folder holds, after `check_room` has found nothing else in it."""
    # `done` goes first, so that what is half removed is not taken for a track; `track.json` last, so that it still is
    # known for one, which can be removed.
    for name in (DONE, OVERLAY, STATES):
        (path / name).unlink(missing_ok=True)
    for name in (MASKS, GIVEN):
        if (path / name).is_dir():
            shutil.rmtree(path / name)
    for file in path.glob(".*.tmp*"):
        file.unlink()
    (path / ABOUT).unlink(missing_ok=True)


def check_space(path: Path, source: Source) -> None:
    """Make sure that a folder may be written to, and that not all of a track is sure to find no room.

    Raises:
        UsageError: It may not.
        OutOfSpace: The disk is as good as full.
    """
    place = path.absolute()
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK):
        raise UsageError(f"cannot write {path}: permission denied; choose another folder")
    height, width = source.size or (0, 0)
    needed = _BYTES_BESIDE + _BYTES_A_PIXEL * height * width * (source.count or 1)
    free = shutil.disk_usage(place).free
    if free < needed:
        raise OutOfSpace(
            f"{path} needs at least {needed / 2**20:.0f} MiB, {free / 2**20:.0f} MiB are free; free some space"
        )


def _strange(path: Path) -> str | None:
    """Return what a track's folder holds that the track did not write."""
    about = read_about(path) or {}
    names = {f"{index:05d}.png" for index in about.get("given", [])}
    allowed = {MASKS: _mask_names(path), GIVEN: names}
    for entry in sorted(path.iterdir()):
        if entry.name in {ABOUT, STATES, OVERLAY, DONE} and not entry.is_dir():
            continue
        if entry.name not in allowed or entry.is_symlink() or not entry.is_dir():
            if not _left_over(entry):
                return entry.name
            continue
        for file in sorted(entry.iterdir()):
            if (file.name not in allowed[entry.name] or file.is_dir()) and not _left_over(file):
                return f"{entry.name}/{file.name}"
    return None


def _mask_names(path: Path) -> set[str]:
    names = set()
    try:
        lines = (path / STATES).read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return names
    for line in lines:
        try:
            names.add(f"{from_line(line).name}.png")
        except ValueError:  # the line that was being written when the machine went down
            continue
    return names


def _left_over(file: Path) -> bool:
    """Say whether a file is what a killed process left of an atomic write."""
    return file.name.startswith(".") and ".tmp" in file.name and file.is_file()


def _refuse_video_inside(path: Path, source: Source) -> None:
    video = getattr(source, "path", None)
    if isinstance(video, Path) and path.exists() and video.resolve().is_relative_to(path.resolve()):
        raise UsageError(f"the video {video} lies in {path}, where the result goes; choose another folder")
