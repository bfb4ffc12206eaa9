"""Rounds of pseudo masks: features of whole ranges of video, clustered, kept on disk under what they were made from."""

import hashlib
import io
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from selfvos.data.clips import ClipPlan, FrameRange
from selfvos.data.video_cache import CachedVideo, VideoCache
from selfvos.errors import DataError
from selfvos.models.precision import autocast
from selfvos.models.segmenter import Segmenter
from selfvos.models.weights import digest
from selfvos.ops.clustering import cluster_video, seed_for
from selfvos.ops.matched import matched
from selfvos.ops.pseudo_objects import clean
from selfvos.settings import to_dict
from selfvos.storage import write_bytes, write_text
from selfvos.training.settings import PseudoMaskConfig
from selfvos.types import Watch, go_on, ignore

log = logging.getLogger(__name__)

Share = Callable[[Sequence[FrameRange]], Sequence[FrameRange]]
"""Picks the ranges that this process works on."""

_BATCH = 8
_INDEX = "round.json"
_DIGEST = hashlib.sha256().digest_size


@dataclass(frozen=True)
class PseudoMasks:
    """One round: where the cluster maps of each range lie; a `MaskStore`."""

    frame_ranges: tuple[FrameRange, ...]
    files: dict[int, Path]
    """By video: the cluster maps of its range."""

    def maps(self, frame_range: FrameRange) -> UInt8[np.ndarray, "t h w"]:
        """Return the cluster maps of all frames of a range.

        Raises:
            DataError: The file is damaged or gone.
        """
        file = self.files[frame_range.video]
        try:
            return _read(file)
        except (OSError, ValueError) as error:
            raise DataError(
                f"{file} is damaged or gone ({error}); go on with --resume: it is made anew from the same weights"
            ) from error

    def for_clip(self, plan: ClipPlan) -> UInt8[np.ndarray, "t h w"]:
        """Return the cluster maps of one planned clip's frames."""
        frame_range = next(r for r in self.frame_ranges if r.video == plan.video)
        return self.maps(frame_range)[[i - frame_range.start for i in plan.frames]]


@dataclass(frozen=True)
class PseudoMaskMaker:
    """Makes rounds of pseudo masks; all but the network's weights and the round's number."""

    video_cache: VideoCache
    usable: Sequence[FrameRange]
    """Where clips may come from."""
    config: PseudoMaskConfig
    folder: Path
    """Holds all rounds."""
    seed: int = 0
    """Seed of the run."""
    precision: str = "float32"
    """Of the network's forward pass."""

    def round(self, number: int, mark: str) -> PseudoMasks:
        """Say where the masks of a round lie, or will.

        Every file is named after all that its content follows from, so that maps of other weights, videos, frames or
        settings never pass for these.

        Args:
            number: How often pseudo masks were made before.
            mark: See `encoder_mark`, of the weights that the round begins with.
        """
        chosen = choose_ranges(self.usable, self.config, seed=self.seed, round=number)
        folder = self.folder / f"round-{number:03d}-{mark[:12]}"
        return PseudoMasks(chosen, {r.video: folder / f"{self._key(r, number, mark)}.maps" for r in chosen})

    def refresh(self, model: Segmenter, number: int, *, share: Share = list, watch: Watch = ignore) -> PseudoMasks:
        """Make a round with the network as it is now; what is there already, whole, is not made again.

        Args:
            model: The network; its mode is kept.
            number: How often pseudo masks were made before.
            share: Picks the ranges that this process works on.
            watch: Told of ranges done (of this process); asked before each.

        Raises:
            Stopped: The watch asked; what was clustered before is kept.
        """
        masks = self.round(number, encoder_mark(model))
        mine = share(masks.frame_ranges)
        if masks.frame_ranges[0] in mine:  # one process alone
            self._write_index(number, masks)
        for done, frame_range in enumerate(mine, start=1):
            if not _is_whole(masks.files[frame_range.video]):
                go_on(watch)
                self._make(model, frame_range, number, masks.files[frame_range.video])
            watch.tell("pseudo masks", done, len(mine))
        return masks

    def _make(self, model: Segmenter, frame_range: FrameRange, number: int, path: Path) -> None:
        cached = self.video_cache.videos[frame_range.video]
        frames = range(frame_range.start, frame_range.start + frame_range.length)
        was_training = model.training
        features = encode_range(
            model.eval(),
            cached,
            frames,
            feature=self.config.feature,
            short_side_px=self.config.short_side_px,
            precision=self.precision,
        )
        model.train(was_training)
        clusters = self.config.clusters
        maps, centroids = cluster_video(features, clusters, seed_for(self.seed, cached.name, number))
        if len(centroids) < clusters.clusters:
            log.info("%s: %d of %d clusters found", cached.name, len(centroids), clusters.clusters)
        _write(path, clean(maps.cpu(), len(centroids)).numpy())

    def _write_index(self, number: int, masks: PseudoMasks) -> None:
        """Write down, for `stored_rounds`, which range of which video each file of a round belongs to."""
        ranges = [
            {"video": self.video_cache.videos[r.video].name, "start": r.start, "length": r.length, "file": file.name}
            for r, file in ((r, masks.files[r.video]) for r in masks.frame_ranges)
        ]
        folder = next(iter(masks.files.values())).parent
        write_text(folder / _INDEX, json.dumps({"round": number, "ranges": ranges}, indent=1))

    def _key(self, frame_range: FrameRange, number: int, mark: str) -> str:
        cached = self.video_cache.videos[frame_range.video]
        made_of = {
            "weights": mark,
            "video": (cached.name, cached.identity),
            "frames": (frame_range.start, frame_range.length),
            "clusters": to_dict(self.config.clusters),
            "feature": (self.config.feature, self.config.short_side_px, self.precision),
            "seed": (self.seed, number),
        }
        return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:24]


