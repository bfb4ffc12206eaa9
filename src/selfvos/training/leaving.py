"""A way out of a step that takes long: who asks for a stop may have ten seconds, and a large step takes minutes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from selfvos.errors import Stopped
from selfvos.types import Watch

_PATIENCE_S = 3.0
"""A step that comes to its end so soon after the stop was asked for is kept."""
_EVERY_S = 0.1


@contextmanager
def leaving(module: nn.Module, watch: Watch) -> Iterator[None]:
    """Let passes of a module, forwards and backwards, end between two layers, some seconds after a stop was asked for.

    What a pass computes is the same to the bit. Whoever runs it has to take back what it has changed so far.

    Args:
        module: Whose layers are looked between.
        watch: Asked there, at most ten times a second.

    Raises:
        Stopped: By the pass that is left.
    """
    patience = _Patience(watch)

    def after(_module: nn.Module, _inputs: Any, output: Any) -> None:
        patience.check()
        if isinstance(output, Tensor) and output.requires_grad:
            output.register_hook(lambda _: patience.check())

    layers = [layer for layer in module.modules() if next(layer.children(), None) is None]
    hooks = [layer.register_forward_hook(after) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _Patience:
    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._looked = self._asked = 0.0

    def check(self) -> None:
        """Return where the work may go on."""
        now = time.monotonic()
        if now - self._looked < _EVERY_S:
            return
        self._looked = now
        if not self._watch.stopped():
            return
        self._asked = self._asked or now
        if now - self._asked >= _PATIENCE_S:
            raise Stopped("stopped in the midst of a step")
