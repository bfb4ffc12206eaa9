"""Which system follows objects: selfvos' own, or one of the supervised ones that it is compared with."""

from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from selfvos.models.segmenter import Segmenter
from selfvos.registry import Registry
from selfvos.settings import from_dict
from selfvos.tracking.object_table import Ids
from selfvos.tracking.settings import TrackConfig
from selfvos.types import ObjectState

MEMORY = "memory"
"""Name of selfvos' own system."""


@runtime_checkable
class MaskTracker(Protocol):
    """Frame in, mask out, whatever the system."""

    @property
    def supervision(self) -> str:
        """What sets its results apart wherever they are shown: that it is supervised; empty where nothing does."""
        ...

    @property
    def precision(self) -> str:
        """``float32`` or ``bfloat16``: what the visual encoder computes in."""
        ...

    @property
    def objects(self) -> tuple[ObjectState, ...]:
        """State of every object in the latest frame, in the order in which they were given."""
        ...

    def start(self, frame: UInt8[np.ndarray, "y x 3"], mask: Ids) -> Ids:
        """Begin a video: forget everything, learn the objects of its first mask."""
        ...

    def step(self, frame: UInt8[np.ndarray, "y x 3"], mask: Ids | None = None) -> Ids:
        """Follow all objects into the next frame; `mask` gives those that appear there."""
        ...


@runtime_checkable
class MakeTracker(Protocol):
    """Makes a tracker of one system."""

    def __call__(self, model: Segmenter, config: TrackConfig | None = None) -> MaskTracker:
        """Make it for a network in evaluation mode."""
        ...


SYSTEMS: Registry[MakeTracker] = Registry("tracking system", "selfvos.tracking")


def make_tracker(model: Segmenter, config: TrackConfig | None = None) -> MaskTracker:
    """Make the tracker that settings and weights ask for.

    Args:
        model: Network in evaluation mode.
        config: Settings; by default those that the weights recommend, or else the paper's.

    Raises:
        UnknownName: No such system.
        UsageError: The system cannot work with these weights or settings.
    """
    config = config or recommended(model)
    return SYSTEMS.get(system_name(model, config))(model, config)


def system_name(model: Segmenter, config: TrackConfig) -> str:
    """Return the system that is meant: the one named, or that of the weights' mask path where it is used."""
    if config.system.name != "auto":
        return config.system.name
    return model.mask_path.system if config.refine.rounds and model.mask_path else MEMORY


def recommended(model: Segmenter) -> TrackConfig:
    """Return the settings that a network's weights were chosen with, or the paper's where they say nothing.

    A network without V and D gets label propagation.
    """
    config = from_dict(TrackConfig, model.notes.get("track", {}))
    return replace(config, refine=replace(config.refine, rounds=0)) if model.mask_path is None else config
