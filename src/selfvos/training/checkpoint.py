"""Checkpoints that are whole or not there: weights, optimiser and position, each with its digest."""

import json
import logging
import pickle
import shutil
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from selfvos.errors import BrokenCheckpoint, UsageError
from selfvos.models.old_notes import nested_track
from selfvos.models.segmenter import Segmenter
from selfvos.models.weights import WeightsNotes, load_into, save_weights
from selfvos.settings import from_dict, to_dict
from selfvos.storage import atomic_path, sealed, sha256, unsealed, write_bytes, write_text
from selfvos.training.settings import TrainConfig

log = logging.getLogger(__name__)

_FORMATS = (1, 2, 3)
"""Version 1 named no videos, and had the settings of tracking in one flat list; 2 had no seal."""
_SEALED_SINCE = 3
_KEEP = 2
_TOLD = 5
_FILES = ("model.safetensors", "state.pt")


@dataclass(frozen=True)
class Position:
    """How far a run has come."""

    phase: str = "warmup"
    """``warmup`` or ``joint``."""
    step: int = 0
    """Steps done in this phase."""
    total: int = 0
    """Steps done in all."""


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What a checkpoint says of the run that it belongs to."""

    config: TrainConfig
    precision: str
    """As it was decided on."""
    videos: list[list[str]] | None = None
    """Name and identity of each video, in order; None in checkpoints of older versions."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was found whole."""

    folder: Path
    position: Position
    facts: RunFacts


