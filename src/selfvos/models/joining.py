"""Two trained networks as one that matches by both."""

from dataclasses import replace
from typing import Any

from selfvos.errors import UsageError
from selfvos.models.backbones.base import BACKBONES
from selfvos.models.backbones.twin import BESIDE, TWIN
from selfvos.models.convert.base import BACKBONE
from selfvos.models.segmenter import Segmenter
from selfvos.models.weights import load_into
from selfvos.models.weights_notes import Quality, WeightsNotes


def join(first: Segmenter, second: Segmenter) -> Segmenter:
    """Return a network whose frames both encoders see.

    Key, V and D are the first one's. What the first one's notes say to match, stages of the backbone, is matched of
    both; so does ``best``. Other qualities that the first one knows stay: they leave the second out.

    Args:
        first: In evaluation mode; it is not changed.
        second: With the same backbone at the same stride and depth; all but its backbone is left out.

    Raises:
        UsageError: The backbones differ, come in no pairs, or the first one's notes say to match its key.
    """
    found = [(x.config.backbone, x.config.stride, x.config.last_stage) for x in (first, second)]
    if found[0] != found[1]:
        raise UsageError(f"two encoders are joined where they are alike; these are {found[0]} and {found[1]}")
    name = first.config.backbone + TWIN
    if name not in BACKBONES.names():
        raise UsageError(f"a backbone {first.config.backbone!r} cannot be joined with another")
    notes = _joined(first.notes, second.notes)
    model = Segmenter(replace(first.config, backbone=name))
    beside = {f"{BACKBONE}twin.{key}": x for key, x in second.encoder.backbone.state_dict().items()}
    load_into(model, {**first.state_dict(), **beside}, source="two networks")
    model.notes = notes
    return model.eval()


def _joined(first: WeightsNotes, second: WeightsNotes) -> WeightsNotes:
    """Return the first one's notes; what both do was not measured."""
    feature: dict[str, Any] = first.track.get("feature", {})
    stage = feature.get("stage", "key")
    if "key" in stage.split("+"):
        raise UsageError("the first network is matched by its key, of which there is one: set feature.stage to stages")
    both = "+".join([stage, *(BESIDE + part for part in stage.split("+"))])
    track = {**first.track, "feature": {**feature, "stage": both}}
    return replace(
        first,
        track=track,
        quality={**first.quality, "best": Quality(track=track)} if first.quality else {},
        supervision="true masks" if "true masks" in (first.supervision, second.supervision) else "none",
        pieces=(*first.pieces, "beside it, to be matched as well:", *second.pieces),
    )
