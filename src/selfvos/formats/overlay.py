"""The video with its masks drawn over it, for people to watch."""

from pathlib import Path
from typing import ClassVar

from selfvos.data.overlay_video import Looks, OverlayVideo, looks_of
from selfvos.formats.base import FORMATS, Format, Job, Part, each_picture
from selfvos.types import TrackReader


@FORMATS.register("overlay")
class OverlayFilm(Format):
    """MP4 of the tracked frames with objects tinted and outlined; times, pixel shape and sound are the video's."""

    name: ClassVar = "overlay"
    holds: ClassVar[frozenset[Part]] = frozenset({"pictures", "times"})
    readers: ClassVar = "every player and browser"
    suffix: ClassVar = ".mp4"
    pictures: ClassVar = "required"
    reads: ClassVar = False

    def _write(self, track: TrackReader, out: Path, job: Job) -> None:
        looks = Looks() if job.video is None else looks_of(job.video)
        with OverlayVideo(out, looks) as film:
            for frame, place in each_picture(track, job):
                film.write(frame, track.mask(place))
