"""Inputs so small that whole commands run within a test: videos, masks, data sets, and settings that cut work short."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from selfvos.data.mask_png import write_mask
from selfvos.data.video_writer import VideoWriter

SIDE = 64
SMALL = (
    *("clips.offsets=[0,1,2]", "clips.frame_step=1", "warmup.batch_clips=2", "joint.batch_clips=2"),
    *("pseudo_masks.short_side_px=64", "precision=float32"),
)
"""Settings of a training on small frames."""
SHORT = ("warmup.epochs=1", "warmup.steps_per_epoch=1", "joint.epochs=1", "joint.steps_per_epoch=1")
"""Settings of a training of one step in each phase."""


def picture(t: int) -> np.ndarray:
    """A red square that moves by four pixels a frame over a dark, uneven ground."""
    ground = np.random.default_rng(0).integers(40, 120, (SIDE // 8, SIDE // 8, 3)).astype(np.uint8)
    rgb = ground.repeat(8, axis=0).repeat(8, axis=1)
    rgb[16:40, 4 + 4 * t : 28 + 4 * t] = (230, 40, 40)
    return rgb


def truth(t: int) -> np.ndarray:
    """Where the square is: id 1."""
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    mask[16:40, 4 + 4 * t : 28 + 4 * t] = 1
    return mask


def write_video(path: Path, frames: Iterable[np.ndarray], *, fps: float = 12.0) -> Path:
    """Write pictures as a video file that hardly loses anything."""
    with VideoWriter(path, fps=fps, crf=5) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def frame_folder(folder: Path, frames: int, *, names: str = "{:05d}.jpg") -> Path:
    """Write pictures."""
    folder.mkdir(parents=True)
    for t in range(frames):
        Image.fromarray(picture(t)).save(folder / names.format(t), quality=95)
    return folder


def mask_folder(folder: Path, frames: list[int], *, names: str = "{:05d}.png") -> Path:
    """Write masks."""
    folder.mkdir(parents=True)
    for t in frames:
        write_mask(folder / names.format(t), truth(t))
    return folder


def davis(root: Path, frames: int = 4) -> Path:
    """Two sequences, listed as the validation sets of DAVIS 2016 and 2017."""
    for sequence in ("alpha", "beta"):
        frame_folder(root / "JPEGImages" / "480p" / sequence, frames)
        mask_folder(root / "Annotations" / "480p" / sequence, list(range(frames)))
    for year in ("2016", "2017"):
        (root / "ImageSets" / year).mkdir(parents=True)
        (root / "ImageSets" / year / "val.txt").write_text("alpha\nbeta\n")
    return root


def youtube_vos(root: Path, frames: int = 3) -> Path:
    """One video of the validation set, and of the training set the list alone: a dozen videos, each of its category."""
    frame_folder(root / "valid" / "JPEGImages" / "video", frames)
    mask_folder(root / "valid" / "Annotations" / "video", [0])
    seen = {"frames": [f"{t:05d}" for t in range(frames)]}
    videos = {"valid": {"video": {"objects": {"1": seen}}}, "train": {}}
    for number in range(12):
        videos["train"][f"video{number}"] = {"objects": {"1": seen | {"category": f"category{number}"}}}
    (root / "train").mkdir()
    for part, listed in videos.items():
        (root / part / "meta.json").write_text(json.dumps({"videos": listed}))
    return root


def jhmdb(root: Path, frames: int = 3) -> Path:
    """One clip of the validation list, its joints in a row."""
    joints = root / "joint_positions" / "run" / "clip"
    joints.mkdir(parents=True)
    places = np.stack(np.broadcast_arrays(np.arange(15)[:, None] * 3 + 5.0, np.arange(frames) + 20.0))
    savemat(joints / "joint_positions.mat", {"pos_img": places})
    frame_folder(root / "Rename_Images" / "run" / "clip", frames + 1, names="{:05d}.png")
    for t in reversed(range(frames + 1)):  # its pictures are counted from 1
        path = root / "Rename_Images" / "run" / "clip"
        (path / f"{t:05d}.png").rename(path / f"{t + 1:05d}.png")
    (root / "val.txt").write_text("run/clip\n")
    return root


def labelled_folder(root: Path, frames: int = 4) -> Path:
    """A benchmark of one's own: one video, all of its frames labelled."""
    frame_folder(root / "frames" / "clip", frames, names="{:04d}.jpg")
    mask_folder(root / "masks" / "clip", list(range(frames)), names="{:04d}.png")
    return root
