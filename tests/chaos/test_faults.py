"""Faults that belong to no single part: files that go away, networks that are not there, odd videos, many users."""

import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from tests.tiny import SIDE, frame_folder, truth
from tests.training.conftest import config, videos  # noqa: F401 - fixtures

from selfvos import api
from selfvos.data import overlay_video
from selfvos.data.video_cache import build_video_cache
from selfvos.errors import DataError, SelfvosError, WeightsMismatch
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.models.weights import load_weights, save_weights
from selfvos.training.checkpoint import latest_checkpoint
from selfvos.training.fit import Start, fit
from selfvos.types import Watching
from selfvos.web.app import create_app
from selfvos.web.codec import encode_mask
from selfvos.web.settings import WebConfig

pytestmark = pytest.mark.chaos
CPU = torch.device("cpu")


def test_a_video_lost_while_a_run_learns_is_named_and_the_run_goes_on_when_it_is_back(config, videos, tmp_path, caplog):  # noqa: F811
    """Nothing is skipped: a run that learned from fewer videos than it says would not be the run that was asked for."""
    shutil.copytree(videos, tmp_path / "videos")
    cache = build_video_cache([tmp_path / "videos"], cache=tmp_path / "cache", short_side_px=320)

    def tell(stage, done, _, **__):
        if (stage, done) == ("warmup", 3):
            shutil.rmtree(tmp_path / "cache")
            shutil.move(tmp_path / "videos", tmp_path / "away")

    with pytest.raises(DataError, match=r"square\d.* was removed or damaged.* run again") as caught:
        fit(config, cache, tmp_path / "run", device=CPU, watch=Watching(tell))
    assert "\n" not in str(caught.value)
    assert latest_checkpoint(tmp_path / "run") is not None
    shutil.move(tmp_path / "away", tmp_path / "videos")
    fit(config, cache, tmp_path / "run", device=CPU, start=Start(resume=True))  # the cache is made anew on the way
    assert "made anew" in caplog.text
    fit(config, cache, tmp_path / "whole", device=CPU)
    ends = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("run", "whole")]
    assert _tensors(ends[0]) == _tensors(ends[1])


def _tensors(content: bytes) -> bytes:
    return content[8 + int.from_bytes(content[:8], "little") :]


def test_a_round_over_videos_of_one_colour_ends_and_the_run_goes_on(config, tmp_path):  # noqa: F811
    for number in range(3):
        (tmp_path / "videos" / f"flat{number}").mkdir(parents=True)
        for t in range(9):
            Image.new("RGB", (96, SIDE), (90, 90, 90)).save(tmp_path / "videos" / f"flat{number}" / f"{t:05d}.png")
    cache = build_video_cache([tmp_path / "videos"], cache=tmp_path / "cache", short_side_px=320)
    fit(config, cache, tmp_path / "run", device=CPU)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 10
    assert all(np.isfinite(line["loss"]) for line in lines)


