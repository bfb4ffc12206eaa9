"""MOT Challenge: boxes, one line each."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from selfvos.data.overlay import save_image
from selfvos.formats.base import FORMATS, Format, Job, Part, each_mask, each_picture
from selfvos.formats.mask_folder import folder_name
from selfvos.formats.memory import measured
from selfvos.storage import write_text
from selfvos.types import ObjectRecord, TrackReader

_LIST, _LABELS, _ABOUT, _IMAGES = Path("gt", "gt.txt"), Path("gt", "labels.txt"), "seqinfo.ini", "img1"


@FORMATS.register("mot")
class MotBoxes(Format):
    """MOT Challenge: boxes in gt/gt.txt, counted from 1 as its rules say, with seqinfo.ini and names beside it."""

    name: ClassVar = "mot"
    holds: ClassVar[frozenset[Part]] = frozenset({"boxes"})
    readers: ClassVar = "TrackEval, py-motmetrics, datumaro, trackers of boxes"
    pictures: ClassVar = "optional"
    reads: ClassVar = False

    def _write(self, track: TrackReader, out: Path, job: Job) -> None:
        names = list(dict.fromkeys(thing.name for thing in track.objects))
        kinds = {thing.id: names.index(thing.name) + 1 for thing in track.objects}
        (out / _LIST).parent.mkdir()
        with (out / _LIST).open("w", encoding="utf-8") as file:
            for number, seen in enumerate(_each(track, out / _IMAGES, job), start=1):
                file.writelines(
                    # The rules of the challenge count frames, columns and rows from 1.
                    f"{number},{state.id},{left + 1},{top + 1},{right - left},{bottom - top},1,{kinds[state.id]},1\n"
                    for state in seen
                    if state.box is not None
                    for left, top, right, bottom in [state.box]
                )
        write_text(out / _LABELS, "".join(f"{name}\n" for name in names))
        write_text(out / _ABOUT, _about(track))


def _each(track: TrackReader, images: Path, job: Job) -> Iterator[tuple[ObjectRecord, ...]]:
    if job.video is None:
        for _, ids in each_mask(track, job):
            yield measured(ids)
        return
    for number, (frame, place) in enumerate(each_picture(track, job), start=1):
        save_image(images / f"{number:06d}.jpg", frame.rgb)
        yield measured(track.mask(place))


def _about(track: TrackReader) -> str:
    height, width = track.size
    lines = {
        "name": folder_name(track),
        "imDir": _IMAGES,
        "frameRate": round(track.fps),
        "seqLength": len(track.frames),
        "imWidth": width,
        "imHeight": height,
        "imExt": ".jpg",
    }
    return "[Sequence]\n" + "".join(f"{key}={value}\n" for key, value in lines.items())
