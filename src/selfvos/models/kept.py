"""What is made of a network, kept as long as the network stays as it is: a fleet tracks a million videos with one."""

import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

import torch

from selfvos.models.segmenter import Segmenter

Made = TypeVar("Made")


def kept(model: Segmenter, kind: str, known: Hashable, make: Callable[[], Made]) -> Made:
    """Return what was made of a network before, if it is the same network still; else make it.

    The latest of each kind is kept, and forgotten with the network. Each tensor's place, torch's count of changes and
    its sum tell whether anything was learned or loaded since: no step of training leaves all three as they were. What
    else a layer holds tells whether it was exchanged, hooked or given another method or setting.

    Args:
        model: The network.
        kind: What is made.
        known: How it is made: the same for two only if they would make the same.
        make: Makes it. It must not hold the network, and whoever gets it must not change it.
    """
    with _lock:
        state = _state(model)
        before, things = _kept.get(model, (None, {}))
        if before != state:
            things = {}
            _kept[model] = state, things
        if kind not in things or things[kind][0] != known:
            things[kind] = known, make()
        return cast(Made, things[kind][1])


_kept: "WeakKeyDictionary[Segmenter, tuple[Any, dict[str, tuple[Hashable, Any]]]]" = WeakKeyDictionary()
_lock = threading.RLock()


@torch.no_grad()
def _state(model: Segmenter) -> tuple[Any, ...]:
    """Return what differs as soon as a network does; some 3 ms for 4 million numbers."""
    marks = []
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        changes = -1 if tensor.is_inference() else tensor._version
        marks.append((name, tensor.data_ptr(), changes, float(tensor.sum(dtype=torch.float32))))
    return model.config, model.notes, model.device, tuple(marks), _structure(model)


def _structure(model: Segmenter) -> tuple[Any, ...]:
    """Return what differs as soon as a layer does in what is no tensor; whether it is in training does not count."""
    known = {"_parameters", "_buffers", "_modules", "training"}
    return tuple(
        (name, id(module), *((key, _mark(value)) for key, value in vars(module).items() if key not in known))
        for name, module in model.named_modules()
    )


def _mark(value: Any) -> Hashable:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    # Of hooks and the like what they hold, of all else which it is.
    return tuple(map(id, value.values())) if isinstance(value, dict) else id(value)
