"""What every published format is: tensors with foreign names in, settings and tensors with our names out."""

import argparse
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from selfvos.errors import DataError, UsageError, WeightsMismatch
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.models.weights import load_into
from selfvos.registry import Registry

State = dict[str, Tensor]
"""Tensors by name."""
BACKBONE = "encoder.backbone."
"""What the names of a backbone's tensors begin with in a `Segmenter`."""

_NESTED_IN = ("teacher", "student", "state_dict", "model")
_COUNTER = "num_batches_tracked"


class Converted(NamedTuple):
    """One checkpoint in the words of this package."""

    config: SegmenterConfig
    """The network that it belongs to."""
    tensors: State
    """Its tensors, by their names in that network."""
    preset: str
    """Name of the tracker settings that are its method's own."""
    changes: Mapping[str, Any] = MappingProxyType({})
    """Fields of these that are others for this network."""


FORMATS: Registry[Callable[[State], Converted]] = Registry("checkpoint format", "selfvos.models.convert")


def read_state(path: Path | str) -> State:
    """Read the tensors of a checkpoint, whatever they are nested in, and execute nothing that it holds.

    A teacher is preferred to its student; the prefix ``module.`` of parallel training is taken off.

    Args:
        path: A ``.safetensors`` file, or what torch.save wrote. Besides tensors and plain values it may hold the
            options of a command line (`argparse.Namespace`), which are ignored.

    Raises:
        UsageError: No such file.
        DataError: It holds other objects than those, or no tensors, or is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"no checkpoint at {path}; give the file that the method's authors published")
    content = _read(path)
    while isinstance(content, dict):
        inner = next((content[name] for name in _NESTED_IN if isinstance(content.get(name), dict)), None)
        if inner is None:
            break
        content = inner
    state = {name: t for name, t in content.items() if isinstance(t, Tensor)} if isinstance(content, dict) else {}
    if not state or not all(isinstance(name, str) for name in state):
        raise DataError(f"{path}: no tensors by name in it; give a checkpoint with a state_dict")
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def rename(state: State, targets: dict[str, str], *, ignored: tuple[str, ...] = ()) -> State:
    """Exchange the beginnings of names.

    Args:
        state: Tensors by their foreign names.
        targets: New beginning for each old one; the first that fits is taken. A name that none fits stays as it is.
        ignored: Beginnings of names that are left out.
    """
    renamed = {}
    for name, tensor in state.items():
        if name.startswith(ignored):
            continue
        old = next((beginning for beginning in targets if name.startswith(beginning)), None)
        renamed[name if old is None else targets[old] + name.removeprefix(old)] = tensor
    return renamed


def resnet_name(state: State) -> str:
    """Tell by its blocks which ResNet a state belongs to."""
    return "resnet50" if any(".conv3." in name for name in state) else "resnet18"


def required(state: State, name: str) -> Tensor:
    """Return the tensor from which a format tells sizes.

    Raises:
        WeightsMismatch: There is none of that name.
    """
    if name not in state:
        raise WeightsMismatch(f"{name} missing, found {', '.join(sorted(state)[:3])} ...; is it of another format?")
    return state[name]


def identity_norm(name: str, channels: int) -> State:
    """Return the tensors of a batch normalisation that changes nothing but the scale of all channels alike."""
    ones, zeros = torch.ones(channels), torch.zeros(channels)
    return {
        f"{name}.weight": ones,
        f"{name}.bias": zeros,
        f"{name}.running_mean": zeros.clone(),
        f"{name}.running_var": ones.clone(),
    }


def build(found: Converted, *, source: str) -> tuple[Segmenter, list[str]]:
    """Make the network of a converted checkpoint, in evaluation mode.

    Args:
        found: What a format returned.
        source: What to call the checkpoint in messages.

    Returns:
        The network, and the names of those parts that the checkpoint knows nothing of: they keep random weights,
        always the same.

    Raises:
        WeightsMismatch: Names or shapes differ from the network's; the first ones are listed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Segmenter(found.config)
    own = model.state_dict()
    untrained = {_part(name) for name in own} - {_part(name) for name in found.tensors} - {_part(BACKBONE)}
    # Checkpoints older than these counters lack them; nothing depends on their values.
    kept = {name: t for name, t in own.items() if _part(name) in untrained or name.endswith(_COUNTER)}
    load_into(model, {**kept, **found.tensors}, source=source)
    return model.eval(), sorted(untrained)


def _part(name: str) -> str:
    return ".".join(name.split(".")[:2])


def _read(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise DataError(
            f"{path}: damaged, or holds objects that are no tensors, which are not loaded; "
            f"save its state_dict alone ({reason})"
        ) from error
