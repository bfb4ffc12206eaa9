"""The training loop: phase by phase, round by round, step by step, from wherever the run stands."""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from selfvos.data.clips import frame_ranges, photographs
from selfvos.data.video_cache import VideoCache
from selfvos.errors import Stopped
from selfvos.models.segmenter import Segmenter
from selfvos.models.weights import save_weights
from selfvos.settings import to_dict
from selfvos.storage import write_text
from selfvos.training import checkpoint as checkpoints
from selfvos.training.capture import Moment, capture
from selfvos.training.checkpoint import Checkpoint, Position, RunFacts
from selfvos.training.clip_loader import ClipLoader
from selfvos.training.distributed import World
from selfvos.training.ema import WeightAverage
from selfvos.training.leaving import leaving
from selfvos.training.mask_store import MaskStore, NoMasks
from selfvos.training.optimiser import rate_factor, set_rates
from selfvos.training.phase import PhaseState, Round, RoundStart, Saved, plan_phase
from selfvos.training.pseudo_masks import PseudoMaskMaker, PseudoMasks
from selfvos.training.randomness import PHASES, Randomness
from selfvos.training.run_log import RunLog
from selfvos.training.shared_norm import share_norm
from selfvos.training.true_masks import find_true_masks
from selfvos.training.update import Keep, Update
from selfvos.types import Clip, Watch, Watching

log = logging.getLogger(__name__)

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Run:
    """What stays the same while a run goes on."""

    folder: Path
    facts: RunFacts
    video_cache: VideoCache
    world: World


@dataclass(frozen=True)
class Learning:
    """What a step does with its batch."""

    update: Update
    keep: Keep


