"""Label Studio: tasks with brush masks, the labels that they need, and the frames where the video is at hand."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar
from xml.sax.saxutils import quoteattr

import numpy as np
from jaxtyping import Integer

from selfvos.data.mask_png import IdMap
from selfvos.data.overlay import save_image
from selfvos.data.track_record import default_object
from selfvos.data.video import DEFAULT_FPS
from selfvos.errors import DataError
from selfvos.formats.base import FORMATS, Format, Job, Part, each_mask, each_picture
from selfvos.formats.brush import decode, encode
from selfvos.formats.colours import colour_of
from selfvos.formats.mask_folder import folder_name
from selfvos.formats.memory import Known, Moment, Track, blank, measured, track_of
from selfvos.formats.text import each_element, head, parse_json, write_list
from selfvos.storage import write_text
from selfvos.types import FrameRecord, TrackedObject, TrackReader

_TASKS, _LABELS, _IMAGES = "tasks.json", "labels.xml", "images"
_SERVED = "/data/local-files/?d="
_FROM, _TO = "tag", "image"


@FORMATS.register("label-studio")
class LabelStudioBrush(Format):
    """Label Studio: a task with brush masks for each frame, the labelling setup, and frames as JPEGs."""

    name: ClassVar = "label-studio"
    holds: ClassVar[frozenset[Part]] = frozenset({"masks", "names", "colours", "confidence", "times", "indices"})
    readers: ClassVar = "Label Studio"
    pictures: ClassVar = "optional"

    def recognises(self, path: Path) -> bool:
        """Say whether it is a list of tasks, or a folder with one."""
        start = head(path / _TASKS if path.is_dir() else path).lstrip()
        return start.startswith(b"[") and b'"data"' in start

    def _write(self, track: TrackReader, out: Path, job: Job) -> None:
        write_text(out / _LABELS, _setup(track))
        with (out / _TASKS).open("w", encoding="utf-8") as file:
            write_list(file, _tasks(track, out / _IMAGES, job))

    def _read(self, path: Path) -> Track:
        file = path / _TASKS if path.is_dir() else path
        tasks = parse_json(file)
        try:
            return _read_track(tasks, file, _colours(file.with_name(_LABELS)))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{file} is no list of brush tasks of Label Studio ({error!r}); export it again") from error


def _labels(track: TrackReader) -> dict[int, str]:
    """Return a label for each object; Label Studio tells them apart by nothing else."""
    often = Counter(thing.name for thing in track.objects)
    return {o.id: o.name if often[o.name] == 1 else f"{o.name} ({o.id})" for o in track.objects}


def _setup(track: TrackReader) -> str:
    labels = _labels(track)
    lines = [
        f"    <Label value={quoteattr(labels[thing.id])} background={quoteattr(_hex(thing))}/>"
        for thing in track.objects
    ]
    return "\n".join(
        [
            "<View>",
            f'  <Image name="{_TO}" value="$image" zoom="true"/>',
            f'  <BrushLabels name="{_FROM}" toName="{_TO}">',
            *lines,
            "  </BrushLabels>",
            "</View>",
            "",
        ]
    )


def _tasks(track: TrackReader, images: Path, job: Job) -> Iterator[dict[str, Any]]:
    labels, height, width = _labels(track), *track.size
    objects = [
        {"id": thing.id, "name": thing.name, "label": labels[thing.id], "color": _hex(thing)} for thing in track.objects
    ]
    for record, ids in _each(track, images, job):
        confidence = {state.id: state.confidence for state in record.objects}
        result = [
            {
                "id": f"{record.index}-{state.id}",
                "type": "brushlabels",
                "from_name": _FROM,
                "to_name": _TO,
                "image_rotation": 0,
                "original_width": width,
                "original_height": height,
                "score": confidence.get(state.id, 1.0),
                "value": {
                    "format": "rle",
                    "rle": encode(ids == state.id).tolist(),
                    "brushlabels": [labels[state.id]],
                },
            }
            for state in measured(ids)
        ]
        data = {
            "image": f"{_SERVED}{folder_name(track)}/{_IMAGES}/{record.name}.jpg",
            "video": track.name,
            "fps": track.fps,
            "frame": record.index,
            "name": record.name,
            "seconds": record.seconds,
            "height": height,
            "width": width,
            "objects": objects,
        }
        yield {"data": data, "predictions": [{"model_version": "selfvos", "result": result}]}


def _each(track: TrackReader, images: Path, job: Job) -> Iterator[tuple[FrameRecord, Integer[np.ndarray, "y x"]]]:
    if job.video is None:
        yield from each_mask(track, job)
        return
    for frame, place in each_picture(track, job):
        record = track.frames[place]
        save_image(images / f"{record.name}.jpg", frame.rgb)
        yield record, track.mask(place)


def _colours(setup: Path) -> dict[str, str]:
    """Return the colour of each label of a labelling setup beside the tasks; of none, nothing."""
    if not setup.is_file():
        return {}
    labels = (element for element in each_element(setup, {"Label"}))
    return {label.get("value", ""): label.get("background", "") for label in labels}


def _read_track(tasks: list[dict[str, Any]], file: Path, colours: Mapping[str, str]) -> Track:
    tasks = sorted(tasks, key=lambda task: task["data"].get("frame", 0))
    about = tasks[0]["data"] if tasks else {}
    results = [[one for one in _results(task) if "rle" in one.get("value", {})] for task in tasks]
    labels, objects = _objects(about, results, colours)
    size = _size(about, results, file)
    fps = float(about.get("fps", DEFAULT_FPS))
    moments = [_moment(i, task["data"], fps) for i, task in enumerate(tasks)]
    scores = {
        (place, labels[_label(one)]): float(one.get("score") or 1.0)
        for place, found in enumerate(results)
        for one in found
    }

    def read(place: int) -> IdMap:
        found = results[place]
        ids = blank(size, max((labels[_label(one)] for one in found), default=0))
        for one in found:
            ids[decode(one["value"]["rle"], size)] = labels[_label(one)]
        return ids

    known = Known(
        name=str(about.get("video", file.stem)), moments=moments, fps=fps, objects=objects, confidences=scores
    )
    return track_of(read, len(tasks), known)


def _results(task: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what was drawn in a task: by a person where one has worked on it, else what was predicted."""
    drawn = [one for one in task.get("annotations", []) if not one.get("was_cancelled")]
    chosen = drawn or task.get("predictions", [])
    return chosen[-1]["result"] if chosen else []


