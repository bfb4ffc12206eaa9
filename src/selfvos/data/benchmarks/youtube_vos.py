"""YouTube-VOS 2018 and 2019: the validation sets, which a server scores, and a part of the training set to score here.

Source:
    Layout and rules as the published code of XMem, AOT and DUL reads the data set. That an object is not scored in
    the frame in which it is given, and the last frame is, is general knowledge. The hold-out is this package's own.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from selfvos.data.benchmarks.base import BENCHMARKS, Benchmark, folders_in
from selfvos.data.benchmarks.frame_folders import FrameFolders, in_order, only_new
from selfvos.data.benchmarks.stored_ids import read_ids
from selfvos.data.mask_png import IdMap
from selfvos.errors import DataError

OFFICIAL: Mapping[int, tuple[int, int]] = {2018: (474, 894), 2019: (507, 1063)}
"""Videos and objects of the validation set, by year."""
UNSEEN_CATEGORIES = 10
"""Categories that count as unseen in the hold-out."""
HELD_OUT_VIDEOS = 200
"""Videos in the hold-out; half of them show an unseen category."""
_HOLDOUT = "train-holdout"


@dataclass(frozen=True)
class ListedObject:
    """An object as ``meta.json`` tells of it."""

    frames: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of the frames in which it is annotated; the first is the one in which it is given."""
    category: str = ""
    """Empty in validation sets, whose server keeps it."""


@dataclass(frozen=True)
class ListedVideo:
    """A video as ``meta.json`` tells of it."""

    objects: Annotated[dict[Annotated[int, Field(ge=1, le=254)], ListedObject], Field(min_length=1)]


@dataclass(frozen=True)
class _Meta:
    videos: Annotated[dict[str, ListedVideo], Field(min_length=1)]


@dataclass(frozen=True)
class YouTubeVosVideo(FrameFolders):
    """One video, whose objects are given at different frames."""

    labelled: Mapping[int, tuple[str, ...]]
    """Names of the frames in which each object is annotated, in order, by ascending id."""
    groups: Mapping[int, str] = field(default_factory=dict)
    """Group of each object; empty where there are none."""

    @property
    def objects(self) -> tuple[int, ...]:
        """Ids of the objects, which may have gaps, ascending."""
        return tuple(self.labelled)

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the frames in which an object first appears."""
        return in_order({frames[0] for frames in self.labelled.values()})

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the frames in which any object is annotated."""
        return in_order({frame for frames in self.labelled.values() for frame in frames})

    @property
    def counted(self) -> tuple[str, ...]:
        """Names of the frames in which an object is annotated that was given before."""
        return in_order({frame for frames in self.labelled.values() for frame in frames[1:]})

    def counted_for(self, object_id: int) -> tuple[str, ...]:
        """Names of the object's annotated frames, without the one in which it is given."""
        return self.labelled[object_id][1:]

    def group(self, object_id: int) -> str:
        """Return ``seen`` or ``unseen`` by the object's category, or nothing where categories are not known."""
        return self.groups.get(object_id, "")

    @property
    def mask_files(self) -> Mapping[str, Path]:
        """File of every annotated frame's mask, or of the given ones alone where the server has the others."""
        return self._expected

    @cached_property
    def _expected(self) -> dict[str, Path]:
        return {name: self._mask_path(name) for name in (self.given if self.on_server else self.required)}

    def given_mask(self, frame: str) -> IdMap:
        """Read the objects that first appear in this frame; 0 says nothing about the others.

        Raises:
            DataError: The mask is missing, unreadable, or does not show one of them.
        """
        ids = self.truth(frame)
        new = [id for id, frames in self.labelled.items() if frames[0] == frame]
        for id in new:
            if not (ids == id).any():
                path = self._mask_path(frame)
                raise DataError(f"mask {path} does not show object {id}, which meta.json says appears in this frame")
        return only_new(ids, new)

    def _named(self) -> tuple[str, ...]:
        return self.required


class YouTubeVos(Benchmark):
    """A validation set, tracked at 6 or 30 frames per second, to be scored by its server."""

    def __init__(self, root: Path | str, *, year: int, all_frames: bool = False) -> None:
        """Read ``meta.json``.

        Args:
            root: The folder ``valid``, or the one that holds it.
            year: 2018 or 2019; the folders look alike.
            all_frames: Track every picture of ``valid_all_frames``, which lies beside ``valid``, instead of every
                fifth. The results that are asked for are the same.

        Raises:
            DataError: The folder is no YouTube-VOS, or its ``meta.json`` is missing or wrong.
        """
        self.year = year
        self.folder = _part(Path(root), "valid")
        self.name = f"youtube-vos-{year}-valid{'-all-frames' if all_frames else ''}"
        self.subset = "valid"
        self.archive_prefix = "Annotations/"
        pictures = self.folder.absolute().parent / "valid_all_frames" if all_frames else self.folder
        self.frame_folder = pictures / "JPEGImages"
        listed = read_meta(self.folder / "meta.json")
        self.videos = tuple(_video(name, video, self.folder, self.frame_folder) for name, video in listed.items())
        rate = "all frames tracked (30 fps)" if all_frames else "every fifth frame tracked (6 fps)"
        self.note = "; ".join([*self.faults(), rate])

    def faults(self) -> Iterator[str]:
        """Yield a number of videos or objects that is not the official one."""
        here = len(self.videos), sum(len(video.objects) for video in self.videos)
        for count, official, what in zip(here, OFFICIAL[self.year], ("videos", "objects"), strict=True):
            if count != official:
                yield f"{count} {what} in meta.json, {self.year} has {official}"

    def unlisted(self) -> tuple[str, ...]:
        """Return the videos that have pictures and are not in ``meta.json``."""
        return _unlisted(self.frame_folder, [video.name for video in self.videos])

    def read_result(self, path: Path) -> IdMap:
        """Read one frame's result: ids as they are."""
        return read_ids(path)


