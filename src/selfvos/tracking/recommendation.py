"""How weights want to be tracked with."""

from dataclasses import replace

from selfvos.errors import UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.registry import nearest
from selfvos.settings import from_dict
from selfvos.tracking.settings import TrackConfig


def recommended(model: Segmenter) -> TrackConfig:
    """Return the settings that a network's weights were chosen with, or the paper's where they say nothing.

    A network without V and D gets label propagation.
    """
    return _fitting(model, from_dict(TrackConfig, model.notes.track))


def quality_config(model: Segmenter, quality: str) -> TrackConfig:
    """Return the settings that the weights know for a quality: ``fast``, ``balanced`` or ``best``.

    Raises:
        UsageError: The weights know no such quality.
    """
    known = model.notes.quality
    if not known:
        raise UsageError("these weights know no quality: leave it out")
    if quality not in known:
        raise UsageError(f"these weights know {', '.join(known)}, not {quality!r}{nearest(quality, known)}")
    return _fitting(model, from_dict(TrackConfig, known[quality].track))


def _fitting(model: Segmenter, config: TrackConfig) -> TrackConfig:
    return replace(config, refine=replace(config.refine, rounds=0)) if model.mask_path is None else config
