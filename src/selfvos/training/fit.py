"""The training loop: warm-up on correspondence, then the joint phase with pseudo masks refreshed on the way."""

import json
import logging
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from selfvos.data.clips import assemble, frame_ranges
from selfvos.data.video_cache import VideoCache
from selfvos.errors import Diverged, Interrupted, UsageError
from selfvos.models.precision import autocast, decide
from selfvos.models.segmenter import Segmenter
from selfvos.models.weights import save_weights
from selfvos.settings import to_dict
from selfvos.storage import exclusive, write_text
from selfvos.training import checkpoint as checkpoints
from selfvos.training.checkpoint import Position
from selfvos.training.clip_loader import ClipLoader
from selfvos.training.distributed import World, join
from selfvos.training.interruption import Interruption, listen
from selfvos.training.metrics_log import MetricsLog
from selfvos.training.optimiser import make_optimizer, rate_factor, set_rates
from selfvos.training.pseudo_masks import PseudoMasks, refresh
from selfvos.training.settings import PhaseConfig, TrainConfig
from selfvos.training.step import TrainingStep
from selfvos.training.tensorboard_log import TensorBoardLog
from selfvos.training.true_masks import TrueMasks, find_true_masks
from selfvos.types import Clip, nobody

log = logging.getLogger(__name__)

_PATIENCE = 3
_PHASES = ("warmup", "joint")
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Report:
    """What a watcher of the run gets to see after every step."""

    stage: str
    """``warmup``, ``joint`` or ``pseudo masks``."""
    done: int
    total: int
    """Steps of the stage."""
    losses: dict[str, float]


Watch = Callable[[Report], None]


def fit(
    config: TrainConfig,
    video_cache: VideoCache,
    run: Path,
    *,
    device: torch.device,
    resume: bool = False,
    start: Segmenter | None = None,
    watch: Watch = nobody,
) -> Path:
    """Train a network and return the path of its weights.

    Args:
        config: The recipe. When a run is resumed, the settings inside its checkpoint count instead.
        video_cache: The videos.
        run: Folder of the run: settings, metrics, checkpoints, pseudo masks, weights.
        device: Where to compute.
        resume: Go on from the newest whole checkpoint; without one, start.
        start: Network to begin with instead of random weights.
        watch: Called after every step.

    Raises:
        UsageError: The folder holds a run already and `resume` is not set, another process trains in it, or the
            settings do not fit.
        Diverged: The loss was not finite several times in a row.
        Interrupted: Ctrl-C or SIGTERM; a checkpoint was written before.
        OutOfSpace: The disk is full; the last checkpoint is untouched.
    """
    with join(device) as world, exclusive(run) if world.is_main else nullcontext(), listen() as asked:
        found = checkpoints.latest_checkpoint(run)
        if found and not resume:
            raise UsageError(f"{run} holds a run already; add --resume to go on with it, or choose another folder")
        torch.manual_seed((found.config if found else config).seed)
        trainer = _Trainer(found.config if found else config, video_cache, run, world, asked, watch, start)
        try:
            if found:
                trainer.restore(found)
            return trainer.run_all()
        finally:
            trainer.close()


