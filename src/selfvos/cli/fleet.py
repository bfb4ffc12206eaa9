"""Commands for many videos on many workers: batch and verify."""

import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfvos.cli.console import Watcher, err, print_report
from selfvos.cli.options import AsJson, Device, Preset, Quality, Sets, Weights
from selfvos.errors import UsageError

if TYPE_CHECKING:
    from selfvos.batch.manifest import Defaults

MaskDir = Annotated[
    str | None, typer.Option("--mask-dir", help="Folder or URL of first masks, NAME.png for rows that name none.")
]
Discover = Annotated[
    bool, typer.Option("--discover", help="Rows without a mask get one from space-time clusters of their video.")
]


def batch(
    manifest: Annotated[Path, typer.Argument(help="JSON lines or Parquet: a row with 'video' for each, see the docs.")],
    out: Annotated[str, typer.Option("--out", help="Folder or URL that results go to.")],
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Workers on Ray (default: one for each core); 0 is one process here, without Ray."),
    ] = None,
    address: Annotated[str | None, typer.Option(help="Address of a Ray cluster; else one begins here.")] = None,
    layout: Annotated[
        str, typer.Option("--format", help="parquet: run lengths in shards; folders: what 'track' writes, for each.")
    ] = "parquet",
    retries: Annotated[int, typer.Option(min=0, help="Further attempts at what may have failed by chance.")] = 2,
    backoff: Annotated[float, typer.Option(min=0, help="Seconds before the first of them; then twice as long.")] = 5.0,
    limit_s: Annotated[float, typer.Option("--limit-s", help="Seconds that one video may take.")] = 3600.0,
    limit_gb: Annotated[float, typer.Option("--limit-gb", help="Memory in GiB that one video may take.")] = 8.0,
    trusted: Annotated[
        bool, typer.Option("--trusted", help="Videos are my own: decode them in the worker, without limits of its own.")
    ] = False,
    threads: Annotated[int | None, typer.Option(help="Threads of each worker (default: cores / workers).")] = None,
    mask_dir: MaskDir = None,
    discover: Discover = False,
    port: Annotated[int | None, typer.Option("--metrics-port", help="Serve /metrics for Prometheus here.")] = None,
    weights: Weights = "default",
    device: Device = "auto",
    preset: Preset = None,
    quality: Quality = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Track all videos of a manifest, each exactly once; the same command goes on after a stop or a kill.

    Example: `selfvos batch videos.jsonl --out tracks --workers 4`
    """
    from selfvos.batch.job import Plan
    from selfvos.batch.lead import Policy, lead

    if layout not in {"parquet", "folders"}:
        raise UsageError(f"no format {layout!r} of results; parquet or folders")
    if not (limit_s > 0 and limit_gb > 0):
        raise UsageError(f"limits must be > 0, got {limit_s} s and {limit_gb} GiB")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers is None:
        workers = cores
    plan = Plan(
        out=_absolute(out) or "",
        layout=layout,  # pyright: ignore[reportArgumentType]
        weights=str(Path(weights).absolute()) if Path(weights).exists() else weights,
        device=device,
        preset=preset,
        quality=quality,
        settings=tuple(sets or ()),
        threads=threads or max(1, cores // max(1, workers)),
        limit_s=limit_s,
        limit_gb=limit_gb,
        trusted=trusted,
    )
    policy = Policy(retries=retries, backoff_s=backoff, metrics_port=port)

    def engine() -> Any:
        from selfvos.batch.pool import Pool

        return Pool(_hands(plan, workers, address), max(1, workers))

    # Ray prints to standard output when a worker dies; that is where the summary belongs alone.
    with Watcher() as watcher, redirect_stdout(sys.stderr):
        summary = lead(
            manifest, plan, engine, defaults=_defaults(mask_dir, discover=discover), policy=policy, watch=watcher
        )
    print_report(summary, as_json=as_json)


def verify(
    out: Annotated[str, typer.Argument(help="Folder or URL of a batch's results.")],
    manifest: Annotated[Path, typer.Option("--manifest", help="The manifest that they were made from.")],
    rerun: Annotated[Path | None, typer.Option(help="Write a manifest of all that is not whole (.jsonl).")] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Take damaged, partial and doubled results away: batch makes them anew.")
    ] = False,
    mask_dir: MaskDir = None,
    discover: Discover = False,
    as_json: AsJson = False,
) -> None:
    """Hold the results of a batch against its manifest.

    What is missing, half there, there twice or damaged makes the exit status 3.

    Example: `selfvos verify tracks --manifest videos.jsonl`
    """
    from selfvos.batch.verify import Repair
    from selfvos.batch.verify import verify as held_against

    with Watcher() as watcher:
        found = held_against(
            out,
            manifest,
            defaults=_defaults(mask_dir, discover=discover),
            repair=Repair(rerun=rerun, discard=repair),
            watch=watcher,
        )
    print_report(found, as_json=as_json)
    if rerun is not None and found.faulty:
        err.print(f"what is not whole is listed in {rerun}", highlight=False, markup=False, soft_wrap=True)
    if found.faulty:
        raise typer.Exit(3)


def _defaults(mask_dir: str | None, *, discover: bool) -> "Defaults":
    from selfvos.batch.manifest import Defaults

    return Defaults(mask_dir=_absolute(mask_dir) or "", discover=discover)


def _absolute(place: str | None) -> str | None:
    """Return a place as workers elsewhere can find it."""
    from selfvos.batch.manifest import is_url

    return place if place is None or is_url(place) else str(Path(place).absolute())


def _hands(plan: Any, workers: int, address: str | None) -> Any:
    if workers == 0:
        from selfvos.batch.processes import Processes

        return Processes(plan)
    from selfvos.batch.actors import Actors

    return Actors(plan, workers=workers, address=address)
