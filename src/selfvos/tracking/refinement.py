"""Rounds of V and D over all objects of a frame, a few objects at a time where memory is short."""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from selfvos.models.segmenter import Segmenter
from selfvos.ops.masks import aggregate, corrected
from selfvos.types import MaskContext

_BYTES_PER_PIXEL = {"full": 700, "slim": 150, "wide": 180}
"""What one more object takes in a pass through V and D, per pixel of the frame: 540 and 100 measured, rounded up."""
_SHARE = 0.5
_MOST_ON_CPU = 2
"""Objects that go together on a CPU: more are no faster there, and take 61 MB each while they pass (slim, 480p)."""

WatchRounds = Callable[[int, Tensor], None]
"""Called with a round's number and the masks after it (1 o1 y x), padded, background first."""


def unwatched(number: int, masks: Float[Tensor, "1 o1 y x"]) -> None:
    """Watch rounds without doing anything."""


def refine(
    model: Segmenter,
    context: MaskContext,
    readout: Callable[[range], Float[Tensor, "1 o v h w"]],
    probabilities: Float[Tensor, "1 o1 y x"],
    rounds: int,
    *,
    watch: WatchRounds = unwatched,
) -> Float[Tensor, "1 o1 y x"]:
    """Decode every object `rounds` times, each time from the mask of the round before.

    Args:
        model: Network with V and D.
        context: What the frame gives to both.
        readout: Returns what memory says of a range of objects.
        probabilities: Coarse masks, background first.
        rounds: R, at least 1.
        watch: Called after each round, counted from 1.

    Source:
        Mask-VOS, recurrent refinement: affinity, read-out and the frame's features are computed once for all rounds.
    """
    objects = probabilities.shape[1] - 1
    parts = [(part, readout(part)) for part in _parts(model, probabilities, objects)]
    for number in range(1, rounds + 1):
        logits = []
        for part, read in parts:
            values = model.encode_masks(context, probabilities[:, 1 + part.start : 1 + part.stop])
            logits.append(model.decode_masks(context, read, values))
        decoded = torch.cat(logits, dim=1)
        probabilities = corrected(probabilities, decoded) if model.corrects_masks else aggregate(decoded)
        watch(number, probabilities)
    return probabilities


def embed(model: Segmenter, context: MaskContext, probabilities: Float[Tensor, "1 o1 y x"]) -> Float[Tensor, "o m v"]:
    """Return every object's mask embedding of a frame, as memory keeps it."""
    parts = _parts(model, probabilities, probabilities.shape[1] - 1)
    values = [model.encode_masks(context, probabilities[:, 1 + part.start : 1 + part.stop])[0] for part in parts]
    return torch.cat(values).flatten(2).transpose(1, 2)


def _parts(model: Segmenter, probabilities: Tensor, objects: int) -> Iterator[range]:
    pixels = probabilities.shape[-2] * probabilities.shape[-1]
    size = objects_at_once(available_bytes(probabilities.device), pixels, model.config.mask_path)
    if probabilities.device.type == "cpu":
        size = min(size, _MOST_ON_CPU)
    for start in range(0, objects, size):
        yield range(start, min(start + size, objects))


def objects_at_once(free_bytes: int | None, pixels: int, mask_path: str) -> int:
    """Return how many objects may go through V and D together, at least 1.

    Args:
        free_bytes: Memory that is free; None where nobody knows.
        pixels: Pixels of the padded frame.
        mask_path: Name of the pair.
    """
    if free_bytes is None:
        return 1
    return max(1, int(_SHARE * free_bytes / (pixels * _BYTES_PER_PIXEL.get(mask_path, max(_BYTES_PER_PIXEL.values())))))


def available_bytes(device: torch.device) -> int | None:
    """Return the memory that is free for tensors on a device, None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
