"""A step whose loss or gradient is not finite, kept as it was, and done again to see which clips are to blame."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from selfvos.errors import DataError, UsageError
from selfvos.models.precision import autocast
from selfvos.models.weights import load_weights, save_weights
from selfvos.settings import from_dict, to_dict
from selfvos.storage import atomic_folder, sealed, unsealed, write_text
from selfvos.training.randomness import Randomness
from selfvos.training.settings import PhaseConfig, TrainConfig
from selfvos.training.step import TrainingStep
from selfvos.types import Clip

FOLDER = "captured"
_MOST = 3
_WEIGHTS, _STATE, _FACTS = "weights.safetensors", "state.safetensors", "step.json"


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Which step of which run it was."""

    config: TrainConfig
    phase: str
    step: int
    """In its phase, from 0."""
    total: int
    """In all, from 1."""
    precision: str
    clips: tuple[str, ...]
    """What each clip of the batch shows, in words."""


@dataclass(frozen=True)
class Replay:
    """A captured step, done again."""

    step: int
    """In all, from 1."""
    losses: dict[str, float]
    finite: bool
    """Loss and gradient are finite this time."""
    clips: tuple[str, ...]
    """All clips of the batch."""
    to_blame: tuple[str, ...]
    """Those that have no finite loss or gradient alone; empty where it takes several."""


def capture(run: Path, module: TrainingStep, clip: Clip, moment: Moment) -> Path | None:
    """Keep a step with all that it follows from; the first few of a run are enough.

    Args:
        run: Folder of the run.
        module: Network and objectives, as before the step.
        clip: The batch.
        moment: Which step it was.

    Returns:
        Where it lies; None where there are enough.
    """
    place = run / FOLDER / f"step-{moment.total:07d}"
    if place.exists() or len(list(place.parent.glob("step-*"))) >= _MOST:
        return None
    masks = {} if clip.masks is None else {"clip.masks": clip.masks}
    state = {"clip.frames": clip.frames, "clip.index": clip.index, **masks}
    state |= {f"objectives.{name}": value for name, value in module.objectives.state_dict().items()}
    with atomic_folder(place) as folder:
        save_weights(folder / _WEIGHTS, module.model)
        save_file({name: value.detach().cpu().contiguous().clone() for name, value in state.items()}, folder / _STATE)
        write_text(folder / _FACTS, json.dumps(sealed(to_dict(moment)), indent=1))
    return place


def replay(run: Path, device: torch.device) -> list[Replay]:
    """Do the captured steps of a run again, with all clips and with each alone.

    Raises:
        UsageError: Nothing was captured.
        DataError: What was captured is damaged.
    """
    folders = sorted((run / FOLDER).glob("step-*"))
    if not folders:
        raise UsageError(f"{run} has no captured step: its losses were finite, or it is no folder of a run")
    return [_replay(folder, device) for folder in folders]


def _replay(folder: Path, device: torch.device) -> Replay:
    try:
        moment = from_dict(Moment, unsealed(json.loads((folder / _FACTS).read_text()), required=True))
        stored = load_file(folder / _STATE)
        model, _ = load_weights(folder / _WEIGHTS)
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} is damaged ({error}); capture it anew") from error
    phase: PhaseConfig = getattr(moment.config, moment.phase)
    module = TrainingStep(model.train(), phase.objectives)
    own = {name: value for name, value in stored.items() if name.startswith("objectives.")}
    module.objectives.load_state_dict({name.removeprefix("objectives."): value for name, value in own.items()})
    module.to(device)
    batch = len(stored["clip.frames"])
    losses, finite = _score(module, _rows(stored, range(batch), device), moment)
    alone = [_score(module, _rows(stored, [row] * batch, device), moment)[1] for row in range(batch)]
    to_blame = tuple(name for name, fine in zip(moment.clips, alone, strict=True) if not fine)
    return Replay(moment.total, losses, finite, moment.clips, to_blame)


def _rows(stored: dict[str, torch.Tensor], rows: Sequence[int], device: torch.device) -> Clip:
    chosen = torch.tensor(list(rows))
    masks = stored.get("clip.masks")
    return Clip(
        frames=stored["clip.frames"][chosen].to(device),
        index=stored["clip.index"][chosen],
        masks=None if masks is None else masks[chosen].to(device),
    )


def _score(module: TrainingStep, clip: Clip, moment: Moment) -> tuple[dict[str, float], bool]:
    """Return the losses, and whether they and the gradient are finite."""
    module.zero_grad(set_to_none=True)
    generator = Randomness(moment.config.seed, moment.phase).generator(moment.step, "objectives")
    with autocast(moment.precision, clip.frames.device):
        total, parts = module(clip, generator)
    total.backward()
    norm = nn.utils.get_total_norm([p.grad for p in module.parameters() if p.grad is not None])
    losses = {"loss": float(total.detach()), **{name: float(part) for name, part in parts.items()}}
    return losses, math.isfinite(losses["loss"]) and math.isfinite(float(norm))
