"""One process or many: the only place that knows."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from selfvos.errors import UsageError
from selfvos.training.meeting import private_store

T = TypeVar("T")

_PATIENCE = timedelta(hours=2)
"""A process may cluster its share of the videos for so long while the others wait. One that dies is noticed at once."""


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
        """Return this process's part of a list, whatever its order."""
        return things[self.rank :: self.size]

    def rows(self, count: int) -> slice:
        """Return which rows of a batch are this process's own: all have as many, or one more."""
        return _rows(count, self.rank, self.size)

    def gather(self, own: Tensor, count: int) -> Tensor:
        """Return the whole batch, in order, where every process has its own rows; no gradient passes.

        Args:
            own: Rows as `rows` says, of equal type and shape in all processes.
            count: Rows of the batch.
        """
        if self.size == 1:
            return own
        parts = [_rows(count, rank, self.size) for rank in range(self.size)]
        most = max(part.stop - part.start for part in parts)
        # All that is sent has to be of one size.
        sent = own.new_zeros((most, *own.shape[1:]), device=self.device)
        sent[: len(own)] = own
        received = [torch.empty_like(sent) for _ in parts]
        dist.all_gather(received, sent)
        whole = [rows[: part.stop - part.start] for rows, part in zip(received, parts, strict=True)]
        return torch.cat(whole).to(own.device)

    def require_rows(self, batch: int) -> None:
        """Refuse a batch that leaves a process without work.

        Raises:
            UsageError: There are more processes than clips.
        """
        if batch < self.size:
            raise UsageError(f"{self.size} processes for {batch} clips of a step: start fewer, or raise batch_clips")

    def wrap(self, module: nn.Module) -> nn.Module:
        """Make gradients of all processes agree; a single process keeps the module as it is."""
        if self.size == 1:
            return module
        devices = [self.device] if self.device.type == "cuda" else None
        # Not every objective teaches every part: some learn on a stage and leave the key head alone.
        return DistributedDataParallel(module, device_ids=devices, find_unused_parameters=True)

    def align(self, module: nn.Module) -> None:
        """Give all processes the main one's weights to the bit: on unlike machines they may differ by rounding."""
        if self.size > 1:
            for value in module.state_dict().values():
                dist.broadcast(value, src=0)

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
    store, rank, size = next(rendezvous("env://"))
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(
        backend, store=private_store(store, rank, size), rank=rank, world_size=size, timeout=_PATIENCE
    )
    try:
        yield World(rank=rank, size=size, device=device)
    finally:
        dist.destroy_process_group()


def _rows(count: int, rank: int, size: int) -> slice:
    return slice(count * rank // size, count * (rank + 1) // size)
