"""The video with its masks drawn over it, for people to watch."""

from pathlib import Path
from typing import ClassVar

from selfvos.data.overlay import overlay
from selfvos.data.video import VideoWriter
from selfvos.formats.base import FORMATS, Format, Job, Part, each_picture
from selfvos.types import TrackReader


@FORMATS.register("overlay")
class OverlayFilm(Format):
    """MP4 (H.264) of the frames that were tracked, at their own times, with the objects tinted and outlined."""

    name: ClassVar = "overlay"
    holds: ClassVar[frozenset[Part]] = frozenset({"pictures", "times"})
    readers: ClassVar = "every player and browser"
    suffix: ClassVar = ".mp4"
    pictures: ClassVar = "required"
    reads: ClassVar = False

    def _write(self, track: TrackReader, out: Path, job: Job) -> None:
        start = track.frames[0].seconds
        with VideoWriter(out, fps=track.fps) as film:
            for frame, place in each_picture(track, job):
                film.write(overlay(frame.rgb, track.mask(place)), frame.seconds - start)
