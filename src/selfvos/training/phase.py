"""One phase of a run: what it is to do, and what changes while it goes on."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from selfvos.models.segmenter import Segmenter
from selfvos.training.distributed import World
from selfvos.training.optimiser import make_optimizer
from selfvos.training.settings import PhaseConfig, TrainConfig
from selfvos.training.shared_batch import shared
from selfvos.training.step import TrainingStep


@dataclass(frozen=True)
class Round:
    """The steps of a phase that learn from the same masks."""

    number: int
    """From 0."""
    first: int
    end: int
    """The step after the last."""


@dataclass(frozen=True)
class Phase:
    """What a phase is to do; follows from settings and the number of videos alone."""

    name: str
    """``warmup`` or ``joint``."""
    config: PhaseConfig
    steps_per_epoch: int
    refresh_epochs: int
    """Epochs between two rounds of pseudo masks; 0 makes one round of the whole phase."""

    @property
    def steps(self) -> int:
        """Steps of the whole phase."""
        return self.steps_per_epoch * self.config.epochs

    def rounds(self, *, done: int, refreshed: bool) -> list[Round]:
        """Return the rounds that are not over yet.

        Args:
            done: Steps done.
            refreshed: Masks are made anew from time to time; otherwise the phase is one round.
        """
        period = (self.refresh_epochs * self.steps_per_epoch if refreshed else 0) or self.steps
        cuts = enumerate(range(0, self.steps, period))
        rounds = [Round(number, first, min(first + period, self.steps)) for number, first in cuts]
        return [cut for cut in rounds if cut.end > done]


def plan_phase(config: TrainConfig, name: str, videos: int) -> Phase:
    """Return a phase of a run.

    Args:
        config: Settings of the run.
        name: ``warmup`` or ``joint``.
        videos: How many there are to draw clips from.
    """
    phase: PhaseConfig = getattr(config, name)
    per_epoch = phase.steps_per_epoch or math.ceil(videos / phase.batch_clips)
    return Phase(name, phase, per_epoch, config.pseudo_masks.refresh_epochs)


@dataclass(frozen=True)
class RoundStart:
    """The encoder that a round of pseudo masks began with: its masks can be made again exactly, whenever."""

    number: int
    encoder: dict[str, Tensor]
    """Its state, on the CPU."""

    @classmethod
    def of(cls, model: Segmenter, number: int) -> "RoundStart":
        """Keep the encoder as it is now."""
        return cls(number, {name: value.detach().cpu().clone() for name, value in model.encoder.state_dict().items()})

    @contextmanager
    def applied(self, model: Segmenter) -> Iterator[None]:
        """Lend the encoder to a network; afterwards it has its own again, to the bit."""
        own = {name: value.detach().clone() for name, value in model.encoder.state_dict().items()}
        model.encoder.load_state_dict(self.encoder)
        try:
            yield
        finally:
            model.encoder.load_state_dict(own)


@dataclass(frozen=True)
class Saved:
    """What a phase leaves for whoever goes on: itself after a stop, or the next phase."""

    phase: str
    objectives: dict[str, Any]
    """State of the objectives: heads, teachers, queues."""
    optimizer: dict[str, Any] | None = None
    round_start: RoundStart | None = None

    def plain(self) -> dict[str, Any]:
        """Return it as a checkpoint stores it."""
        began = self.round_start
        stored = {"phase": self.phase, "objectives": self.objectives, "optimizer": self.optimizer}
        return stored if began is None else {**stored, "round": {"number": began.number, "encoder": began.encoder}}

    @classmethod
    def from_plain(cls, stored: dict[str, Any]) -> "Saved":
        """Take it from a checkpoint."""
        began = RoundStart(**stored["round"]) if "round" in stored else None
        return cls(stored["phase"], stored["objectives"], stored["optimizer"], began)


class PhaseState:
    """What changes while a phase goes on, besides the network: objectives, optimiser, and the start of the round."""

    def __init__(self, phase: Phase, model: Segmenter, world: World, *, begins: bool) -> None:
        """Make objectives and optimiser, and decide which parts of the network learn.

        Args:
            phase: What is to be done.
            model: The network, where it shall learn.
            world: The processes of the run.
            begins: No step of the phase was done yet: V takes over the encoder's weights.

        Raises:
            UsageError: An objective does not exist, refuses its settings, or does not go with the network.
        """
        self.phase = phase
        self.module = TrainingStep(model, phase.config.objectives, partial(shared, world=world)).to(model.device)
        model.encoder.requires_grad_(phase.config.optimizer.lr > 0)
        model.train()
        if model.mask_path is not None:
            model.mask_path.requires_grad_(self.module.needs_masks)
        if self.module.needs_masks and begins:
            model.start_mask_path()
        self.optimizer: torch.optim.Optimizer = make_optimizer(model, self.module.objectives, phase.config.optimizer)
        self.round_start: RoundStart | None = None
        """Set while a round of pseudo masks goes on."""

    def take_over(self, saved: Saved, config: TrainConfig) -> None:
        """Go on from where this phase was stopped, or with what objectives have learned in the phase before."""
        if saved.phase == self.phase.name and saved.optimizer is not None:
            self.module.objectives.load_state_dict(saved.objectives)
            self.optimizer.load_state_dict(saved.optimizer)
            self.round_start = saved.round_start
        else:
            before: PhaseConfig = getattr(config, saved.phase)
            self.module.inherit(saved.objectives, before.objectives)

    def saved(self) -> Saved:
        """Return what going on exactly needs."""
        return Saved(
            self.phase.name, self.module.objectives.state_dict(), self.optimizer.state_dict(), self.round_start
        )

    def left(self) -> Saved:
        """Return what the next phase takes over."""
        return Saved(self.phase.name, self.module.objectives.state_dict())
