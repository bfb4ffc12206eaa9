"""What is compared: a recipe to be trained or weights that exist, and how they track."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from selfvos import api
from selfvos.errors import UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.objectives.base import OBJECTIVES
from selfvos.recipes import RECIPES
from selfvos.settings import override
from selfvos.tracking.presets import PRESETS
from selfvos.tracking.settings import TrackConfig
from selfvos.training.settings import PhaseConfig, PseudoMaskConfig, TrainConfig

Cut = Callable[[TrainConfig, int], TrainConfig]
"""Cuts a recipe down to a number of optimiser steps."""


@dataclass(frozen=True, kw_only=True)
class System:
    """One row of a comparison."""

    name: str
    """What the row is called; it also names folders."""
    source: str
    """A recipe, or weights: a built-in name, a file, or the folder of a run."""
    preset: str | None = None
    """How it tracks, by name; None: as the weights recommend."""
    train: tuple[str, ...] = ()
    """Settings of the training that are the row's own, as in ``seed=1``."""
    track: tuple[str, ...] = ()
    """Settings of the tracking that are the row's own, as in ``refine.rounds=0``."""
    run: str = ""
    """Folder of its training; empty: made of the recipe and the row's settings."""

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name:
            raise UsageError(f"a row needs a name that can be a folder's, got {self.name!r}")
        if self.train and not self.is_recipe:
            raise UsageError(f"{self.name}: {self.source} is not trained here, so {self.train[0]} has no meaning")

    @property
    def is_recipe(self) -> bool:
        """Whether the row is trained here."""
        return self.source in RECIPES.described()

    @property
    def folder(self) -> str:
        """Name of the folder of its training."""
        return self.run or "_".join([self.source, *self.train])

    def training(self, settings: tuple[str, ...], steps: int, cut: Cut | None = None) -> TrainConfig:
        """Return the training of a recipe, with settings common to all rows, cut down to a budget by `with_budget`."""
        return (cut or with_budget)(override(api.recipe(self.source), [*settings, *self.train]), steps)

    def tracking(self, model: Segmenter, settings: tuple[str, ...]) -> TrackConfig:
        """Return how the row tracks, with settings common to all rows."""
        return override(api.track_config(model, self.preset), [*settings, *self.track])


def parse(text: str) -> System:
    """Read ``[NAME=]SOURCE[+SETTING...][@PRESET]``, as in ``short=crw_resnet18+seed=1@crw``.

    Without a name, the rest is the name. A file or folder may be called as it likes.

    Raises:
        UsageError: Neither a recipe nor weights are named, or settings of training are given for weights.
        UnknownName: No such preset.
    """
    if Path(text).exists():
        return System(name=text.strip("/").replace("/", "_"), source=text)
    head, _, preset = text.partition("@")
    source, *train = head.split("+")
    name, named, rest = source.partition("=")
    source = rest if named else source
    if not source:
        raise UsageError(f"{text!r} names no system; write [NAME=]RECIPE_OR_WEIGHTS[+SETTING...][@PRESET]")
    if preset:
        PRESETS.get(preset)  # a name that does not exist is told now, not after the training
    name = name if named else text.strip("/").replace("/", "_")
    return System(name=name, source=source, preset=preset or None, train=tuple(train))


def with_budget(config: TrainConfig, steps: int) -> TrainConfig:
    """Cut a recipe down to a number of steps.

    Args:
        config: The recipe.
        steps: Optimiser steps in all; 0 leaves the recipe its own length. A recipe with a joint phase spends the
            second half in it, in two epochs, with pseudo masks made before each.

    Raises:
        UsageError: Too few steps for the phases of the recipe.
    """
    if not steps:
        return config
    quarter = steps // 4 if config.joint.epochs else 0
    warmup = replace(config.warmup, epochs=1, steps_per_epoch=steps - 2 * quarter)
    if not config.joint.epochs:
        return replace(config, warmup=warmup)
    if not quarter:
        raise UsageError(f"a recipe of two phases needs at least 4 steps, got {steps}")
    masks = replace(config.pseudo_masks, refresh_epochs=1)
    joint = replace(config.joint, epochs=2, steps_per_epoch=quarter)
    return replace(config, warmup=warmup, joint=joint, pseudo_masks=masks)


def in_proportion(config: TrainConfig, steps: int) -> TrainConfig:
    """Cut a recipe down to a number of steps without changing how its joint phase is divided.

    Ablations are about periods that are counted in joint epochs, so these keep their meaning: the joint phase has as
    many epochs as in the recipe, only shorter ones. Where it has fewer steps than that, every step is an epoch and
    pseudo masks are renewed after the same share of the phase, but no more often than after every step.

    Args:
        config: The recipe.
        steps: Optimiser steps in all; 0 leaves the recipe its own length. Two phases have half of them each, one
            phase has all; what does not divide evenly goes to the warm-up, or is left out where there is none.

    Raises:
        UsageError: No step for one of the phases.
    """
    if not steps:
        return config
    later = config.joint.epochs
    share = (steps // 2 if config.warmup.epochs else steps) if later else 0
    epochs = min(later, share)
    if bool(epochs) != bool(later):
        raise UsageError(f"a recipe of two phases needs at least 2 steps, got {steps}")
    per_epoch = share // epochs if epochs else 0
    period = config.pseudo_masks.refresh_epochs
    if epochs < later and period:
        period = max(1, round(period * epochs / later))
    before = steps - epochs * per_epoch if config.warmup.epochs else 0
    return replace(
        config,
        warmup=replace(config.warmup, epochs=min(1, before), steps_per_epoch=before),
        joint=replace(config.joint, epochs=epochs, steps_per_epoch=per_epoch),
        pseudo_masks=replace(config.pseudo_masks, refresh_epochs=period),
        checkpoint_steps=min(config.checkpoint_steps, max(2, steps // 10)),
    )


def warmup_of(config: TrainConfig) -> TrainConfig | None:
    """Return the settings of a training's warm-up alone, None where it is not followed by a joint phase.

    Trainings whose warm-ups have the same settings may share one.
    """
    if not (config.warmup.epochs and config.joint.epochs):
        return None
    nothing = PhaseConfig(epochs=0, batch_clips=1, objectives=config.warmup.objectives)
    masks = PseudoMaskConfig() if not needs_masks(config.warmup) else config.pseudo_masks
    return replace(config, joint=nothing, pseudo_masks=masks, track={})


def needs_masks(phase: PhaseConfig) -> bool:
    """Return whether any objective of a phase learns from masks."""
    return any(OBJECTIVES.get(spec.name).needs_masks for spec in phase.objectives)
