"""A stack of label images in one OME-TIFF file: axes TYX, 16 bits."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import UInt16

from selfvos.data.mask_png import IdMap
from selfvos.data.video import DEFAULT_FPS
from selfvos.errors import DataError
from selfvos.formats.base import FORMATS, Format, Job, Part, each_mask
from selfvos.formats.memory import Known, Track, blank, moments_at, track_of
from selfvos.types import TrackReader

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Damage surfaces from deep inside tifffile and whatever unpacks for it, under any name: zlib.error, struct.error ...
_DAMAGE = Exception
_LARGEST_CLASSIC = 2**32 - 2**26


@FORMATS.register("tiff")
class LabelTiff(Format):
    """OME-TIFF stack of labels, axes TYX, 16 bits, compressed without loss."""

    name: ClassVar = "tiff"
    holds: ClassVar[frozenset[Part]] = frozenset({"masks"})
    readers: ClassVar = "napari, Fiji and ImageJ, QuPath, CellProfiler, micro-sam"
    suffix: ClassVar = ".tif"
    extra: ClassVar = "bio"
    module: ClassVar = "tifffile"

    def recognises(self, path: Path) -> bool:
        """Say whether it is a TIFF file."""
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(4) in _MAGIC

    def _write(self, track: TrackReader, out: Path, job: Job) -> None:
        import tifffile

        shape = (len(track.frames), *track.size)
        about = {"axes": "TYX", "Name": track.name, "TimeIncrement": 1 / track.fps, "TimeIncrementUnit": "s"}
        bytes_at_most = 2 * shape[0] * shape[1] * shape[2]
        with tifffile.TiffWriter(out, bigtiff=bytes_at_most > _LARGEST_CLASSIC, ome=True) as file:
            file.write(
                _planes(track, job),
                shape=shape,
                dtype=np.uint16,
                photometric="minisblack",
                compression="zlib",
                metadata=about,
            )

    def _read(self, path: Path) -> Track:
        import tifffile

        try:
            with tifffile.TiffFile(path) as file:
                count, shapes = len(file.pages), {page.shape for page in file.pages}
                fps = _rate(file)
        except _DAMAGE as error:
            raise DataError(f"{path} is no whole TIFF file ({error}); export it again") from error
        if len(shapes) != 1 or len(next(iter(shapes))) != 2:
            found = ", ".join(sorted(map(str, shapes)))
            raise DataError(f"{path} holds planes of shapes {found}; expected one plane of labels for each frame")
        moments = moments_at(fps, count=count)
        known = Known(name=path.name.partition(".")[0], moments=moments, fps=fps)
        return track_of(lambda place: _plane(path, place), count, known)


def _planes(track: TrackReader, job: Job) -> Iterator[UInt16[np.ndarray, "y x"]]:
    waiting = None
    for _, ids in each_mask(track, job):
        if waiting is not None:
            yield waiting
        waiting = ids.astype(np.uint16)
    # Given last of all, for tifffile asks for nothing after it, and the watch has to hear of the last frame.
    if waiting is not None:
        yield waiting


def _plane(path: Path, place: int) -> IdMap:
    import tifffile

    try:
        labels = tifffile.imread(path, key=place)
    except _DAMAGE as error:
        raise DataError(f"{path}: frame {place} cannot be read ({error}); export it again") from error
    if labels.dtype.kind not in "iub" or int(labels.min(initial=0)) < 0:
        raise DataError(f"{path} holds {labels.dtype} pictures, not labels from 0 on; save it as a labels layer")
    ids = blank(labels.shape, int(labels.max(initial=0)))
    ids[:] = labels
    return ids


def _rate(file: Any) -> float:
    """Return the frame rate that OME metadata of this package and others say, or the usual one."""
    from xml.etree import ElementTree

    text = file.ome_metadata if file.is_ome else None
    if text:
        for element in ElementTree.fromstring(text).iter():
            step = element.get("TimeIncrement")
            if step and element.get("TimeIncrementUnit", "s") == "s" and float(step) > 0:
                return 1 / float(step)
    return DEFAULT_FPS
