"""Weights on disk: safetensors with the settings inside and a digest that is checked on loading."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from selfvos.errors import DataError, UsageError, WeightsMismatch
from selfvos.models.kept import kept
from selfvos.models.old_notes import read_version_1
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.models.weights_notes import NOTES_VERSION, Quality, WeightsNotes
from selfvos.settings import from_dict, to_dict
from selfvos.storage import atomic_path, sealed, unsealed

__all__ = [
    "Quality",
    "WeightsCard",
    "WeightsNotes",
    "digest",
    "load_into",
    "load_weights",
    "network_digest",
    "save_weights",
]


_SEALED_SINCE = 3


@dataclass(frozen=True)
class WeightsCard:
    """What a weights file says of itself."""

    digest: str
    """SHA-256 over names, types, shapes and values of all tensors."""
    settings: SegmenterConfig
    notes: WeightsNotes
    """How they were made, and how to track with them."""


def digest(tensors: dict[str, Tensor]) -> str:
    """Return the SHA-256 over names, types, shapes and bytes of tensors, whatever file they are in."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        total.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def network_digest(model: Segmenter) -> str:
    """Return the `digest` of all tensors of a network: equal weights have equal ones, in whatever file."""
    return kept(model, "digest", None, lambda: digest(model.state_dict()))


def save_weights(path: Path | str, model: Segmenter, *, notes: WeightsNotes | None = None, half: bool = False) -> str:
    """Write a model's weights atomically and return their digest.

    Args:
        path: A ``.safetensors`` file.
        model: The network; its settings are stored along.
        notes: How they were made, and how to track with them.
        half: Store floating-point tensors in half precision.
    """
    tensors = {
        name: (tensor.half() if half and tensor.is_floating_point() else tensor).detach().cpu().contiguous()
        for name, tensor in model.state_dict().items()
    }
    mark = digest(tensors)
    header = {
        "format": NOTES_VERSION,
        "digest": mark,
        "segmenter": to_dict(model.config),
        "notes": to_dict(notes or WeightsNotes()),
    }
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"selfvos": json.dumps(sealed(header))})
    return mark


def load_weights(path: Path | str) -> tuple[Segmenter, WeightsCard]:
    """Build the network that a weights file describes, in evaluation mode, in float32.

    Raises:
        UsageError: No such file.
        WeightsMismatch: Not a selfvos weights file, a damaged one, or one of another architecture.
    """
    tensors, header = _read(Path(path))
    if digest(tensors) != header["digest"]:
        raise WeightsMismatch(f"{path}: the weights are damaged (digest differs); fetch or train them again")
    config = from_dict(SegmenterConfig, header["segmenter"])
    model = Segmenter(config)
    load_into(model, tensors, source=str(path))
    notes = header["notes"]
    model.notes = read_version_1(notes) if header["format"] == 1 else from_dict(WeightsNotes, notes)
    return model.eval(), WeightsCard(digest=header["digest"], settings=config, notes=model.notes)


def load_into(model: nn.Module, tensors: dict[str, Tensor], *, source: str) -> None:
    """Copy tensors into a network whose names and shapes they must match exactly.

    Raises:
        WeightsMismatch: They do not; the message lists the first names that differ.
    """
    expected = model.state_dict()
    wrong = [f"{name} missing" for name in expected if name not in tensors]
    wrong += [f"{name} unexpected" for name in tensors if name not in expected]
    wrong += [
        f"{name} is {tuple(tensors[name].shape)}, expected {tuple(expected[name].shape)}"
        for name in expected
        if name in tensors and tensors[name].shape != expected[name].shape
    ]
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise WeightsMismatch(f"{source}: weights of another architecture: {'; '.join(wrong[:5])}{more}")
    model.load_state_dict(tensors)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not path.is_file():
        raise UsageError(
            f"no weights at {path}; give a .safetensors file, a run folder, or a name from 'selfvos list weights'"
        )
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("selfvos", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, json.JSONDecodeError, OSError) as error:
        raise WeightsMismatch(f"{path}: not a readable safetensors file ({error})") from error
    known = isinstance(header, dict) and header.get("format") in range(1, NOTES_VERSION + 1)
    if not known:
        raise WeightsMismatch(
            f"{path}: not written by this version of selfvos; give weights that 'selfvos train' wrote"
        )
    try:
        return tensors, unsealed(header, required=header["format"] >= _SEALED_SINCE)
    except DataError as error:
        raise WeightsMismatch(f"{path}: {error}; fetch or train the weights again") from error
