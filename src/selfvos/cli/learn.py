"""Commands that make weights or look at what they see: train, convert, join and cluster."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from selfvos.cli.completion import completing
from selfvos.cli.console import Watcher, err, is_main, out
from selfvos.cli.options import (
    AsJson,
    Cache,
    CacheLimit,
    Changes,
    Configs,
    Device,
    Resume,
    Run,
    Sets,
    Videos,
    Weights,
    WeightsFile,
)


class _Cache(NamedTuple):
    folder: Path | None
    limit_gb: float | None


def train(
    recipe: Annotated[
        str, typer.Argument(help="Name of a recipe; see 'selfvos list recipes'.", autocompletion=completing("recipes"))
    ],
    videos: Videos,
    folder: Run,
    configs: Configs = None,
    sets: Sets = None,
    resume: Resume = False,
    init: Annotated[str | None, typer.Option(help="Begin with these weights instead of random ones.")] = None,
    device: Device = "auto",
    cache: Cache = None,
    cache_gb: CacheLimit = None,
    as_json: AsJson = False,
) -> None:
    """Learn from unlabelled videos.

    Example: `selfvos train mask_vos_resnet18_tiny --videos videos/ --out runs/first`
    """
    from selfvos import api

    config = Changes(configs, sets).of(api.recipe(recipe))
    with Watcher() as watcher:
        cached = _open_videos(videos, config, _Cache(cache, cache_gb), watcher)
        if init:
            model = api.load(init, device=device)
            path = api.adapt(model, videos=cached, out=folder, config=config, resume=resume, watch=watcher)
        else:
            path = api.train(config, videos=cached, out=folder, resume=resume, device=device, watch=watcher)
    _print_weights(path, folder, as_json=as_json)


def replay(
    run: Annotated[Path, typer.Argument(help="Folder of a run whose loss was not finite.")],
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Do the steps again whose loss was not finite, and name the clips that are to blame.

    Example: `selfvos replay runs/first`
    """
    from selfvos.api.learning import replay as replay_steps

    found = replay_steps(run, device=device)
    if as_json:
        print(json.dumps([asdict(one) for one in found]))
        return
    for one in found:
        state = "finite this time" if one.finite else "not finite"
        blame = "; ".join(one.to_blame) or f"none alone; all of {'; '.join(one.clips)}"
        out.print(f"step {one.step}: {state}; to blame: {blame}", highlight=False, markup=False, soft_wrap=True)


def adapt(
    videos: Annotated[list[Path], typer.Argument(help="One's own videos: files, frame folders, or folders of them.")],
    folder: Run,
    weights: Weights = "default",
    configs: Configs = None,
    sets: Sets = None,
    resume: Resume = False,
    device: Device = "auto",
    cache: Cache = None,
    cache_gb: CacheLimit = None,
    as_json: AsJson = False,
) -> None:
    """Keep learning, without labels, on the very videos that are to be tracked.

    Example: `selfvos adapt dance.mp4 --out runs/dance`, then `selfvos track dance.mp4 --weights runs/dance ...`
    """
    from selfvos import api

    model = api.load(weights, device=device)
    config = Changes(configs, sets).of(api.adaptation(model))
    with Watcher() as watcher:
        cached = _open_videos(videos, config, _Cache(cache, cache_gb), watcher)
        path = api.adapt(model, videos=cached, out=folder, config=config, resume=resume, watch=watcher)
    _print_weights(path, folder, as_json=as_json)


def convert(
    checkpoint: Annotated[Path, typer.Argument(help="A published checkpoint; nothing that it holds is executed.")],
    format: Annotated[
        str,
        typer.Option(
            "--from", help="Whose it is; see 'selfvos list checkpoints'.", autocompletion=completing("checkpoints")
        ),
    ],
    target: WeightsFile,
    as_json: AsJson = False,
) -> None:
    """Turn a published checkpoint into weights of this package.

    Example: `selfvos convert crw.pth --from crw --out crw.safetensors`
    """
    from selfvos import api
    from selfvos.settings import to_dict

    path = api.convert(checkpoint, format=format, out=target)
    notes = api.load(path, device="cpu").notes
    if as_json:
        print(json.dumps({"weights": str(path), **to_dict(notes)}))
        return
    untrained = notes.untrained
    missing = f"\nnot in the checkpoint, hence random: {', '.join(untrained)}" if untrained else ""
    out.print(f"weights: {path}{missing}", highlight=False, soft_wrap=True)