class TrainHoldout(Benchmark):
    """Part of the training set, scored here: a stand-in while the server cannot be reached, and not comparable to it.

    Unseen are the 10 categories whose names have the smallest SHA-256; as long as nothing has learned from their
    labels, they stand for categories that training did not meet. Of all videos, again by the SHA-256 of their names,
    it takes the first 100 that show an object of those and the first 100 that show none. So the choice depends on
    ``meta.json`` alone. A network that learns from frames without labels may have seen these videos; say so.
    """

    def __init__(self, root: Path | str) -> None:
        """Read ``meta.json`` and choose.

        Args:
            root: The folder ``train``, or the one that holds it.

        Raises:
            DataError: The folder is no YouTube-VOS, or its ``meta.json`` is missing, wrong, or without categories.
        """
        self.folder = _part(Path(root), "train")
        self.name = f"youtube-vos-{_HOLDOUT}"
        self.subset = _HOLDOUT
        self._listed = read_meta(self.folder / "meta.json")
        categories = _categories(self._listed, self.folder / "meta.json")
        self.unseen = tuple(_shuffled(categories)[:UNSEEN_CATEGORIES])
        """Categories whose objects form the group ``unseen``."""
        pictures = self.folder / "JPEGImages"
        self.videos = tuple(
            _video(name, self._listed[name], self.folder, pictures, self.unseen)
            for name in _hold_out(self._listed, self.unseen)
        )
        self.note = (
            f"YT-VOS train-holdout: {len(self.videos)} of {len(self._listed)} training videos, {len(self.unseen)} of "
            f"{len(categories)} categories unseen; means over objects; not comparable with YT-VOS valid"
        )

    def faults(self) -> Iterator[str]:
        """Yield a hold-out that is smaller than the whole training set gives."""
        if len(self.videos) != HELD_OUT_VIDEOS:
            yield f"{len(self.videos)} videos to hold out, the whole training set gives {HELD_OUT_VIDEOS}"

    def unlisted(self) -> tuple[str, ...]:
        """Return the videos that have pictures and are not in ``meta.json``."""
        return _unlisted(self.folder / "JPEGImages", self._listed)

    def read_result(self, path: Path) -> IdMap:
        """Read one frame's result: ids as they are."""
        return read_ids(path)


def read_meta(path: Path) -> dict[str, ListedVideo]:
    """Read the videos of a ``meta.json``, sorted by name.

    Raises:
        DataError: The file is missing, is no JSON, or does not say which objects are in which frames.
    """
    if not path.is_file():
        raise DataError(f"no file {path}: it says which objects are in which frames, download it")
    try:
        videos = TypeAdapter(_Meta).validate_json(path.read_bytes()).videos
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DataError(
            f"{path} is wrong{f' at {where}' if where else ''}: {first['msg']}; download it again"
        ) from error
    return dict(sorted(videos.items()))


def _part(root: Path, name: str) -> Path:
    for folder in (root / name, root):
        if (folder / "meta.json").is_file() or (folder / "JPEGImages").is_dir():
            return folder
    raise DataError(f"neither {root / name} nor {root} holds meta.json and JPEGImages: give the YouTube-VOS folder")


def _video(
    name: str, listed: ListedVideo, folder: Path, frame_folder: Path, unseen: Collection[str] | None = None
) -> YouTubeVosVideo:
    objects = dict(sorted(listed.objects.items()))
    groups = {id: "unseen" if one.category in unseen else "seen" for id, one in objects.items()} if unseen else {}
    return YouTubeVosVideo(
        name=name,
        frame_folder=frame_folder / name,
        mask_folder=folder / "Annotations" / name,
        labelled={id: in_order(one.frames) for id, one in objects.items()},
        on_server=unseen is None,
        groups=groups,
    )


def _hold_out(listed: Mapping[str, ListedVideo], unseen: Collection[str]) -> list[str]:
    shows = {name: any(one.category in unseen for one in video.objects.values()) for name, video in listed.items()}
    half = HELD_OUT_VIDEOS // 2
    chosen = [[name for name in _shuffled(listed) if shows[name] is wanted][:half] for wanted in (True, False)]
    return sorted(name for names in chosen for name in names)


def _categories(listed: Mapping[str, ListedVideo], path: Path) -> set[str]:
    categories = {one.category for video in listed.values() for one in video.objects.values()}
    if "" in categories:
        raise DataError(f"{path} lacks the category of an object: the file of the training set has them all")
    if len(categories) <= UNSEEN_CATEGORIES:
        raise DataError(
            f"{path} has {len(categories)} categories: {UNSEEN_CATEGORIES} are held out as unseen, and others must "
            "remain; give the whole training set"
        )
    return categories


def _shuffled(names: Collection[str]) -> list[str]:
    """Return the names in an order that looks random and is the same everywhere."""
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())


def _unlisted(frame_folder: Path, listed: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in folders_in(frame_folder) if name not in listed)


def _register(year: int, rate: str, *, all_frames: bool) -> None:
    name = f"youtube-vos-{year}-valid{'-all-frames' if all_frames else ''}"
    about = f"YouTube-VOS {year} valid, tracked at {rate}: writes the archive that the server scores"
    BENCHMARKS.register(name, about=about)(partial(YouTubeVos, year=year, all_frames=all_frames))


for _year in OFFICIAL:
    _register(_year, "6 fps", all_frames=False)
    _register(_year, "30 fps", all_frames=True)
BENCHMARKS.register(
    f"youtube-vos-{_HOLDOUT}", about="200 YouTube-VOS training videos, scored here: G over seen and unseen categories"
)(TrainHoldout)