class Trainer:
    """A network that learns, and how far the run has come."""

    def __init__(self, run: Run, network: Segmenter, watch: Watch) -> None:
        """Take a network to where it shall learn.

        Raises:
            UsageError: No video is long enough for a clip.
        """
        self.run, self.config, self.world, self.watch = run, run.facts.config, run.world, watch
        model = network.to(run.world.device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.model = model.train()
        if self.world.size > 1:
            share_norm(self.model)
        self.usable = frame_ranges(run.video_cache, self.config.clips)
        self.position = Position()
        self.average = WeightAverage(self.model, self.config.ema_decay) if self.config.ema_decay else None
        self._drawn = torch.get_rng_state()
        """Heads of objectives are drawn from here in each phase, whether or not the one before was run by this call."""
        self._saved: Saved | None = None
        """What a phase that was left or stopped leaves to the next one."""
        self._log: RunLog | None = None

    def restore(self, found: Checkpoint) -> None:
        """Go on from a checkpoint."""
        stored = checkpoints.restore(found, self.model)
        if self.average and "ema" in stored:
            self.average.restore(self.model, stored["ema"])
        self._saved, self.position = Saved.from_plain(stored), found.position

    def train(self) -> Path:
        """Do what is left of all phases and return the path of the weights."""
        if self.world.is_main:
            write_text(self.run.folder / "settings.json", json.dumps(to_dict(self.config), indent=1))
            self._log = RunLog(self.run.folder, self.config, keep_until=self.position.total)
        for name in PHASES[PHASES.index(self.position.phase) :]:
            if name != self.position.phase:
                self.position = Position(phase=name, total=self.position.total)
            self._run_phase(name)
            if self.average:
                self.average.settle(self.model)
        return self._finish()

    def close(self) -> None:
        """Bring what is logged to the disk."""
        if self._log:
            self._log.close()

    def _run_phase(self, name: str) -> None:
        phase = plan_phase(self.config, name, len(self.usable))
        if self.position.step >= phase.steps:
            return
        torch.set_rng_state(self._drawn)
        self.world.require_rows(phase.config.batch_clips)
        state = PhaseState(phase, self.model, self.world, begins=self.position.step == 0)
        if self._saved:
            state.take_over(self._saved, self.config)
        update = Update(
            module=self.world.wrap(state.module),
            optimizer=state.optimizer,
            clip_norm=phase.config.optimizer.clip_norm,
            precision=self.run.facts.precision,
            world=self.world,
            run=self.run.folder,
        )
        refreshed = state.module.needs_masks and not self.config.true_masks
        # Several processes can only agree to stop at the end of a step.
        with leaving(state.module, self.watch) if self.world.size == 1 else nullcontext():
            for cut in phase.rounds(done=self.position.step, refreshed=refreshed):
                self._run_round(cut, state, update)
        self._saved = state.left()
        self.model.requires_grad_(True)

    def _run_round(self, cut: Round, state: PhaseState, update: Update) -> None:
        loader = ClipLoader(
            video_cache=self.run.video_cache,
            masks=self._masks(cut, state),
            config=self.config.clips,
            objects=self.config.pseudo_masks,
            batch=state.phase.config.batch_clips,
            randomness=Randomness(self.config.seed, state.phase.name),
            world=self.world,
        )
        steps = range(max(cut.first, self.position.step), cut.end)

        def keep(clip: Clip) -> Path | None:
            return self._capture(state, clip, loader.describe(self.position.step))

        with closing(loader.clips(steps)) as clips:
            for step in steps:
                try:
                    self._step(step, clips, state, Learning(update, keep))
                except Stopped as error:
                    self._save(state)
                    raise self._stopped() from error
                self._save_if_due(state)

    def _step(self, step: int, clips: Iterator[Clip], state: PhaseState, learning: "Learning") -> None:
        begin, clip, phase = time.perf_counter(), next(clips), state.phase
        rates = phase.config.optimizer
        factor = rate_factor(rates, step=step, steps_per_epoch=phase.steps_per_epoch, steps=phase.steps)
        set_rates(state.optimizer, factor)
        generator = Randomness(self.config.seed, phase.name).generator(step, "objectives")
        losses, changed = learning.update.step(clip, generator, learning.keep)
        if self.average and changed:
            self.average.update(self.model)
        state.module.after_step()
        self.position = Position(phase=phase.name, step=step + 1, total=self.position.total + 1)
        if self._log:
            self._log.record(self.position, losses, seconds=time.perf_counter() - begin, rate=factor)
            self._log.picture(self.position, self.model, clip)
        self.watch.tell(phase.name, step + 1, phase.steps, **losses)

    def _capture(self, state: PhaseState, clip: Clip, clips: tuple[str, ...]) -> Path | None:
        if not self.world.is_main:
            return None
        place = self.position
        moment = Moment(
            config=self.config,
            phase=state.phase.name,
            step=place.step,
            total=place.total + 1,
            precision=self.run.facts.precision,
            clips=clips,
        )
        return capture(self.run.folder, state.module, clip, moment)

    def _masks(self, cut: Round, state: PhaseState) -> MaskStore:
        if not state.module.needs_masks:
            return NoMasks((*self.usable, *photographs(self.run.video_cache)))
        if self.config.true_masks:
            return find_true_masks(Path(self.config.true_masks), self.run.video_cache, self.usable)
        began = state.round_start
        if self.position.step == cut.first or began is None or began.number != cut.number:
            began = self._begin_round(cut, state)
        try:
            return self._pseudo_masks(began)
        except Stopped as error:
            raise self._stopped() from error

    def _begin_round(self, cut: Round, state: PhaseState) -> RoundStart:
        if self.position.step > cut.first:
            log.warning(
                "the checkpoint does not say which weights made the pseudo masks of round %d: they are made with the "
                "present ones, and the run goes on otherwise than it would have",
                cut.number,
            )
        state.round_start = None
        if self.position.step:
            # Clustering takes long: an interruption there must not cost the steps before it.
            self._save(state)
        self.world.align(self.model)
        state.round_start = RoundStart.of(self.model, cut.number)
        return state.round_start

    def _pseudo_masks(self, began: RoundStart) -> PseudoMasks:
        maker = PseudoMaskMaker(
            self.run.video_cache,
            self.usable,
            self.config.pseudo_masks,
            self.run.folder / "pseudo_masks",
            seed=self.config.seed,
            precision=self.run.facts.precision,
        )
        # Several processes have unequal shares and can only agree to stop at the next step.
        watch = self.watch if self.world.size == 1 else Watching(self.watch.tell)
        with began.applied(self.model):
            masks = maker.refresh(self.model, began.number, share=self.world.share, watch=watch)
        self.world.wait()
        return masks

    def _save_if_due(self, state: PhaseState) -> None:
        stop = self.world.any(flag=self.watch.stopped())
        if stop or self.position.step == state.phase.steps or self.position.total % self.config.checkpoint_steps == 0:
            self._save(state)
        if stop:
            raise self._stopped()

    def _save(self, state: PhaseState) -> None:
        if not self.world.is_main or not self.position.total:  # before the first step there is nothing to keep
            return
        stored = state.saved().plain()
        if self.average:
            stored["ema"] = self.average.state(self.model)
        with self.average.applied(self.model) if self.average else nullcontext():
            checkpoints.save_checkpoint(self.run.folder, self.model, stored, self.position, self.run.facts)

    def _stopped(self) -> Stopped:
        return Stopped(f"stopped after {self.position.total} steps; go on with --resume --out {self.run.folder}")

    def _finish(self) -> Path:
        path = self.run.folder / WEIGHTS
        if self.world.is_main:
            save_weights(path, self.model.eval(), notes=checkpoints.notes_of(self.config, self.position))
        self.world.wait()
        return path
