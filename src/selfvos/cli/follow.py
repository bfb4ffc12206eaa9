"""Commands that track: demo and track."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfvos.cli.console import Watcher, out
from selfvos.cli.options import AsJson, Device, Preset, Quality, Rounds, Sets, Weights, track_settings
from selfvos.errors import UsageError

if TYPE_CHECKING:
    from selfvos.types import Tracked


def demo(
    folder: Annotated[Path, typer.Option("--out", help="Where the result goes.")] = Path("selfvos-demo"),
    weights: Weights = "default",
    device: Device = "auto",
    preset: Preset = None,
    quality: Quality = None,
    rounds: Rounds = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Track a bird through a real clip: nothing to prepare.

    Example: `selfvos demo`
    """
    from selfvos import api
    from selfvos.api.demo import FRAMES

    model = api.load(weights, device=device)
    results = api.demo(model, folder, config=track_settings(model, preset, rounds, sets, quality))
    _follow(results, FRAMES, folder, as_json)


def track(
    video: Annotated[Path, typer.Argument(help="Video file or folder of pictures.")],
    mask: Annotated[
        list[str], typer.Option(help="Mask of the first frame; more as PATH@FRAME for objects that appear later.")
    ],
    folder: Annotated[Path, typer.Option("--out", help="Masks go to DIR/masks, the overlay to DIR/overlay.mp4.")],
    weights: Weights = "default",
    device: Device = "auto",
    preset: Preset = None,
    quality: Quality = None,
    rounds: Rounds = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Follow every object of a first mask through a video.

    Example: `selfvos track dance.mp4 --mask dance.png --out result`
    """
    from selfvos import api
    from selfvos.data.source import open_source

    masks = _masks(mask)
    first = masks.pop(0)
    count = open_source(video).count
    model = api.load(weights, device=device)
    config = track_settings(model, preset, rounds, sets, quality)
    _follow(api.track_to(model, video, first, folder, masks=masks, config=config), count, folder, as_json)


def _follow(results: "Iterator[Tracked]", count: int | None, folder: Path, as_json: bool) -> None:
    lost: dict[int, int] = {}
    ids: set[int] = set()
    frames, begin = 0, time.perf_counter()
    with Watcher() as watcher:
        for tracked in results:
            frames += 1
            ids.update(state.id for state in tracked.objects)
            for state in tracked.objects:
                lost[state.id] = lost.get(state.id, 0) + state.lost
            watcher.show("tracking", frames, count)
    seconds = time.perf_counter() - begin
    facts = {
        "frames": frames,
        "objects": sorted(ids),
        "lost_frames": {str(i): n for i, n in lost.items() if n},
        "frames_per_second": round(frames / seconds, 2),
        "masks": str(folder / "masks"),
        "overlay": str(folder / "overlay.mp4"),
    }
    if as_json:
        print(json.dumps(facts))
        return
    missing = "".join(f"; object {i} not found in {n} frames" for i, n in facts["lost_frames"].items())
    plural = "object" if len(ids) == 1 else "objects"
    out.print(
        f"tracked {len(ids)} {plural} through {frames} frames in {seconds:.1f} s "
        f"({frames / seconds:.2f} frames a second){missing}\n"
        f"watch {facts['overlay']}; masks are in {facts['masks']}",
        highlight=False,
        soft_wrap=True,
    )


def _masks(given: list[str]) -> dict[int, str]:
    masks: dict[int, str] = {}
    for text in given:
        path, at, frame = text.rpartition("@")
        if not (at and frame.isdigit()) or Path(text).exists():
            path, frame = text, "0"
        if int(frame) in masks:
            raise UsageError(
                f"two masks for frame {frame}: {masks[int(frame)]} and {path}; write later ones as PATH@FRAME"
            )
        masks[int(frame)] = path
    if 0 not in masks:
        raise UsageError("no mask for the first frame; give one --mask without @FRAME")
    return masks
