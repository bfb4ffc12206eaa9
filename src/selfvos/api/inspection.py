"""What a video is, and what this machine can do."""

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch

from selfvos import __version__
from selfvos.api.demonstration import demo_clip
from selfvos.api.weights import load
from selfvos.data.source import DEFAULT_FPS
from selfvos.data.video_cache import default_cache
from selfvos.data.video_facts import VideoFacts, video_facts
from selfvos.errors import SelfvosError
from selfvos.tracking.system import make_tracker

_LITTLE_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: str
    """``ok``; ``missing`` where something is only done without it; ``broken`` where nothing works without it."""
    detail: str
    mend: str = ""
    """The line that mends it."""


def inspect_video(path: Path | str, *, fps: float = DEFAULT_FPS) -> VideoFacts:
    """Look at a video file or a folder of pictures; see `VideoFacts`.

    Raises:
        UsageError: There is no such path.
        BrokenVideo: No frame can be read.
    """
    return video_facts(path, fps=fps)


def inspect_machine() -> tuple[Finding, ...]:
    """Try what tracking and training need, and say what is there."""
    checks = (_python, _processor, _graphics, _weights, _encoder, _cache, _demo, _logs)
    return tuple(_tried(check) for check in checks)


def _tried(check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except (SelfvosError, OSError, RuntimeError, ImportError) as error:
        return Finding(check.__name__.strip("_"), "broken", str(error), "pip install --force-reinstall selfvos")


def _python() -> Finding:
    detail = f"Python {platform.python_version()}, selfvos {__version__}, torch {torch.__version__}"
    return Finding("versions", "ok", f"{detail}, {platform.system()} {platform.machine()}")


def _processor() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load_now = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return Finding("processor", "ok", f"{cores} cores, {torch.get_num_threads()} of them used{load_now}")


def _graphics() -> Finding:
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        memory = f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
        return Finding("graphics", "ok", f"cuda: {torch.cuda.get_device_name()}, {memory}")
    if torch.backends.mps.is_available():
        return Finding("graphics", "ok", "mps")
    built = torch.version.cuda
    if built is None:
        return Finding("graphics", "missing", "torch was built for the CPU", "see pytorch.org for a build with CUDA")
    return Finding("graphics", "missing", f"no device for torch's CUDA {built}", "install or update the GPU's driver")


def _weights() -> Finding:
    """Track two frames with the weights that ship: it compiles the kernels as well."""
    frame, mask = np.zeros((64, 96, 3), np.uint8), np.zeros((64, 96), np.uint8)
    mask[16:48, 16:48] = 1
    tracker = make_tracker(load("default", device="cpu"))
    tracker.start(frame, mask)
    tracker.step(frame)
    return Finding("tracking", "ok", "the weights that ship track on the CPU")


def _encoder() -> Finding:
    detail = f"PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info}"
    if "libx264" in av.codecs_available:
        return Finding("video", "ok", f"{detail}, H.264 overlays")
    return Finding("video", "missing", f"{detail}, no libx264: overlays are MPEG-4", "pip install --force-reinstall av")


def _cache() -> Finding:
    place = default_cache()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    detail = f"{default_cache()}, {free / 2**30:.1f} GiB free"
    if not os.access(place, os.W_OK):
        return Finding("cache", "missing", f"{detail}, not writable", "export XDG_CACHE_HOME=a/folder/of/yours")
    if free < _LITTLE_BYTES:
        return Finding("cache", "missing", detail, "free some space, or export XDG_CACHE_HOME=a/folder/elsewhere")
    return Finding("cache", "ok", detail)


def _demo() -> Finding:
    try:
        return Finding("demo clip", "ok", str(demo_clip()))
    except SelfvosError:
        return Finding("demo clip", "missing", "selfvos demo has nothing to track", f"{_PIP} 'selfvos[demo]'")


def _logs() -> Finding:
    if importlib.util.find_spec("tensorboard"):
        return Finding("tensorboard", "ok", "training can write its logs")
    return Finding("tensorboard", "missing", "training writes metrics.jsonl alone", f"{_PIP} 'selfvos[logs]'")


_PIP = f"{Path(sys.executable).name} -m pip install"
