"""Commands that track: demo and track."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from selfvos.cli.completion import completing_several
from selfvos.cli.console import Watcher, err, out
from selfvos.cli.live import LiveOptions, follow_live, refuse, report_live
from selfvos.cli.options import (
    AsJson,
    Changes,
    Configs,
    Device,
    Fps,
    Preset,
    Quality,
    Rounds,
    Sets,
    Weights,
    track_settings,
)
from selfvos.errors import DataError, OutOfSpace, SelfvosError, Stopped, UsageError

if TYPE_CHECKING:
    from selfvos.api import MaskFile, Shot, Span
    from selfvos.types import Tracked

Threads = Annotated[int | None, typer.Option(help="Threads that compute; by default as many as help just now.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier track in the folder.")]
_MASK = re.compile(r"(?P<path>.+?)(?:@(?P<frame>\d+))?(?:=(?P<id>\d+))?")
_NAMED = 3
"""Objects that are named one by one in the summary."""


def demo(
    folder: Annotated[Path, typer.Option("--out", help="Where the result goes.")] = Path("selfvos-demo"),
    weights: Weights = "default",
    device: Device = "auto",
    preset: Preset = None,
    quality: Quality = None,
    rounds: Rounds = None,
    configs: Configs = None,
    sets: Sets = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Track a bird through a real clip: nothing to prepare.

    Example: `selfvos demo`
    """
    from selfvos import api

    used = api.use_threads(threads)
    model = api.load(weights, device=device)
    config = track_settings(model, preset, quality, Changes(configs, sets, rounds))
    with Watcher() as watcher:
        facts = _follow(api.demo(model, folder, config=config, overwrite=overwrite, watch=watcher), folder)
    _report([facts | {"threads": used}], as_json=as_json)


