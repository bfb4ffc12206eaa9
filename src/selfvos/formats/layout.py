"""Folders of data sets: masks beside the frames that they belong to."""

from pathlib import Path

from selfvos.data.mask_png import write_mask
from selfvos.data.overlay import save_image
from selfvos.formats.base import Job, each_mask, each_picture
from selfvos.types import TrackReader

MOST_ID = 254
"""255 marks pixels that are not scored."""


def write_masks_and_frames(track: TrackReader, job: Job, masks: Path, frames: Path) -> None:
    """Write palette PNGs into `masks` and, where the video is at hand, its frames as JPEGs into `frames`."""
    if job.video is None:
        for record, ids in each_mask(track, job):
            write_mask(masks / f"{record.name}.png", ids)
        return
    for frame, place in each_picture(track, job):
        name = track.frames[place].name
        write_mask(masks / f"{name}.png", track.mask(place))
        save_image(frames / f"{name}.jpg", frame.rgb)
