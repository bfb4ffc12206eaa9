from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from selfvos.data.overlay_video import Looks, OverlayVideo, looks_of
from selfvos.data.source import open_source
from selfvos.data.video import VideoFile
from selfvos.types import Frame

RATE = 48000
SECONDS = 2


def tone() -> np.ndarray:
    """A tone whose loudness rises with time, so that a part of it tells where it is from."""
    t = np.arange(RATE * SECONDS) / RATE
    return (np.sin(2 * np.pi * 440 * t) * 15000 * t / SECONDS).astype(np.int16)[None]


def film(path: Path, codec: str | None, sar: Fraction | None = None) -> Path:
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        if sar is not None:
            video.codec_context.sample_aspect_ratio = sar
        sound = None
        if codec is not None:
            sound = container.add_stream(codec, rate=RATE)
            sound.layout = "mono"
        for i in range(25 * SECONDS):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 4 * i, np.uint8), format="rgb24")
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        if sound is not None:
            wave = av.AudioFrame.from_ndarray(tone(), format="s16", layout="mono")
            wave.sample_rate = RATE
            resampler = av.AudioResampler(sound.codec_context.format, "mono", RATE, sound.codec_context.frame_size)
            for part in [*resampler.resample(wave), *resampler.resample(None)]:
                container.mux(sound.encode(part))
            container.mux(sound.encode(None))
    return path


def heard(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        mono = av.AudioResampler("flt", "mono", RATE)
        parts = [part.to_ndarray() for frame in container.decode(audio=0) for part in mono.resample(frame)]
    return np.concatenate(parts, axis=1)[0]


def draw(source: Path, out: Path, start: int, stop: int) -> OverlayVideo:
    video = open_source(source)
    with OverlayVideo(out, looks_of(video)) as overlay:
        for frame in list(video)[start:stop]:
            overlay.write(frame, np.zeros((48, 64), np.uint8))
    return overlay


@pytest.mark.parametrize("name", ["aac.mp4", "aac.mkv", "pcm_s16le.mov", "ac3.mkv"])
@pytest.mark.parametrize(("start", "stop"), [(0, 50), (20, 40)])
def test_the_sound_of_the_tracked_part_is_copied(tmp_path, name, start, stop):
    overlay = draw(film(tmp_path / name, name.split(".")[0]), tmp_path / "overlay.mp4", start, stop)
    assert overlay.sound == "copied"
    sound = heard(tmp_path / "overlay.mp4")
    assert len(sound) / RATE == pytest.approx((stop - start) / 25, abs=0.06)
    middle = np.abs(sound[len(sound) // 2 - 2400 : len(sound) // 2 + 2400]).max()
    assert middle == pytest.approx(15000 / 32768 * (start + stop) / 2 / 50, rel=0.12), "from the same moment"
    frames = list(VideoFile(tmp_path / "overlay.mp4"))
    assert (len(frames), frames[0].seconds) == (stop - start, 0)


def test_sound_that_an_mp4_does_not_take_is_left_out_and_told(tmp_path, caplog):
    overlay = draw(film(tmp_path / "film.avi", "adpcm_ms"), tmp_path / "overlay.mp4", 0, 5)
    assert overlay.sound == "left out: an mp4 takes no adpcm_ms"
    assert "adpcm_ms" in caplog.text
    assert len(list(VideoFile(tmp_path / "overlay.mp4"))) == 5


def test_a_silent_video_has_no_sound(tmp_path):
    assert draw(film(tmp_path / "film.mp4", None), tmp_path / "overlay.mp4", 0, 5).sound == "none"


def test_the_overlay_keeps_the_shape_of_pixels(tmp_path):
    film(tmp_path / "film.mp4", None, sar=Fraction(64, 45))
    draw(tmp_path / "film.mp4", tmp_path / "overlay.mp4", 0, 5)
    assert open_source(tmp_path / "overlay.mp4").pixel_aspect == Fraction(64, 45)


def test_uneven_times_are_kept_from_the_first_frame_on(tmp_path):
    times = [2.0, 2.1, 2.5, 2.6]
    with OverlayVideo(tmp_path / "overlay.mp4", Looks(fps=10.0)) as overlay:
        for index, seconds in enumerate(times):
            frame = Frame(rgb=np.zeros((48, 64, 3), np.uint8), index=index, name=str(index), seconds=seconds)
            overlay.write(frame, np.zeros((48, 64), np.uint8))
    shown = [frame.seconds for frame in VideoFile(tmp_path / "overlay.mp4")]
    np.testing.assert_allclose(shown, np.array(times) - 2.0, atol=1e-3)
