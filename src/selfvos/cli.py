"""The command line: parse, call the api, print.

Nothing heavy is imported before a command needs it, so that ``--help`` answers at once.
"""

import errno
import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from selfvos import __version__
from selfvos.errors import SelfvosError, UsageError

if TYPE_CHECKING:
    from selfvos.types import Tracked

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Learn video object segmentation from unlabelled video, then follow every object from one mask.",
)
data = typer.Typer(no_args_is_help=True, help="Look through data sets, and make results ready for their servers.")
app.add_typer(data, name="data")
out = Console()
err = Console(stderr=True)
_debug = False
_INTERRUPTED = 130

Weights = Annotated[str, typer.Option("--weights", "-w", help="Name, .safetensors file, or folder of a run.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="Change a setting, for instance match.top_k=5.")]
Preset = Annotated[str | None, typer.Option(help="Tracker settings by name; see 'selfvos list presets'.")]
Rounds = Annotated[int | None, typer.Option(help="Refinement rounds; 0 is pure label propagation.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Videos = Annotated[list[Path], typer.Option("--videos", help="Folder of videos or frame folders, or one video.")]
Cache = Annotated[Path | None, typer.Option(help="Where decoded videos are kept (default: the user's cache).")]
Protocol = Annotated[str, typer.Argument(help="Name of the protocol; see 'selfvos list benchmarks'.")]
Root = Annotated[Path, typer.Option("--root", help="Folder of the data set.")]


def main() -> None:
    """Run the command line and exit: 0 done, 1 a bug, 2 wrong usage, 3 bad data, 4 out of a resource."""
    try:
        status = app(standalone_mode=False)
        if status == _INTERRUPTED:  # typer turns Ctrl-C into this
            raise KeyboardInterrupt
        sys.exit(status if isinstance(status, int) else 0)
    except SelfvosError as error:
        _fail(error, error.exit_status)
    except KeyboardInterrupt as error:
        _fail(error, _INTERRUPTED, "stopped; what was finished before is kept")
    except typer.Exit as error:
        sys.exit(error.exit_code)
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        _fail(error, 4 if full else 1, f"{error.strerror or error}: {error.filename or ''}".rstrip(": "))
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            # Click's own complaints about arguments.
            error.show()  # pyright: ignore[reportAttributeAccessIssue]
            sys.exit(error.exit_code)  # pyright: ignore[reportAttributeAccessIssue]
        _fail(error, 1, f"{type(error).__name__}: {error} (a bug; --debug shows where)")


@app.callback()
def start(
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tell more on the way.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Set up what all commands share."""
    global _debug
    _debug = debug
    logging.basicConfig(
        format="%(levelname)s: %(message)s", level=logging.INFO if verbose else logging.WARNING, stream=sys.stderr
    )
    if version:
        out.print(__version__, highlight=False)
        raise typer.Exit


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--out", help="Where the result goes.")] = Path("selfvos-demo"),
    weights: Weights = "default",
    device: Device = "auto",
    preset: Preset = None,
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
    results = api.demo(model, folder, config=_track_config(model, preset, rounds, sets))
    _follow(results, FRAMES, folder, as_json)


@app.command()
def track(
    video: Annotated[Path, typer.Argument(help="Video file or folder of pictures.")],
    mask: Annotated[
        list[str], typer.Option(help="Mask of the first frame; more as PATH@FRAME for objects that appear later.")
    ],
    folder: Annotated[Path, typer.Option("--out", help="Masks go to DIR/masks, the overlay to DIR/overlay.mp4.")],
    weights: Weights = "default",
    device: Device = "auto",
    preset: Preset = None,
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
    config = _track_config(model, preset, rounds, sets)
    _follow(api.track_to(model, video, first, folder, masks=masks, config=config), count, folder, as_json)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe; see 'selfvos list recipes'.")],
    videos: Videos,
    folder: Annotated[Path, typer.Option("--out", help="Folder of the run.")],
    sets: Sets = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run stopped, exactly.")] = False,
    init: Annotated[str | None, typer.Option(help="Begin with these weights instead of random ones.")] = None,
    device: Device = "auto",
    cache: Cache = None,
    as_json: AsJson = False,
) -> None:
    """Learn from unlabelled videos.

    Example: `selfvos train mask_vos_resnet18_tiny --videos videos/ --out runs/first`
    """
    from selfvos import api
    from selfvos.settings import override

    config = override(api.recipe(recipe), sets or [])
    begin = api.load(init, device="cpu") if init else None
    with _Watcher() as watcher:
        path = api.train(
            config,
            videos=list(videos),
            out=folder,
            resume=resume,
            device=device,
            cache=cache,
            start=begin,
            watch=lambda report: watcher.show(report.stage, report.done, report.total, report.losses.get("loss")),
            packing=lambda done, total: watcher.show("decoding videos", done, total),
        )
    if as_json:
        print(json.dumps({"weights": str(path), "metrics": str(folder / "metrics.jsonl")}))
    else:
        out.print(
            f"weights: {path}\nuse them: selfvos track VIDEO --mask FIRST.png --weights {folder} --out DIR",
            soft_wrap=True,
        )


@app.command()
def cluster(
    videos: Videos,
    folder: Annotated[Path, typer.Option("--out", help="Where pictures and videos of the clusters go.")],
    weights: Weights = "default",
    sets: Sets = None,
    seed: Annotated[int, typer.Option(help="Seed of the clustering.")] = 0,
    device: Device = "auto",
    cache: Cache = None,
) -> None:
    """Group the pixels of videos in space and time, and draw the groups: pseudo masks to look at.

    Example: `selfvos cluster --videos videos/ --out clusters --set clusters.clusters=5`
    """
    from selfvos import api
    from selfvos.settings import override
    from selfvos.training.settings import PseudoMaskConfig

    model = api.load(weights, device=device)
    feature = model.notes.get("track", {}).get("feature", "key")
    config = override(PseudoMaskConfig(feature=feature), sets or [])
    with _Watcher() as watcher:
        sheets = api.cluster(
            model,
            videos=list(videos),
            out=folder,
            config=config,
            seed=seed,
            cache=cache,
            progress=lambda done, total: watcher.show("clustering", done, total),
        )
    out.print(f"{len(sheets)} contact sheets and overlay videos in {folder}", soft_wrap=True)


@app.command()
def evaluate(
    weights: Annotated[str, typer.Argument(help="Name, file or run; 'default' stands for the weights that ship.")],
    benchmark: Annotated[str, typer.Argument(help="Name of the protocol; see 'selfvos list benchmarks'.")],
    root: Root,
    folder: Annotated[Path, typer.Option("--out", help="Masks, tables and report.json go here.")],
    preset: Preset = None,
    rounds: Rounds = None,
    sets: Sets = None,
    overlays: Annotated[bool, typer.Option("--overlays", help="Also write an overlay video of each video.")] = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Track a whole benchmark, write the masks or points, score them.

    What a protocol lays down about tracking holds unless a preset is named; --set and --rounds change single settings.

    Example: `selfvos evaluate default davis-2016-val --root DAVIS --out result`
    """
    from selfvos import api

    model = api.load(weights, device=device)
    if preset is None:
        config = _changed(api.protocol_config(model, benchmark, root=root), rounds, sets)
    else:
        config = _track_config(model, preset, rounds, sets)
    with _Watcher() as watcher:
        report = api.evaluate(
            model,
            benchmark,
            root=root,
            out=folder,
            config=config,
            overlays=overlays,
            watch=lambda video, done, total: watcher.show(video, done, total),
        )
    _print_report(report, as_json)
    _print_place(folder / "report.html", as_json)


@app.command()
def score(
    results: Annotated[list[Path], typer.Argument(help="Folder with VIDEO/FRAME.png or VIDEO.csv; or several.")],
    benchmark: Annotated[str, typer.Argument(help="Name of the protocol; see 'selfvos list benchmarks'.")],
    root: Root,
    folder: Annotated[Path | None, typer.Option("--out", help="Write tables, JSON and an HTML page here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score masks that any method has written; several results are set against the first.

    Example: `selfvos score results/ davis-2017-val --root DAVIS`
    """
    from selfvos import api

    if len(results) > 1:
        _score_together(results, benchmark, root, folder, as_json)
        return
    with _Watcher() as watcher:
        report = api.score(results[0], benchmark, root=root, out=folder, watch=watcher.show)
    _print_report(report, as_json)
    if folder:
        _print_place(folder / "report.html", as_json)


@data.command("check")
def data_check(benchmark: Protocol, root: Root, as_json: AsJson = False) -> None:
    """Look at every file that a benchmark needs; each fault is one line and makes the exit status 3.

    Example: `selfvos data check davis-2017-val --root DAVIS`
    """
    from selfvos import api

    with _Watcher() as watcher:
        found = api.check_dataset(
            benchmark, root=root, progress=lambda done, total: watcher.show("checking", done, total)
        )
    _print_report(found, as_json)
    if found.faults:
        raise typer.Exit(3)


@data.command("pack")
def data_pack(
    results: Annotated[Path, typer.Argument(help="Folder with VIDEO/FRAME.png, from any method.")],
    benchmark: Protocol,
    root: Root,
    archive: Annotated[Path, typer.Option("--out", help="The zip to write.")],
    as_json: AsJson = False,
) -> None:
    """Pack results into the archive that the official server takes, and validate it.

    Example: `selfvos data pack result/masks youtube-vos-2019-valid --root YouTubeVOS --out submission.zip`
    """
    from selfvos import api

    with _Watcher() as watcher:
        packed = api.pack_results(
            results,
            benchmark,
            root=root,
            out=archive,
            progress=lambda done, total: watcher.show("packing", done, total),
        )
    _print_report(packed, as_json)


@data.command("validate")
def data_validate(
    archive: Annotated[Path, typer.Argument(help="The zip that is to be submitted.")],
    benchmark: Protocol,
    root: Root,
    as_json: AsJson = False,
) -> None:
    """Make sure that the official server can score an archive, whoever packed it.

    Example: `selfvos data validate submission.zip youtube-vos-2019-valid --root YouTubeVOS`
    """
    from selfvos import api

    with _Watcher() as watcher:
        checked = api.validate_archive(
            archive, benchmark, root=root, progress=lambda done, total: watcher.show("validating", done, total)
        )
    _print_report(checked, as_json)


@app.command("list")
def list_(
    kind: Annotated[str, typer.Argument(help="recipes, objectives, backbones, benchmarks, presets or weights.")],
    as_json: AsJson = False,
) -> None:
    """Say what there is of a kind.

    Example: `selfvos list recipes`
    """
    from selfvos import api

    things = api.names(kind)
    if as_json:
        print(json.dumps(things))
        return
    width = max(map(len, things))
    for name, what in things.items():
        out.print(f"{name.ljust(width)}  {what}", highlight=False, markup=False, soft_wrap=True)


def _follow(results: "Iterator[Tracked]", count: int | None, folder: Path, as_json: bool) -> None:
    lost: dict[int, int] = {}
    ids: set[int] = set()
    frames, begin = 0, time.perf_counter()
    with _Watcher() as watcher:
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


def _track_config(model: Any, preset: str | None, rounds: int | None, sets: list[str] | None) -> Any:
    from selfvos import api

    return _changed(api.track_config(model, preset), rounds, sets)


def _changed(config: Any, rounds: int | None, sets: list[str] | None) -> Any:
    from selfvos.settings import override

    return override(config, [*(sets or []), *([] if rounds is None else [f"rounds={rounds}"])])


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


def _score_together(results: list[Path], benchmark: str, root: Path, folder: Path | None, as_json: bool) -> None:
    from selfvos import api

    with _Watcher() as watcher:
        comparison = api.score_together(results, benchmark, root=root, out=folder, watch=watcher.show)
    if as_json:
        print(json.dumps(comparison.to_dict(), indent=1))
    else:
        typer.echo(comparison.table(strong=lambda text: typer.style(text, bold=True)))
    if folder:
        _print_place(folder / "comparison.html", as_json)


def _print_report(report: Any, as_json: bool) -> None:
    print(json.dumps(report.to_dict(), indent=1) if as_json else report.table())


def _print_place(page: Path, as_json: bool) -> None:
    if page.is_file() and not as_json:
        out.print(f"\npage: {page}", highlight=False, markup=False, soft_wrap=True)


class _Watcher:
    """A progress bar with time left on a terminal; nothing in a pipe."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=err,
            disable=not err.is_terminal or os.environ.get("RANK", "0") != "0",
        )
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> "_Watcher":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, stage: str, done: int, total: int | None, loss: float | None = None) -> None:
        key = stage if loss is not None or stage in {"decoding videos", "pseudo masks", "clustering"} else "main"
        text = stage if loss is None else f"{stage}  loss {loss:.3f}"
        if key not in self._tasks or done < self._bar.tasks[self._tasks[key]].completed:
            self._tasks[key] = self._bar.add_task(text, total=total)
        self._bar.update(self._tasks[key], completed=done, total=total, description=text)


def _fail(error: BaseException, status: int, message: str | None = None) -> None:
    if _debug:
        raise error
    text = " ".join((message or str(error)).split())
    err.print(f"[bold red]selfvos:[/] {_plain(text)}", highlight=False, soft_wrap=True)
    sys.exit(status)


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