def _objects(
    about: Mapping[str, Any], results: list[list[dict[str, Any]]], colours: Mapping[str, str]
) -> tuple[dict[str, int], dict[int, TrackedObject]]:
    """Return the id of every label, and the objects that the file describes."""
    objects: dict[int, TrackedObject] = {}
    labels: dict[str, int] = {}
    for one in about.get("objects", []):
        red, green, blue = bytes.fromhex(one["color"].removeprefix("#"))
        objects[int(one["id"])] = TrackedObject(int(one["id"]), str(one["name"]), (red, green, blue))
        labels[one["label"]] = int(one["id"])
    for label in dict.fromkeys(_label(one) for found in results for one in found):
        if label not in labels:
            number = max([0, *labels.values()]) + 1
            labels[label] = number
            objects[number] = default_object(number, label, colour_of(colours.get(label)))
    return labels, objects


def _label(one: Mapping[str, Any]) -> str:
    labels = one["value"].get("brushlabels") or ["object"]
    return str(labels[0])


def _size(about: Mapping[str, Any], results: list[list[dict[str, Any]]], file: Path) -> tuple[int, int]:
    sizes = {(int(one["original_height"]), int(one["original_width"])) for found in results for one in found}
    if not sizes and "height" in about:
        sizes = {(int(about["height"]), int(about["width"]))}
    if len(sizes) != 1:
        raise DataError(f"{file}: pictures are of {len(sizes)} sizes; frames of one video are of one")
    return sizes.pop()


def _moment(place: int, data: Mapping[str, Any], fps: float) -> Moment:
    index = int(data.get("frame", place))
    name = str(data.get("name") or Path(str(data.get("image", f"{index:05d}"))).stem)
    return Moment(index=index, name=name, seconds=float(data.get("seconds", index / fps)))


def _hex(thing: TrackedObject) -> str:
    return "#{:02x}{:02x}{:02x}".format(*thing.colour)
