"""Files of strangers: they open no other file, no connection, and take no more than they are given."""

import resource
import shutil
import subprocess
import sys
import time

import av
import numpy as np
import pytest
from tests.data.test_video import encode, scenery
from tests.hostile import called_port, scripts

from selfvos.data.apart import Limits, frames_apart
from selfvos.data.source import open_source
from selfvos.errors import BrokenVideo, DataError, UsageError

pytestmark = pytest.mark.chaos


@pytest.fixture
def calls():
    """A port, and who has called it."""
    with called_port() as found:
        yield found


def test_scripts_in_disguise_open_nothing_else(tmp_path, calls):
    port, found = calls
    secret = encode(tmp_path / "secret.mp4", scenery(3))
    names = []
    for name, content in scripts(secret, port).items():
        (tmp_path / name).write_text(content)
        names.append(str(tmp_path / name))
        with pytest.raises(DataError):
            list(open_source(tmp_path / name))
        with pytest.raises(DataError):
            list(frames_apart(tmp_path / name))
    assert found == []
    if shutil.which("strace") is None:
        return
    program = """
import sys
from selfvos.data.source import open_source
from selfvos.errors import DataError
print("begin", open("/dev/null").close())
for name in sys.argv[1:]:
    try:
        list(open_source(__import__("pathlib").Path(name)))
    except DataError:
        pass
"""
    trace = tmp_path / "trace"
    command = [
        "strace",
        "-f",
        "-e",
        "trace=openat,open,socket,connect",
        "-o",
        str(trace),
        sys.executable,
        "-c",
        program,
    ]
    done = subprocess.run([*command, *names], capture_output=True, text=True)
    if "ptrace" in done.stderr or not trace.exists():
        pytest.skip("nobody may trace system calls here")
    assert done.returncode == 0, done.stderr
    calls_made = trace.read_text().partition('"/dev/null"')[2]
    assert all(name in calls_made for name in names)
    assert str(secret) not in calls_made
    assert "connect(" not in calls_made
    assert "AF_INET" not in calls_made


def test_frames_apart_are_the_frames(tmp_path):
    path = encode(tmp_path / "clip.mp4", scenery(5))
    here, there = list(open_source(path)), list(frames_apart(path))
    assert [(f.index, f.name, f.seconds) for f in here] == [(f.index, f.name, f.seconds) for f in there]
    assert all(np.array_equal(one.rgb, other.rgb) for one, other in zip(here, there, strict=True))


def test_a_bomb_is_refused_quickly_and_in_little_memory(tmp_path):
    """A few hundred kilobytes that would become some gigabytes of pixels."""
    path = tmp_path / "bomb.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = 4320, 7680, "yuv420p"
        black = av.VideoFrame.from_ndarray(np.zeros((4320 * 3 // 2, 7680), np.uint8), format="yuv420p")
        for _ in range(4):
            container.mux(stream.encode(black))
        container.mux(stream.encode(None))
    began = time.monotonic()
    with pytest.raises(BrokenVideo, match="within 64 MiB|no frame of the video can be read"):
        list(frames_apart(path, Limits(memory_bytes=64 * 2**20)))
    assert time.monotonic() - began < 20
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    # A child begins as large as who started it, and others may have been larger.
    assert peak < 2**30 + resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_length_is_limited(tmp_path):
    path = encode(tmp_path / "clip.mp4", scenery(9))
    seen = []
    with pytest.raises(BrokenVideo, match="more than 4 frames"):
        seen.extend(frame.index for frame in frames_apart(path, Limits(frames=4)))
    with pytest.raises(UsageError, match="at least 1 MiB"):
        Limits(memory_bytes=0)
    with pytest.raises(UsageError, match="no such file"):
        list(frames_apart(tmp_path / "nothing.mp4"))


def test_half_a_reading_leaves_no_process_behind(tmp_path):
    path = encode(tmp_path / "clip.mp4", scenery(50))
    frames = frames_apart(path)
    next(frames)
    began = time.monotonic()
    frames.close()
    assert time.monotonic() - began < 5
