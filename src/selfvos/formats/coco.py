"""COCO: one JSON file with run lengths, and a `track_id` that says which annotations are one object."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Integer

from selfvos.data.mask_png import IdMap
from selfvos.data.source import natural
from selfvos.data.track_record import default_object
from selfvos.data.video import DEFAULT_FPS
from selfvos.errors import DataError
from selfvos.formats.base import FORMATS, Format, Job, Part, each_mask
from selfvos.formats.colours import colour_of
from selfvos.formats.memory import Known, Moment, Track, blank, measured, moments_at, track_of
from selfvos.formats.polygons import fill
from selfvos.formats.rle import compress, counts_of_each, decompress, places_down_columns
from selfvos.formats.text import head, parse_json, write_json, write_list
from selfvos.types import TrackedObject, TrackReader

_VIDEO = 1


@FORMATS.register("coco")
class Coco(Format):
    """COCO JSON: compressed run lengths, box, area, category, score and track_id of every object in every frame."""

    name: ClassVar = "coco"
    holds: ClassVar[frozenset[Part]] = frozenset(
        {"masks", "boxes", "names", "colours", "confidence", "times", "indices"}
    )
    readers: ClassVar = "pycocotools, CVAT, FiftyOne, Detectron2, datumaro, Roboflow"
    suffix: ClassVar = ".json"

    def recognises(self, path: Path) -> bool:
        """Say whether it is JSON that begins like a data set of COCO."""
        start = head(path).lstrip()
        return start.startswith(b"{") and any(key in start for key in (b'"images"', b'"annotations"', b'"categories"'))

    def _write(self, track: TrackReader, out: Path, job: Job) -> None:
        categories = {name: i for i, name in enumerate(dict.fromkeys(o.name for o in track.objects), start=1)}
        height, width = track.size
        video = {"id": _VIDEO, "name": track.name, "width": width, "height": height, "fps": track.fps}
        with out.open("w", encoding="utf-8") as file:
            file.write('{"info":')
            write_json(file, {"description": track.name})
            for key, items in (
                ("licenses", []),
                ("videos", [video]),
                ("categories", [{"id": i, "name": name, "supercategory": ""} for name, i in categories.items()]),
                ("tracks", _tracks(track, categories)),
                ("images", _images(track)),
                ("annotations", _annotations(track, categories, job)),
            ):
                file.write(f',\n"{key}":')
                write_list(file, items)
            file.write("}\n")

    def _read(self, path: Path) -> Track:
        data = parse_json(path)
        try:
            return _read_track(data, path)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{path} is no COCO file as its API describes it ({error!r}); export it again") from error


def _tracks(track: TrackReader, categories: dict[str, int]) -> Iterator[dict[str, Any]]:
    for thing in track.objects:
        kind, colour = categories[thing.name], list(thing.colour)
        yield {"id": thing.id, "video_id": _VIDEO, "category_id": kind, "name": thing.name, "color": colour}


def _images(track: TrackReader) -> Iterator[dict[str, Any]]:
    height, width = track.size
    for number, record in enumerate(track.frames, start=1):
        when = {"video_id": _VIDEO, "frame_index": record.index, "seconds": record.seconds}
        yield {"id": number, "file_name": f"{record.name}.png", "width": width, "height": height, **when}


def _annotations(track: TrackReader, categories: dict[str, int], job: Job) -> Iterator[dict[str, Any]]:
    kinds = {thing.id: categories[thing.name] for thing in track.objects}
    number = 0
    for image, (record, ids) in enumerate(each_mask(track, job), start=1):
        confidence = {state.id: state.confidence for state in record.objects}
        runs = counts_of_each(ids)
        for state in measured(ids):
            number += 1
            left, top, right, bottom = state.box or (0, 0, 0, 0)
            yield {
                "id": number,
                "image_id": image,
                "video_id": _VIDEO,
                "track_id": state.id,
                "category_id": kinds[state.id],
                "segmentation": {"size": list(track.size), "counts": compress(runs[state.id])},
                "area": state.area,
                "bbox": [left, top, right - left, bottom - top],
                "iscrowd": 0,
                "score": confidence.get(state.id, 1.0),
                "attributes": {"track_id": state.id},
            }


@dataclass(frozen=True)
class _Annotation:
    track_id: int
    segmentation: Any
    score: float


def _read_track(data: Any, path: Path) -> Track:
    videos = data.get("videos") or [{}]
    if len(videos) > 1:
        raise DataError(f"{path} holds {len(videos)} videos; export one to a file")
    images = _in_order(data["images"])
    if not images:
        raise DataError(f"{path} lists no image; there is nothing to read")
    sizes = {(int(image["height"]), int(image["width"])) for image in images}
    if len(sizes) > 1:
        raise DataError(f"{path}: images are of {len(sizes)} sizes; frames of one video are of one")
    size = sizes.pop()
    found, kinds = _by_image(data["annotations"], path)
    fps = float(videos[0].get("fps") or DEFAULT_FPS)
    known = Known(
        name=str(videos[0].get("name") or path.stem),
        moments=_moments(images, fps),
        fps=fps,
        objects=_objects(data, kinds),
        confidences={
            (place, one.track_id): one.score for place, image in enumerate(images) for one in found[image["id"]]
        },
    )

    def read(place: int) -> IdMap:
        annotations = found[images[place]["id"]]
        # Down the columns, as COCO counts pixels.
        ids = blank(size, max((one.track_id for one in annotations), default=0)).ravel()
        for one in annotations:
            _paint(ids, one, size)
        return ids.reshape(size[1], size[0]).T

    return track_of(read, len(images), known)


def _in_order(images: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if all("frame_index" in image for image in images):
        return sorted(images, key=lambda image: image["frame_index"])
    return sorted(images, key=lambda image: natural(image["file_name"]))


def _moments(images: list[dict[str, Any]], fps: float) -> list[Moment]:
    names = [Path(image["file_name"]).stem for image in images]
    return [
        Moment(
            index=int(image.get("frame_index", even.index)),
            name=even.name,
            seconds=float(image.get("seconds", image.get("frame_index", even.index) / fps)),
        )
        for image, even in zip(images, moments_at(fps, names), strict=True)
    ]


def _by_image(annotations: list[dict[str, Any]], path: Path) -> tuple[dict[Any, list[_Annotation]], dict[int, int]]:
    """Return the annotations of every image, and the category of every object."""
    found: dict[Any, list[_Annotation]] = defaultdict(list)
    kinds: dict[int, int] = {}
    for one in annotations:
        number = one.get("track_id", (one.get("attributes") or {}).get("track_id"))
        if number is None:
            raise DataError(f"{path}: annotation {one['id']} has no track_id; nothing says which object it is")
        found[one["image_id"]].append(_Annotation(int(number), one["segmentation"], float(one.get("score", 1.0))))
        kinds.setdefault(int(number), one["category_id"])
    lowest = min(kinds, default=1)
    if lowest < 1:  # others count from 0, which is background here
        shift = 1 - lowest
        kinds = {number + shift: kind for number, kind in kinds.items()}
        for place, those in found.items():
            found[place] = [_Annotation(one.track_id + shift, one.segmentation, one.score) for one in those]
    return found, kinds


def _objects(data: Any, kinds: dict[int, int]) -> dict[int, TrackedObject]:
    names = {category["id"]: str(category["name"]) for category in data.get("categories", [])}
    colours = {category["id"]: colour_of(category.get("color")) for category in data.get("categories", [])}
    often = Counter(kinds.values())  # objects of one category are told apart by colours of their own
    objects = {
        i: default_object(i, names.get(kind), colours.get(kind) if often[kind] == 1 else None)
        for i, kind in kinds.items()
    }
    for one in data.get("tracks", []):
        if "name" in one and "color" in one:
            red, green, blue = (int(value) for value in one["color"])
            objects[int(one["id"])] = TrackedObject(int(one["id"]), str(one["name"]), (red, green, blue))
    return objects


def _paint(ids: Integer[np.ndarray, " n"], one: _Annotation, size: tuple[int, int]) -> None:
    """Put an object into a frame, whose pixels lie down the columns: polygons, run lengths, or run lengths as text."""
    if isinstance(one.segmentation, list):
        mask = fill([np.array(polygon, np.float64).reshape(-1, 2) for polygon in one.segmentation], size)
        ids[mask.T.ravel()] = one.track_id
        return
    if tuple(one.segmentation["size"]) != size:
        said = one.segmentation["size"]
        raise DataError(f"a segmentation is of size {said}, its image of {list(size)}; export it again")
    counts = one.segmentation["counts"]
    ids[places_down_columns(decompress(counts) if isinstance(counts, str) else counts, size)] = one.track_id
