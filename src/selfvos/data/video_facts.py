"""What a video is, in plain facts: for people who wonder why it looks as it does."""

from dataclasses import dataclass
from pathlib import Path

from selfvos.data.containers import opened
from selfvos.data.source import PictureFolder, Source, open_source
from selfvos.data.video import VideoFile


@dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """Facts of one video."""

    name: str
    path: str
    kind: str
    """Container of a file, or what else the frames come from."""
    height: int
    """Pixels, as the frames stand upright; so is `width`."""
    width: int
    fps: float
    frames: int | None
    """As announced; None where only reading all of it would tell."""
    seconds: float | None
    codec: str
    pixel_format: str
    """How samples are stored, as FFmpeg names it; empty for pictures."""
    rotation: int
    """Degrees that the stored pictures are turned by, counterclockwise."""
    pixel_aspect: str
    """Width of a pixel by its height."""
    sound: str
    """Codec, rate and channels; empty where there is none."""
    streams: int
    """Pictures and sounds in the file, all told; 0 for pictures."""


def video_facts(path: Path | str, *, fps: float) -> VideoFacts:
    """Look at a video.

    Args:
        path: A video file or a folder of pictures.
        fps: Rate of pictures, in frames per second.

    Raises:
        UsageError: There is no such path.
        BrokenVideo: No frame can be read.
    """
    source = open_source(path, fps=fps)
    if isinstance(source, VideoFile):
        return _of_file(source)
    kind = "folder of pictures" if isinstance(source, PictureFolder) else "pictures in one file"
    return _facts(source, Path(path), kind=kind)


def _of_file(source: VideoFile) -> VideoFacts:
    with opened(source.path) as (container, stream):
        first = next(container.decode(stream), None)
        heard = container.streams.audio
        sound = ""
        if heard:
            context = heard[0].codec_context
            sound = f"{context.name}, {context.sample_rate} Hz, {context.layout.name}"
        return _facts(
            source,
            source.path,
            kind=container.format.long_name,
            codec=stream.codec_context.name,
            pixel_format=stream.codec_context.pix_fmt or "",
            rotation=0 if first is None else int(first.rotation) % 360,
            sound=sound,
            streams=len(container.streams.video) + len(heard),
        )


def _facts(
    source: Source,
    path: Path,
    **known: str | int,
) -> VideoFacts:
    height, width = source.size or (0, 0)
    rest = {"codec": "pictures", "pixel_format": "", "rotation": 0, "sound": "", "streams": 0} | known
    return VideoFacts(
        name=source.name,
        path=str(path),
        height=height,
        width=width,
        fps=source.fps,
        frames=source.count,
        seconds=None if source.count is None else source.count / source.fps,
        pixel_aspect=str(source.pixel_aspect),
        **rest,  # pyright: ignore[reportArgumentType]
    )