def encoder_mark(model: Segmenter) -> str:
    """Return the digest of all in a network that features follow from."""
    return hashlib.sha256(f"{digest(model.encoder.state_dict())} {model.stride}".encode()).hexdigest()


def stored_rounds(folder: Path, video_cache: VideoCache) -> list[PseudoMasks]:
    """Return the rounds that a run has left behind, in order; of a round that was made twice, the later one.

    Args:
        folder: Holds all rounds.
        video_cache: The videos that the run learned from.
    """
    videos = {cached.name: number for number, cached in enumerate(video_cache.videos)}
    rounds: dict[int, PseudoMasks] = {}
    for index in sorted(folder.glob(f"round-*/{_INDEX}"), key=lambda path: path.stat().st_mtime):
        stored = json.loads(index.read_text())
        known = [entry for entry in stored["ranges"] if entry["video"] in videos]
        ranges = tuple(FrameRange(videos[entry["video"]], entry["start"], entry["length"]) for entry in known)
        files = {videos[entry["video"]]: index.parent / entry["file"] for entry in known}
        rounds[stored["round"]] = PseudoMasks(ranges, files)
    return [rounds[number] for number in sorted(rounds)]


@torch.inference_mode()
def encode_range(
    model: Segmenter,
    cached: CachedVideo,
    frames: Sequence[int],
    *,
    feature: str,
    short_side_px: int,
    precision: str = "float32",
) -> Float[Tensor, "t h w c"]:
    """Return unit-length features of some frames of a cached video; see `encode_pictures`."""
    pictures = (cached.frame(i) for i in frames)
    return encode_pictures(model, pictures, feature=feature, short_side_px=short_side_px, precision=precision)


@torch.inference_mode()
def encode_pictures(
    model: Segmenter,
    pictures: Iterable[UInt8[np.ndarray, "y x 3"]],
    *,
    feature: str,
    short_side_px: int,
    precision: str = "float32",
) -> Float[Tensor, "t h w c"]:
    """Return unit-length features of pictures of one size, of which only a few are held at once.

    Both sides are brought to multiples of the stride, so that the cells cover the picture exactly.
    """
    parts, left = [], iter(pictures)
    while some := list(islice(left, _BATCH)):
        pixels = np.stack(some)
        sides = pixels.shape[1:3]
        scale = short_side_px / min(sides)
        size = [max(1, round(side * scale / model.stride)) * model.stride for side in sides]
        x = torch.from_numpy(pixels).to(model.device).movedim(-1, 1).float() / 255
        if list(x.shape[-2:]) != size:
            x = F.interpolate(x, size=size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
        with autocast(precision, model.device):
            features = model.encode_frame(x)
        parts.append(matched(features, feature).movedim(1, -1))
    return torch.cat(parts)


def choose_ranges(
    usable: Sequence[FrameRange], config: PseudoMaskConfig, *, seed: int, round: int
) -> tuple[FrameRange, ...]:
    """Choose what is clustered in a round: all, or as many videos and frames as the settings allow, drawn anew."""
    draw = np.random.default_rng([seed, 2, round])
    count = min(config.max_videos or len(usable), len(usable))
    chosen = sorted(draw.choice(len(usable), size=count, replace=False))
    result = []
    for i in chosen:
        frame_range = usable[i]
        length = min(config.max_frames or frame_range.length, frame_range.length)
        start = frame_range.start + int(draw.integers(frame_range.length - length + 1))
        result.append(FrameRange(frame_range.video, start, length))
    return tuple(result)


def _write(path: Path, maps: UInt8[np.ndarray, "t h w"]) -> None:
    packed = io.BytesIO()
    np.savez_compressed(packed, maps=maps)
    write_bytes(path, hashlib.sha256(packed.getbuffer()).digest() + packed.getbuffer())


def _read(path: Path) -> UInt8[np.ndarray, "t h w"]:
    content = path.read_bytes()
    digest, packed = content[:_DIGEST], content[_DIGEST:]
    if hashlib.sha256(packed).digest() != digest:
        raise ValueError("digest differs")
    with np.load(io.BytesIO(packed)) as stored:
        return stored["maps"]


def _is_whole(path: Path) -> bool:
    try:
        _read(path)
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        log.warning("%s is damaged (%s); made anew", path, error)
        return False
    return True