def push(
    weights: Annotated[str, typer.Argument(help="Name, file or run.", autocompletion=completing("weights"))],
    address: Annotated[str, typer.Argument(help="hf://org/name on the Hugging Face Hub.")],
    private: Annotated[bool, typer.Option("--private", help="Only its owner sees a new repository.")] = False,
    license: Annotated[str | None, typer.Option(help="Licence of the weights, for the card: apache-2.0.")] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Send nothing; write weights and card here, to look at.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send weights and a model card made from their notes to the Hugging Face Hub.

    Example: `selfvos push runs/first hf://me/first --license apache-2.0`; others then name them as
    `--weights hf://me/first`
    """
    from selfvos import api
    from selfvos.api.hub import parse_address, write_for_hub

    where = parse_address(address)
    if folder is not None:
        place = str(write_for_hub(api.weights_file(weights), folder, name=where.repo, license=license))
    else:
        place = api.push_weights(weights, address, private=private, license=license)
    if as_json:
        print(json.dumps({"place": place}))
    else:
        out.print(f"{'written to' if folder else 'sent to'} {place}", highlight=False, markup=False, soft_wrap=True)


def join(
    first: Annotated[str, typer.Argument(help="Weights whose key, V, D and settings are kept.")],
    second: Annotated[str, typer.Argument(help="Weights whose encoder is put beside them.")],
    target: WeightsFile,
) -> None:
    """Put two encoders into one weights file: frames are matched by both.

    Example: `selfvos join default runs/longer --out both.safetensors`
    """
    from selfvos import api

    out.print(f"weights: {api.join(first, second, out=target)}", highlight=False, soft_wrap=True)


def cluster(
    videos: Videos,
    folder: Annotated[Path, typer.Option("--out", help="Where pictures and videos of the clusters go.")],
    weights: Weights = "default",
    configs: Configs = None,
    sets: Sets = None,
    device: Device = "auto",
    cache: Cache = None,
    cache_gb: CacheLimit = None,
) -> None:
    """Group the pixels of videos in space and time, and draw the groups: pseudo masks to look at.

    Example: `selfvos cluster --videos videos/ --out clusters --set clusters.clusters=5`
    """
    from selfvos import api

    model = api.load(weights, device=device)
    config = Changes(configs, sets).of(api.clustering(model))
    with Watcher() as watcher:
        cached = _open_videos(videos, None, _Cache(cache, cache_gb), watcher)
        sheets = api.cluster(model, videos=cached, out=folder, config=config, watch=watcher)
    out.print(f"{len(sheets)} contact sheets and overlay videos in {folder}", soft_wrap=True)


def _open_videos(videos: list[Path], config: Any, cache: _Cache, watcher: Watcher) -> Any:
    """Decode the videos and say what was taken, and what was left out and why."""
    from selfvos import api

    cached = api.open_video_cache(list(videos), config, cache=cache.folder, limit_gb=cache.limit_gb, watch=watcher)
    if is_main:
        err.print(cached.summary(), highlight=False, markup=False, soft_wrap=True)
    return cached


def _print_weights(path: Path, folder: Path, *, as_json: bool) -> None:
    if not is_main:
        return
    if as_json:
        print(json.dumps({"weights": str(path), "metrics": str(folder / "metrics.jsonl")}))
    else:
        out.print(
            f"weights: {path}\nuse them: selfvos track VIDEO --mask FIRST.png --weights {folder} --out DIR",
            soft_wrap=True,
        )
