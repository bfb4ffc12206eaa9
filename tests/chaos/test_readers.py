"""Every reader either reads a damaged file or says in one line what is wrong with it; nothing else comes out."""

import json
import warnings

import numpy as np
import pytest
from PIL import Image
from tests.formats.conftest import leaving_and_returning

from selfvos.data.mask_png import read_mask, write_mask
from selfvos.data.pictures import read_image
from selfvos.data.source import open_source
from selfvos.errors import SelfvosError
from selfvos.formats.base import FORMATS
from selfvos.recipes import mask_vos_resnet18
from selfvos.settings import from_dict, override, to_dict
from selfvos.training.settings import TrainConfig

pytestmark = pytest.mark.chaos
TRIALS = [pytest.param(40, id="short"), pytest.param(400, id="long", marks=pytest.mark.slow)]
READ = [name for name in FORMATS.names() if FORMATS.get(name).reads]
ODD = [
    b"",
    b"\0",
    b"\xff\xfe",
    b"-1",
    b"1e999",
    b"NaN",
    b"null",
    b"{",
    b"]",
    b'"',
    b"\xf0\x9f",
    b"9" * 40,
    b"<!--",
    b"../",
]


def damaged(content, rng):
    """Return a content with some bytes exchanged, left out, doubled, or replaced by what readers stumble over."""
    content = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        place = int(rng.integers(len(content) + 1))
        length = int(rng.integers(1, 24))
        match rng.integers(6):
            case 0:
                content[place : place + 1] = bytes([int(rng.integers(256))])
            case 1:
                content[place : place + length] = ODD[int(rng.integers(len(ODD)))]
            case 2:
                del content[place : place + length * 8]
            case 3:
                content[place:place] = content[place : place + length]
            case 4:
                del content[place:]
            case 5:
                digits = [i for i, byte in enumerate(content) if 48 <= byte < 58]
                if digits:
                    content[digits[int(rng.integers(len(digits)))]] = 48 + int(rng.integers(10))
    return bytes(content)


def survive(path, read, trials, seed=0):
    """Damage a file, or the files of a folder, again and again; return how often it was read and refused."""
    files = [p for p in sorted(path.rglob("*")) if p.is_file()] if path.is_dir() else [path]
    whole = {file: file.read_bytes() for file in files}
    rng = np.random.default_rng(seed)
    outcomes = {"read": 0, "refused": 0}
    for _ in range(trials):
        file = files[int(rng.integers(len(files)))]
        file.write_bytes(damaged(whole[file], rng))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read()
            outcomes["read"] += 1
        except SelfvosError as error:
            outcomes["refused"] += bool(str(error))
        except Exception as error:
            kept = path.parent / "broke"
            kept.write_bytes(file.read_bytes())
            raise AssertionError(f"{file.name}: {type(error).__name__}: {error}") from error
        file.write_bytes(whole[file])
    read()
    return outcomes


def read_all(track):
    for place in range(len(track.frames)):
        track.mask(place)


@pytest.mark.parametrize("trials", TRIALS)
@pytest.mark.parametrize("name", READ)
def test_tracks_of_every_format(tmp_path, name, trials):
    form = FORMATS.get(name)()
    if form.module:
        pytest.importorskip(form.module)
    out = tmp_path / f"out{form.suffix}"
    form.write(leaving_and_returning(), out)
    outcomes = survive(out, lambda: read_all(form.read(out)), trials)
    assert sum(outcomes.values()) == trials


def pictures(kind):
    rng = np.random.default_rng(1)
    return [rng.integers(0, 255, (24, 32, 3), dtype=np.uint8) for _ in range(3)] if kind else None


@pytest.mark.parametrize("trials", TRIALS)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".gif", ".tif", ".webm"])
def test_videos(tmp_path, suffix, trials):
    path = tmp_path / f"clip{suffix}"
    frames = pictures("noise")
    if suffix in (".gif", ".tif"):
        first, *rest = [Image.fromarray(frame) for frame in frames]
        first.save(path, save_all=True, append_images=rest)
    else:
        import av

        with av.open(str(path), "w") as container:
            codec = {".webm": "libvpx", ".avi": "mpeg4"}.get(suffix, "libx264")
            stream = container.add_stream(codec, rate=25)
            stream.height, stream.width, stream.pix_fmt = 24, 32, "yuv420p"
            for frame in frames * 3:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode(None))
    survive(path, lambda: list(open_source(path)), trials // 2)


@pytest.mark.parametrize("trials", TRIALS)
@pytest.mark.parametrize("mode", ["P", "L", "RGB", "RGBA", "1", "I;16"])
def test_masks(tmp_path, mode, trials):
    ids = np.zeros((12, 14), np.uint8)
    ids[2:5, 3:9], ids[7:10, 1:6] = 1, 2
    path = tmp_path / "m.png"
    if mode == "P":
        write_mask(path, ids)
    elif mode == "I;16":
        write_mask(path, ids.astype(np.uint16) * 300)
    else:
        Image.fromarray(ids * (100 if mode != "1" else 255)).convert(mode).save(path)
    survive(path, lambda: read_mask(path), trials)


@pytest.mark.parametrize("trials", TRIALS)
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp"])
def test_pictures(tmp_path, suffix, trials):
    path = tmp_path / f"p{suffix}"
    Image.fromarray(pictures("noise")[0]).save(path)
    survive(path, lambda: read_image(path), trials)


@pytest.mark.parametrize("trials", TRIALS)
def test_settings(trials):
    rng = np.random.default_rng(5)
    whole = json.dumps(to_dict(mask_vos_resnet18())).encode()
    outcomes = {"read": 0, "refused": 0}
    for _ in range(trials * 3):
        try:
            data = json.loads(damaged(whole, rng))
        except ValueError:
            continue
        if not isinstance(data, dict):
            continue
        try:
            from_dict(TrainConfig, data)
            outcomes["read"] += 1
        except SelfvosError as error:
            outcomes["refused"] += bool(str(error))
    assert min(outcomes.values()) > 0


@pytest.mark.parametrize("trials", TRIALS)
def test_changes_of_settings(trials):
    rng = np.random.default_rng(6)
    words = [b"joint.optimizer.lr=1e-4", b"seed=7", b"clips.offsets=[0,1,2]", b"warmup.objectives.l_short.weight=2"]
    refused = 0
    for number in range(trials * 3):
        text = damaged(words[number % len(words)], rng).decode(errors="replace")
        try:
            override(mask_vos_resnet18(), [text])
        except SelfvosError:
            refused += 1
    assert refused