def track(
    videos: Annotated[
        list[str],
        typer.Argument(
            metavar="VIDEO",
            help="Video files, folders of pictures, @LIST.txt with one of them a line; or one camera (0) or stream "
            "(rtsp://...).",
        ),
    ],
    folder: Annotated[Path, typer.Option("--out", help="Where the track goes: masks, states and overlay.mp4.")],
    mask: Annotated[
        list[str] | None,
        typer.Option(help="Mask of the first frame, or PATH@FRAME of another; PATH@FRAME=ID says which object it is."),
    ] = None,
    mask_dir: Annotated[
        Path | None, typer.Option(help="Folder of first masks, NAME.png for each video; a folder each below --out.")
    ] = None,
    discover: Annotated[
        bool, typer.Option("--discover", help="No mask: follow the space-time clusters that look like things.")
    ] = False,
    start: Annotated[int | None, typer.Option("--from", min=0, help="Frame to begin at, from 0.")] = None,
    end: Annotated[int | None, typer.Option("--to", min=0, help="Last frame to track.")] = None,
    backward: Annotated[bool, typer.Option("--backward", help="Track towards the beginning.")] = False,
    both: Annotated[bool, typer.Option("--both", help="Track to the end, then back to frame 0.")] = False,
    fps: Fps = 25.0,
    formats: Annotated[
        str,
        typer.Option(
            "--export",
            help="Write the track in other formats as well, for instance coco,cvat-video.",
            autocompletion=completing_several("formats"),
        ),
    ] = "",
    drawn_on: Annotated[
        Path | None, typer.Option(help="Live: the picture that the mask was drawn on, if that was a while ago.")
    ] = None,
    segment_minutes: Annotated[float, typer.Option(help="Live: minutes after which a new track begins.")] = 10.0,
    silence: Annotated[float, typer.Option(help="Live: seconds without a frame after which it has ended.")] = 60.0,
    threads: Threads = None,
    overwrite: Overwrite = False,
    weights: Weights = "default",
    device: Device = "auto",
    preset: Preset = None,
    quality: Quality = None,
    rounds: Rounds = None,
    configs: Configs = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Follow every object of given masks through a video, or through several.

    Example: `selfvos track dance.mp4 --mask dance.png --out result`, or of the first camera until Ctrl-C:
    `selfvos track 0 --mask first.png --out result`
    """
    from selfvos import api

    videos = [video for text in videos for video in _listed(text)]
    span = _span(start, end, backward=backward, both=both)
    masks = given_masks(mask or [], span)
    if any(api.is_live(video) for video in videos):
        refuse({"--mask-dir": mask_dir, "--discover": discover, "--from": start, "--backward": backward})
        refuse({"--both": both, "--export": formats})
        refuse({"--overwrite": overwrite, "a second video": videos[1:], "a mask of a later frame": masks.keys() - {0}})
        if not masks:
            raise UsageError("give the mask by --mask; 'selfvos info 0 --frame first.png' takes a picture to draw on")
        live = LiveOptions(
            source=videos[0],
            mask=masks[0],
            drawn_on=drawn_on,
            segment_minutes=segment_minutes,
            silence_s=silence,
            last=end,
        )
        used = api.use_threads(threads)
        model = api.load(weights, device=device)
        facts = follow_live(model, live, folder, track_settings(model, preset, quality, Changes(configs, sets, rounds)))
        report_live(facts | {"threads": used}, live, as_json=as_json)
        return
    shots = _shots([Path(video) for video in videos], _Masks(masks, mask_dir, discover), span, fps)
    exports = [name.strip() for name in formats.split(",") if name.strip()]
    _places(folder, exports)  # a name that does not exist is told now, not after hours
    used = api.use_threads(threads)
    model = api.load(weights, device=device)
    config = track_settings(model, preset, quality, Changes(configs, sets, rounds))
    with Watcher() as watcher:
        if discover:
            shots = {name: _discovered(model, shot, watcher) for name, shot in shots.items()}
        # All of them are looked at before the first is tracked.
        walks = {
            place: api.track_to(model, shot, place, config=config, overwrite=overwrite, watch=watcher)
            for place, shot in ((folder / name, shot) for name, shot in shots.items())
        }
        found, failed = _follow_each(walks)
        for place in (place for place in walks if place.name not in failed):
            for name, beside in _places(place, exports).items():
                api.export(place, name, beside, overwrite=overwrite, watch=watcher)
    _report([facts | {"threads": used} for facts in found], as_json=as_json)
    if failed:
        raise DataError(f"{len(failed)} of {len(walks)} videos not tracked to the end: {', '.join(failed[:5])}")


def _listed(text: str) -> list[str]:
    """Return the videos that an argument names: itself, or the lines of a list, as seen from the folder of the list."""
    if not text.startswith("@"):
        return [text]
    path = Path(text[1:])
    try:
        lines = [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
    except FileNotFoundError:
        raise UsageError(f"no list {path}; write ./{text} for a video that is called so") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} cannot be read as text ({error}); a list has the path of a video in each line"
        ) from error
    videos = [line for line in lines if line and not line.startswith("#")]
    if not videos:
        raise UsageError(f"{path} names no video; a list has the path of a video in each line")
    return [str(path.parent / video) for video in videos]


def _span(start: int | None, end: int | None, *, backward: bool, both: bool) -> "Span":
    from selfvos.api import Span

    if backward and both:
        raise UsageError("--backward and --both exclude each other; --both goes backward as well")
    return Span(start=start, end=end, direction="backward" if backward else "both" if both else "forward")


def _places(track: Path, formats: list[str]) -> dict[str, Path]:
    """Return where a track goes in other formats: into a folder beside its own, which holds nothing but the track."""
    from selfvos import api

    return {name: api.export_place(name, track.with_name(f"{track.name}-exports")) for name in formats}


def given_masks(given: list[str], span: "Span") -> "dict[int, str | MaskFile]":
    """Return masks as they are given on the command line, by frame."""
    from selfvos.api import MaskFile

    masks: dict[int, str | MaskFile] = {}
    for text in given:
        found = None if Path(text).exists() else _MASK.fullmatch(text)
        path, frame, id = (text, None, None) if found is None else found.group("path", "frame", "id")
        if frame is None and span.start is None and span.direction == "backward":
            raise UsageError(f"backward from which frame? give --from N, or the frame of the mask: {path}@N")
        index = int(frame) if frame is not None else span.start or 0
        if index in masks:
            raise UsageError(f"two masks for frame {index}, the second is {path}; write PATH@FRAME for other frames")
        masks[index] = path if id is None else MaskFile(path, int(id))
    return masks


class _Masks(NamedTuple):
    """Where the masks of the videos come from: one of the three."""

    given: "dict[int, str | MaskFile]"
    folder: Path | None
    discover: bool


def _shots(videos: list[Path], masks: _Masks, span: "Span", fps: float) -> "dict[str, Shot]":
    """Return what is to be tracked, by the folder below --out that it goes to; a single video goes to --out itself."""
    from selfvos.api import Shot

    mask_dir = masks.folder
    if bool(masks.given) + (mask_dir is not None) + masks.discover != 1:
        raise UsageError(
            "give the masks by --mask, those of several videos by --mask-dir, or have objects found by --discover; "
            "one of the three"
        )
    if span.direction == "backward" and span.start is None and not masks.given:
        raise UsageError("backward from which frame? give --from N, the frame that the masks are for")
    if len(videos) == 1 and mask_dir is None:
        return {"": Shot(video=videos[0], masks=masks.given, span=span, fps=fps)}
    if masks.given:
        raise UsageError("several videos want --mask-dir DIR, with NAME.png for each; --mask is for one")
    shots: dict[str, Shot] = {}
    for video in videos:
        name = video.resolve().name if video.is_dir() else video.stem
        if name in shots:
            raise UsageError(f"two videos are called {name}, and would go to one folder; track them one by one")
        shots[name] = Shot(video=video, masks={} if mask_dir is None else mask_dir / f"{name}.png", span=span, fps=fps)
    return shots


def _discovered(model: Any, shot: "Shot", watcher: Watcher) -> "Shot":
    """Return a shot with the mask of the objects that are found where it begins."""
    from selfvos import api

    source = api.open_source(shot.video, fps=shot.fps)  # pyright: ignore[reportArgumentType]
    frame = shot.span.start or 0
    found = api.discover(model, source, frame=frame, watch=watcher)
    err.print(f"{source.name}: {found.objects} objects found in frame {frame}", highlight=False, markup=False)
    return replace(shot, masks={frame: found.mask})


def _follow_each(walks: "dict[Path, Iterator[Tracked]]") -> tuple[list[dict[str, Any]], list[str]]:
    """Track one video after the other; with several, one that breaks does not keep the others from being tracked."""
    found, failed = [], []
    for place, results in walks.items():
        try:
            found.append(_follow(results, place))
        except (Stopped, OutOfSpace):
            raise
        except SelfvosError as error:
            if len(walks) == 1:
                raise
            err.print(f"{place.name}: {error}", highlight=False, markup=False, soft_wrap=True)
            failed.append(place.name)
    return found, failed


def _follow(results: "Iterator[Tracked]", folder: Path) -> dict[str, Any]:
    """Track one video to its end and return what there is to say."""
    lost: dict[int, int] = {}
    frames, begin = 0, time.perf_counter()
    for tracked in results:
        frames += 1
        for state in tracked.objects:
            lost[state.id] = lost.get(state.id, 0) + state.lost
    seconds = time.perf_counter() - begin
    about = json.loads((folder / "track.json").read_text("utf-8"))
    return {
        "frames": frames,
        "objects": sorted(lost),
        "lost_frames": {str(i): n for i, n in sorted(lost.items()) if n},
        "seconds": round(seconds, 2),
        "frames_per_second": round(frames / seconds, 2),
        "folder": str(folder),
        "masks": str(folder / "masks"),
        "overlay": str(folder / "overlay.mp4"),
        **{key: about[key] for key in ("sound", "video", "weights", "settings", "range", "given", "version")},
    }


def _report(found: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(found[0] if len(found) == 1 else {"videos": found}))
        return
    for facts in found:
        count, frames = len(facts["objects"]), facts["frames"]
        out.print(
            f"tracked {count} {'object' if count == 1 else 'objects'} through {frames} frames in "
            f"{facts['seconds']:.1f} s ({facts['frames_per_second']:.2f} frames a second)\n{_missing(facts)}"
            f"watch overlay.mp4; it is beside the masks in {facts['folder']}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def _missing(facts: dict[str, Any]) -> str:
    lost: dict[str, int] = facts["lost_frames"]
    if len(lost) <= _NAMED:
        return "".join(f"object {i} was not found in {n} {'frame' if n == 1 else 'frames'}\n" for i, n in lost.items())
    most = sorted(lost, key=lambda i: -lost[i])[:_NAMED]
    named = ", ".join(f"{i} ({lost[i]})" for i in most)
    return f"{len(lost)} objects were not found in some frames, most of all {named}\n"
