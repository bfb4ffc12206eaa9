"""The page of weights on a hub, made from what the weights say of themselves."""

from collections.abc import Iterator, Mapping
from typing import Any

from selfvos.models.weights import WeightsCard
from selfvos.models.weights_notes import WeightsNotes

_PRIVATE = ("true_masks", "wandb")
"""Settings that name a folder or a project of whoever trained."""
_QUALITIES = ("fast", "balanced", "best")


def model_card(card: WeightsCard, name: str, *, license: str | None = None) -> str:
    """Return a README in Markdown, with the header that the hub reads.

    Nothing stands in it that the notes do not say: no licence that nobody named, no score that nobody measured.

    Args:
        card: What the weights say of themselves.
        name: What to call them, such as ``org/name``.
        license: Identifier of a licence.
    """
    return "\n".join(_lines(card, name, license))


def _lines(card: WeightsCard, name: str, license: str | None) -> Iterator[str]:
    yield from _header(card.notes, license)
    yield f"# {name}"
    yield ""
    yield _origin(card.notes)
    yield ""
    yield from _use(name)
    yield from _network(card)
    yield from _ways(card.notes)
    yield from _training(card.notes)
    yield f"SHA-256 over the tensors: `{card.digest}`"
    yield ""


def _header(notes: WeightsNotes, license: str | None) -> Iterator[str]:
    yield "---"
    yield "library_name: selfvos"
    if license:
        yield f"license: {license}"
    yield "tags:"
    yield "- video-object-segmentation"
    yield f"- {'supervised' if notes.supervision == 'true masks' else 'self-supervised'}"
    yield "---"
    yield ""


def _origin(notes: WeightsNotes) -> str:
    if notes.format:
        text = f"Weights for video object segmentation, converted from a published checkpoint ({notes.format})."
    elif notes.supervision == "true masks":
        text = "Weights for video object segmentation. **Supervised**: masks that people drew taught them."
    else:
        text = "Weights for video object segmentation, learned from video without labels."
    if notes.pieces:
        text += f" Put together from: {'; '.join(notes.pieces)}."
    if notes.untrained:
        text += f" Without weights came: {', '.join(notes.untrained)}."
    return text


def _use(name: str) -> Iterator[str]:
    yield "```python"
    yield "import selfvos  # pip install selfvos[hub]"
    yield ""
    yield f'model = selfvos.load("hf://{name}")'
    yield 'for tracked in selfvos.track(model, "video.mp4", "first_mask.png"):'
    yield "    tracked.mask"
    yield "```"
    yield ""


def _network(card: WeightsCard) -> Iterator[str]:
    settings = card.settings
    yield "| network | |"
    yield "| --- | --- |"
    yield f"| visual encoder | {settings.backbone}, stride {settings.stride}, to stage {settings.last_stage} |"
    yield f"| mask encoder and decoder | {settings.mask_path} |"
    for key, value in _flat(card.notes.track):
        yield f"| tracked with `{key}` | {value} |"
    yield ""


def _ways(notes: WeightsNotes) -> Iterator[str]:
    known = [(name, notes.quality[name]) for name in _QUALITIES if name in notes.quality]
    if not known:
        return
    yield "| quality | accuracy (J&F) | seconds a frame | measured |"
    yield "| --- | --- | --- | --- |"
    for name, way in known:
        accuracy = "not measured" if way.accuracy is None else f"{way.accuracy:g}"
        seconds = "not measured" if way.seconds_per_frame is None else f"{way.seconds_per_frame:g}"
        yield f"| {name} | {accuracy} | {seconds} | {way.measured} |"
    yield ""


def _training(notes: WeightsNotes) -> Iterator[str]:
    if not notes.recipe:
        return
    yield "## Training"
    yield ""
    if notes.steps is not None:
        yield f"{notes.steps} updates."
        yield ""
    yield "<details><summary>All settings of the run</summary>"
    yield ""
    yield "| setting | value |"
    yield "| --- | --- |"
    for key, value in _flat({name: value for name, value in notes.recipe.items() if name not in _PRIVATE}):
        yield f"| `{key}` | {value} |"
    yield ""
    yield "</details>"
    yield ""


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{name}.")
        else:
            yield above + name, str(value).replace("|", "\\|")