def write(path: Path, sizes: tuple[int, int], count: int, *, rate: str = "25", codec: str = "ffv1", b_frames: int = 0):
    """Write a video of noise in colours that are kept, at any size and rate."""
    height, width = sizes
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(rate), options={"bf": str(b_frames)})
        stream.width, stream.height = width, height
        stream.pix_fmt = "bgr0" if codec == "ffv1" else "yuv420p"
        for t in range(count):
            rgb = np.full((height, width, 3), 40 * t % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("sizes", "count", "options"),
    [
        ((1, 1), 3, {}),
        ((8, 8), 3, {}),
        ((17, 33), 3, {}),
        ((64, 48), 1, {}),
        ((64, 48), 2, {}),
        ((4320, 7680), 1, {"codec": "mpeg4"}),
        ((64, 48), 4, {"rate": "1/2"}),
        ((64, 48), 4, {"rate": "240"}),
        ((64, 48), 12, {"codec": "libx264", "b_frames": 3}),
    ],
)
def test_odd_videos_are_read_and_followed(tmp_path, sizes, count, options):
    path = write(tmp_path / "odd.mkv", sizes, count, **options)
    source = api.open_apart(path)
    assert source.size == sizes
    assert source.fps == pytest.approx(float(Fraction(options.get("rate", "25"))))
    seconds = [frame.seconds for frame in source]
    assert len(seconds) == count == source.exact_count()
    assert seconds == pytest.approx([t / source.fps for t in range(count)], abs=2e-3)
    if sizes[0] > 1000:  # what tracking makes of its size is measured elsewhere
        return
    mask = np.zeros(sizes, np.uint8)
    mask[: max(1, sizes[0] // 2), : max(1, sizes[1] // 2)] = 1
    model = api.load("lab-patches", device="cpu")
    results = list(api.track(model, source, mask))
    assert [one.mask.shape for one in results] == [sizes] * count
    assert np.array_equal(results[0].mask, mask)


def test_frames_at_a_changing_rate_keep_their_moments(tmp_path):
    moments = [0, 40, 80, 500, 520, 1900]
    with av.open(str(tmp_path / "changing.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, moment in enumerate(moments):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 * number, np.uint8), format="rgb24")
            picture.pts, picture.time_base = moment, Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    frames = list(api.open_apart(tmp_path / "changing.mkv"))
    assert [frame.seconds for frame in frames] == pytest.approx([moment / 1000 for moment in moments], abs=2e-3)


def test_a_thousand_objects_keep_their_ids():
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 255, (64, 128, 3), dtype=np.uint8)
    mask = (np.arange(32)[:, None] * 32 + np.arange(32) + 1).repeat(2, axis=0).repeat(4, axis=1).astype(np.uint16)
    mask[mask > 1000] = 0
    model = api.load("lab-patches", device="cpu")
    results = list(api.track(model, [frame] * 2, mask))
    assert all(one.mask.dtype == np.uint16 for one in results)
    assert len(results[-1].objects) == 1000
    assert len(np.setdiff1d(np.unique(results[-1].mask), np.unique(mask))) == 0
    np.testing.assert_array_equal(results[0].mask, mask)


@pytest.mark.parametrize("what", ["removed", "read-only"])
def test_a_result_folder_that_goes_away_ends_in_one_line_and_nothing_half_is_called_done(tmp_path, what):
    if what == "read-only" and os.geteuid() == 0:
        pytest.skip("nothing is read-only for this user")
    frame_folder(tmp_path / "clip", 8)
    out = tmp_path / "tracks" / "out"
    model = api.load("lab-patches", device="cpu")
    shot = api.Shot(video=tmp_path / "clip", masks=truth(0))
    results = api.track_to(model, shot, out)
    next(results)
    if what == "removed":
        shutil.rmtree(tmp_path / "tracks")
    else:
        (out / "masks").chmod(0o500)
    with pytest.raises((SelfvosError, OSError)) as caught:
        list(results)
    assert isinstance(caught.value, SelfvosError), repr(caught.value)
    assert "\n" not in str(caught.value)
    assert not (out / "done").exists()
    assert what == "read-only" or not list((tmp_path / "tracks").rglob("*.*"))


def test_a_result_folder_that_is_removed_before_its_first_picture_does_not_come_back(tmp_path, monkeypatch):
    removed, draw = threading.Event(), overlay_video.overlay

    def late(*given):
        removed.wait(10)
        return draw(*given)

    monkeypatch.setattr(overlay_video, "overlay", late)
    frame_folder(tmp_path / "clip", 8)
    shot = api.Shot(video=tmp_path / "clip", masks=truth(0))
    results = api.track_to(api.load("lab-patches", device="cpu"), shot, tmp_path / "tracks" / "out")
    next(results)
    shutil.rmtree(tmp_path / "tracks")
    removed.set()
    with pytest.raises(SelfvosError, match="was removed while it was written"):
        list(results)
    assert not (tmp_path / "tracks").exists()


def test_nothing_is_fetched_from_anywhere(tmp_path):
    """Importing, loading what ships, and tracking: no name is looked up and no connection is made."""
    program = """
import sys
seen = []
sys.addaudithook(lambda event, _: seen.append(event) if event in ("socket.connect", "socket.getaddrinfo") else None)
import numpy as np, selfvos
from selfvos import api
model = api.load("default", device="cpu")
list(api.track(model, [np.zeros((32, 32, 3), np.uint8)] * 2, np.eye(32, dtype=np.uint8)))
sys.exit(str(seen) if seen else 0)
"""
    gone = {"HOME": str(tmp_path), "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | gone, capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr


def test_weights_of_a_newer_version_are_refused(tmp_path):
    path = tmp_path / "new.safetensors"
    save_weights(path, Segmenter(SegmenterConfig(backbone="resnet18", last_stage=3, mask_path="none", key_channels=8)))
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["selfvos"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, path, metadata={"selfvos": json.dumps(header | {"format": header["format"] + 1})})
    with pytest.raises(WeightsMismatch, match="not written by this version"):
        load_weights(path)


@pytest.mark.parametrize("users", [20])
def test_users_at_once_see_no_error_and_never_each_others_masks(tmp_path, users):
    frame_folder(tmp_path / "videos" / "clip", 6)
    server = create_app(WebConfig(projects=tmp_path / "projects", root=tmp_path / "videos"))
    wrong: list[object] = []
    took: list[float] = []

    def timed(act):
        began = time.perf_counter()
        answer = act()
        took.append(time.perf_counter() - began)
        return answer

    with TestClient(server, base_url="http://localhost") as client:
        ids = [client.post("/api/projects", json={"path": "clip"}).json()["id"] for _ in range(users)]

        def work(number: int) -> None:
            url = f"/api/projects/{ids[number]}"
            for turn in range(4):
                mask = np.zeros((SIDE, SIDE), np.uint8)
                mask[number : number + 5, turn : turn + 3] = number + 1
                put = timed(lambda: client.put(f"{url}/masks/{turn}", content=encode_mask(mask)))  # noqa: B023
                got = timed(lambda: client.get(f"{url}/masks/{turn}"))  # noqa: B023
                seen = timed(lambda: client.get(f"{url}/frames/{turn}.jpg?w=160"))  # noqa: B023
                Image.open(io.BytesIO(seen.content)).verify()
                if put.status_code != 200 or got.content != encode_mask(mask):
                    wrong.append((number, turn, put.text, got.status_code))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(users)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert len(took) == users * 12
    print(f"95 of 100 answers within {1000 * statistics.quantiles(took, n=20)[-1]:.0f} ms")
