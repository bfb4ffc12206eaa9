"""One process or many: the only place that knows."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """The processes of this run; a single one unless torchrun started several."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes the run's files."""
        return self.rank == 0

    def share(self, things: Sequence[T]) -> Sequence[T]:
        """Return this process's part of a list."""
        return things[self.rank :: self.size]

    def wrap(self, module: nn.Module) -> nn.Module:
        """Make gradients of all processes agree; a single process keeps the module as it is."""
        if self.size == 1:
            return module
        devices = [self.device] if self.device.type == "cuda" else None
        # Not every objective teaches every part: some learn on a stage and leave the key head alone.
        return DistributedDataParallel(module, device_ids=devices, find_unused_parameters=True)

    def align(self, module: nn.Module) -> None:
        """Give all processes the main one's running statistics, which differ after every step."""
        if self.size > 1:
            for buffer in module.buffers():
                dist.broadcast(buffer, src=0)

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            dist.barrier()

    def any(self, *, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.size == 1:
            return flag
        vote = torch.tensor([float(flag)], device=self.device)
        dist.all_reduce(vote, dist.ReduceOp.MAX)
        return bool(vote.item())


@contextmanager
def join(device: torch.device) -> Iterator[World]:
    """Join the processes that torchrun started, or stand alone.

    Args:
        device: Where a single process works; with CUDA, torchrun's local rank picks the card.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(rank=0, size=1, device=device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield World(rank=dist.get_rank(), size=size, device=device)
    finally:
        dist.destroy_process_group()