class _Trainer:
    """The state of a run: network, phase, position."""

    def __init__(
        self,
        config: TrainConfig,
        video_cache: VideoCache,
        run: Path,
        world: World,
        asked: Interruption,
        watch: Watch,
        start: Segmenter | None,
    ) -> None:
        self.config, self.video_cache, self.run, self.world = config, video_cache, run, world
        self.asked, self.watch = asked, watch
        model = (start or Segmenter(config.model)).to(world.device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.model = model.train()
        self.usable = frame_ranges(video_cache, config.clips)
        self.position = Position()
        self.precision = decide(config.precision, world.device)
        self.failures = 0
        self._pending: dict[str, Any] = {}
        """State of a phase that was left or interrupted, until the next one has taken it over."""
        self._metrics: MetricsLog | None = None
        self._tensorboard: TensorBoardLog | None = None

    def restore(self, found: checkpoints.Checkpoint) -> None:
        self._pending = checkpoints.restore(found, self.model)
        self.position, self.precision = found.position, found.precision

    def close(self) -> None:
        if self._metrics:
            self._metrics.close()
        if self._tensorboard:
            self._tensorboard.close()

    def run_all(self) -> Path:
        if self.world.is_main:
            write_text(self.run / "settings.json", json.dumps(to_dict(self.config), indent=1))
            self._metrics = MetricsLog(self.run / "metrics.jsonl", keep_until=self.position.total)
            self._tensorboard = TensorBoardLog(self.run / "tensorboard")
        for name in _PHASES[_PHASES.index(self.position.phase) :]:
            self._phase(name, getattr(self.config, name))
            if name != _PHASES[-1]:
                self.position = Position(phase=_PHASES[_PHASES.index(name) + 1], step=0, total=self.position.total)
        return self._finish()

    def _phase(self, name: str, phase: PhaseConfig) -> None:
        per_epoch = phase.steps_per_epoch or math.ceil(len(self.usable) / phase.batch_clips)
        steps = per_epoch * phase.epochs
        if self.position.step >= steps:
            return
        module = TrainingStep(self.model, phase.objectives).to(self.world.device)
        self._choose_what_learns(module, phase)
        optimizer = make_optimizer(self.model, module.objectives, phase.optimizer)
        self._take_over(module, optimizer)
        wrapped = self.world.wrap(module)
        for number, first, last in self._rounds(module, per_epoch, steps):
            masks = self._refresh(number, module, optimizer) if module.needs_masks else None
            usable = masks.frame_ranges if masks else self.usable
            feed = ClipLoader(
                self.video_cache, usable, self.config.clips, self._seed(name), phase.batch_clips, self.world, masks
            )
            started = max(first, self.position.step)
            for step, raws in zip(range(started, last), feed.batches(range(started, last)), strict=True):
                begin = time.perf_counter()
                factor = rate_factor(phase.optimizer, step=step, steps_per_epoch=per_epoch, steps=steps)
                set_rates(optimizer, factor)
                clip = assemble(
                    raws,
                    self.config.clips,
                    self.config.pseudo_masks.objects,
                    self.config.pseudo_masks.paste,
                    generator=self._generator(name, step, 0),
                    device=self.world.device,
                )
                losses = self._update(wrapped, optimizer, clip, self._generator(name, step, 1), phase)
                module.after_step()
                self.position = Position(phase=name, step=step + 1, total=self.position.total + 1)
                self._record(name, step + 1, steps, losses, seconds=time.perf_counter() - begin, rate=factor)
                if self._tensorboard and self.position.total % self.config.picture_steps == 0:
                    self._tensorboard.pictures(self.model, clip, self.position.total)
                self._save_if_due(module, optimizer, last_step=step + 1 == steps)
        self._pending = {"phase": name, "objectives": module.objectives.state_dict()}
        self.model.requires_grad_(True)

    def _rounds(self, module: TrainingStep, per_epoch: int, steps: int) -> list[tuple[int, int, int]]:
        """Cut a phase where pseudo masks are refreshed (number, first step, end); drop what is done already."""
        period = self.config.pseudo_masks.refresh_epochs * per_epoch if module.needs_masks else 0
        period = period or steps
        cuts = [(number, first, min(first + period, steps)) for number, first in enumerate(range(0, steps, period))]
        return [cut for cut in cuts if cut[2] > self.position.step]

    def _choose_what_learns(self, module: TrainingStep, phase: PhaseConfig) -> None:
        self.model.encoder.requires_grad_(phase.optimizer.lr > 0)
        self.model.train()
        if self.model.mask_path is not None:
            self.model.mask_path.requires_grad_(module.needs_masks)
        if module.needs_masks and self.position.step == 0:
            self.model.start_mask_path()

    def _take_over(self, module: TrainingStep, optimizer: torch.optim.Optimizer) -> None:
        left = self._pending.get("phase")
        if left == self.position.phase:
            module.objectives.load_state_dict(self._pending["objectives"])
            optimizer.load_state_dict(self._pending["optimizer"])
        elif left:
            # What an objective has learned for itself goes on with it into the next phase.
            module.inherit(self._pending["objectives"], getattr(self.config, left).objectives)
        self._pending = {}

    def _refresh(self, round: int, module: TrainingStep, optimizer: torch.optim.Optimizer) -> PseudoMasks | TrueMasks:
        if self.config.true_masks:
            return find_true_masks(Path(self.config.true_masks), self.video_cache, self.usable)
        if self.position.phase == "joint" and self.position.step:
            # Clustering takes long: an interruption there must not cost the steps before it.
            self._save(module, optimizer)
        self.world.align(self.model)
        masks = refresh(
            self.model,
            self.video_cache,
            self.usable,
            self.config.pseudo_masks,
            self.run / "pseudo_masks",
            seed=self.config.seed,
            round=round,
            share=self.world.share,
            precision=self.precision,
            progress=self._clustered,
        )
        self.world.wait()
        return masks

    def _clustered(self, done: int, total: int | None) -> None:
        self.watch(Report("pseudo masks", done, total or done, {}))
        # Several processes have unequal shares and can only agree to stop at the next step.
        if self.world.size == 1:
            self._stop_if_asked()

    def _update(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        clip: Clip,
        generator: torch.Generator,
        phase: PhaseConfig,
    ) -> dict[str, float]:
        optimizer.zero_grad(set_to_none=True)
        with autocast(self.precision, self.world.device):
            total, parts = module(clip, generator)
        total.backward()
        learning = [p for group in optimizer.param_groups for p in group["params"]]
        norm = nn.utils.clip_grad_norm_(learning, phase.optimizer.clip_norm or math.inf)
        losses = {
            "loss": float(total.detach()),
            **{k: float(v) for k, v in parts.items()},
            "gradient_norm": float(norm),
        }
        if self.world.any(not (math.isfinite(losses["loss"]) and math.isfinite(losses["gradient_norm"]))):
            self._tolerate(losses)
            return losses
        self.failures = 0
        optimizer.step()
        return losses

    def _tolerate(self, losses: dict[str, float]) -> None:
        self.failures += 1
        log.warning("step %d: loss or gradient is not finite, step left out", self.position.total)
        if self.failures > _PATIENCE:
            raise Diverged(
                f"no finite loss in {self.failures} steps (last: {losses}); resume with a lower learning rate: "
                f"the checkpoints in {self.run / 'checkpoints'} are good"
            )

    def _record(
        self, name: str, step: int, steps: int, losses: dict[str, float], *, seconds: float, rate: float
    ) -> None:
        if self._metrics and self._tensorboard:
            facts = {"phase": name, "seconds": round(seconds, 4), "rate": rate}
            self._metrics.write(step=self.position.total, **facts, **losses)
            self._tensorboard.scalars(self.position.total, {**losses, "seconds": seconds, "rate": rate})
        self.watch(Report(name, step, steps, losses))

    def _save_if_due(self, module: TrainingStep, optimizer: torch.optim.Optimizer, *, last_step: bool) -> None:
        stop = self.world.any(bool(self.asked.signal_number))
        if last_step or stop or self.position.total % self.config.checkpoint_steps == 0:
            self._save(module, optimizer)
        self._stop_if_asked()

    def _save(self, module: TrainingStep, optimizer: torch.optim.Optimizer) -> None:
        if not self.world.is_main:
            return
        state = {
            "phase": self.position.phase,
            "objectives": module.objectives.state_dict(),
            "optimizer": optimizer.state_dict(),
        }
        checkpoints.save_checkpoint(self.run, self.model, state, self.position, self.config, precision=self.precision)

    def _stop_if_asked(self) -> None:
        if self.world.any(bool(self.asked.signal_number)):
            raise Interrupted(
                f"stopped after {self.position.total} steps; go on with --resume --out {self.run}",
                self.asked.signal_number,
            )

    def _finish(self) -> Path:
        path = self.run / WEIGHTS
        if self.world.is_main:
            save_weights(path, self.model.eval(), notes=checkpoints.notes_of(self.config, self.position))
        self.world.wait()
        return path

    def _seed(self, phase: str) -> int:
        return self.config.seed * len(_PHASES) + _PHASES.index(phase)

    def _generator(self, phase: str, step: int, purpose: int) -> torch.Generator:
        # Distinct for every phase, step, purpose and process, and the same again after an interruption.
        parts = (self._seed(phase), step, purpose, self.world.rank)
        seed = 0
        for part in parts:
            seed = (seed * 1_000_003 + part + 1) % (2**63 - 1)
        return torch.Generator().manual_seed(seed)
