"""The mean of a network's weights over its latest steps, which is steadier than the weights of any one step."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average of the weights and of the statistics that normalisation has gathered.

    The statistics are averaged like the weights, so that both belong to the same steps; counters are copied.

    Source:
        Polyak and Juditsky 1992 for the mean of iterates; the decay's warm-up, min(decay, (1 + n) / (10 + n)) at update
        n, is that of TensorFlow's `ExponentialMovingAverage`: early on the mean forgets where it began.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Begin with the network as it is.

        Args:
            model: The network.
            decay: What the mean keeps of itself at each update once it is warm, in (0, 1): 0.99 spans about 100 steps.
        """
        self.decay = decay
        self.updates = 0
        self._values = _copy(model)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights after a step."""
        self.updates += 1
        keep = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                self._values[name].lerp_(value, 1 - keep)
            else:
                self._values[name].copy_(value)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Lend the mean to the network; afterwards it has its own weights again, to the bit."""
        own = _copy(model)
        model.load_state_dict(self._values)
        try:
            yield
        finally:
            model.load_state_dict(own)

    def settle(self, model: nn.Module) -> None:
        """Make the mean the network's weights, and begin a new mean there."""
        model.load_state_dict(self._values)
        self.updates = 0

    def state(self, model: nn.Module) -> dict[str, Any]:
        """Return what resuming needs beside the mean: the weights that learn, and how warm the mean is."""
        return {"updates": self.updates, "learning": _copy(model)}

    def restore(self, model: nn.Module, state: dict[str, Any]) -> None:
        """Go on from a checkpoint: the network comes with the mean and leaves with the weights that learn."""
        self._values = _copy(model)
        self.updates = state["updates"]
        model.load_state_dict(state["learning"])


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