def save_checkpoint(run: Path, model: Segmenter, state: dict[str, Any], position: Position, facts: RunFacts) -> Path:
    """Write a checkpoint folder in one step and drop all but the latest two.

    Args:
        run: Folder of the run.
        model: The network.
        state: Tensors and plain values that resuming needs besides the network.
        position: Where the run stands.
        facts: Settings, precision and videos of the run.

    Raises:
        OutOfSpace: The disk is full; earlier checkpoints are untouched.
    """
    parent = run / "checkpoints"
    final = parent / f"step-{position.total:07d}"
    if final.exists():
        return final
    for leftover in parent.glob(".step-*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = parent / f".{final.name}-{uuid.uuid4().hex[:8]}.tmp"
    try:
        save_weights(temporary / _FILES[0], model, notes=notes_of(facts.config, position))
        with atomic_path(temporary / _FILES[1]) as path:
            torch.save(state, path)
        manifest = {
            "format": _FORMATS[-1],
            "position": asdict(position),
            "config": to_dict(facts.config),
            "precision": facts.precision,
            "videos": facts.videos,
            "sha256": {name: sha256(temporary / name) for name in _FILES},
        }
        write_text(temporary / "manifest.json", json.dumps(sealed(manifest), indent=1))
        temporary.rename(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    for old in sorted(parent.glob("step-*"))[:-_KEEP]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def notes_of(config: TrainConfig, position: Position) -> WeightsNotes:
    """Return what the weights of a run say of themselves at some point of it."""
    return WeightsNotes(
        recipe=to_dict(config),
        steps=position.total,
        track=config.track,
        supervision="true masks" if config.true_masks else "none",
    )


def latest_checkpoint(run: Path) -> Checkpoint | None:
    """Find the newest whole checkpoint of a run; damaged ones are named in a warning and passed over.

    Raises:
        BrokenCheckpoint: There are checkpoints and all are damaged.
    """
    folders = sorted((run / "checkpoints").glob("step-*"), reverse=True)
    for folder in folders:
        try:
            return _inspect(folder)
        except BrokenCheckpoint as error:
            log.warning("%s; trying the one before", error)
    if folders:
        raise BrokenCheckpoint(
            f"all checkpoints in {run / 'checkpoints'} are damaged; start the run again without --resume"
        )
    return None


def branch(source: Path, run: Path, config: TrainConfig) -> None:
    """Begin a run with the warm-up that another run has been through: resumed, it goes on with the joint phase.

    Nothing changes where the run has a checkpoint already. It is as if it had done the warm-up itself, provided
    that the settings of both agree in all that concerns this phase.

    Args:
        source: Folder of a run whose newest checkpoint is the end of its warm-up.
        run: Folder of the run that begins.
        config: Its settings.

    Raises:
        UsageError: The source is at another point.
        BrokenCheckpoint: All its checkpoints are damaged.
    """
    found = latest_checkpoint(source)
    if found is None or found.position.phase != "warmup" or found.facts.config.joint.epochs:
        raise UsageError(f"{source} does not end with a warm-up; train one with joint.epochs=0 to branch from")
    final = run / "checkpoints" / found.folder.name
    if latest_checkpoint(run) is not None:
        return
    write_bytes(run / "metrics.jsonl", (source / "metrics.jsonl").read_bytes())
    temporary = final.with_name(f".{final.name}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        shutil.copytree(found.folder, temporary)
        manifest = json.loads((temporary / "manifest.json").read_text())
        manifest = {**_unsealed(manifest), "config": to_dict(config)}
        write_text(temporary / "manifest.json", json.dumps(sealed(manifest), indent=1))
        temporary.rename(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def require_same_videos(found: Checkpoint, videos: list[list[str]]) -> None:
    """Refuse to go on with other videos than a run has learned from so far.

    Args:
        found: The checkpoint to go on from.
        videos: Name and identity of each video that is there now.

    Raises:
        UsageError: They differ; the message names the first ones that do.
    """
    if found.facts.videos is None or found.facts.videos == videos:
        return
    before, now = dict(found.facts.videos), dict(videos)
    differ = [f"{name} is missing" for name in before if name not in now]
    differ += [f"{name} is new" for name in now if name not in before]
    differ += [f"{name} has changed" for name in before if name in now and before[name] != now[name]]
    more = f" and {len(differ) - _TOLD} more" if len(differ) > _TOLD else ""
    raise UsageError(
        f"{found.folder.parent.parent} learned from other videos: {'; '.join(differ[:_TOLD])}{more}; give the same "
        "--videos to go on with it, or another --out"
    )


def restore(checkpoint: Checkpoint, model: Segmenter) -> dict[str, Any]:
    """Load the network's weights in place and return the rest of the state.

    Raises:
        BrokenCheckpoint: Somebody has put objects into it that are no tensors; none of them is loaded.
        WeightsMismatch: The weights belong to another network.
    """
    load_into(model, load_file(checkpoint.folder / _FILES[0]), source=str(checkpoint.folder))
    path = checkpoint.folder / _FILES[1]
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise BrokenCheckpoint(f"{path}: holds objects that are no tensors, which are not loaded ({reason})") from error


def _inspect(folder: Path) -> Checkpoint:
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        if manifest["format"] not in _FORMATS:
            raise BrokenCheckpoint(f"{folder}: written by another version (format {manifest['format']})")
        manifest = _unsealed(manifest)
        for name, expected in manifest["sha256"].items():
            if sha256(folder / name) != expected:
                raise BrokenCheckpoint(f"{folder / name} is damaged (digest differs)")
        return Checkpoint(
            folder=folder,
            position=Position(**manifest["position"]),
            facts=RunFacts(
                config=_config(manifest),
                precision=manifest["precision"],
                videos=manifest.get("videos"),
            ),
        )
    except BrokenCheckpoint:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BrokenCheckpoint(f"{folder}: incomplete checkpoint ({error})") from error


def _unsealed(manifest: dict[str, Any]) -> dict[str, Any]:
    return unsealed(manifest, required=manifest["format"] >= _SEALED_SINCE)


def _config(manifest: dict[str, Any]) -> TrainConfig:
    stored = manifest["config"]
    if manifest["format"] == 1:
        stored = {**stored, "track": nested_track(stored["track"])}
    return from_dict(TrainConfig, stored)
