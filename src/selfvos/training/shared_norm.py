"""Batch normalisation over the rows of all processes, on CPUs too, where torch's `SyncBatchNorm` refuses to work."""

from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


def share_norm(module: nn.Module) -> None:
    """Have every batch normalisation of a network count the rows of all processes; weights and names stay."""
    for name, child in module.named_children():
        if type(child) is nn.BatchNorm2d:
            setattr(module, name, SharedBatchNorm.of(child))
        else:
            share_norm(child)


class SharedBatchNorm(nn.BatchNorm2d):
    """A `BatchNorm2d` whose statistics are those of the whole batch while it trains."""

    @classmethod
    def of(cls, norm: nn.BatchNorm2d) -> "SharedBatchNorm":
        """Take the place of a plain one, with its very weights."""
        made = cls(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        made.weight, made.bias = norm.weight, norm.bias
        made.running_mean, made.running_var = norm.running_mean, norm.running_var
        made.num_batches_tracked = norm.num_batches_tracked
        return made.train(norm.training)

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Normalise this process's rows by the statistics of all; in use, by those that were gathered."""
        if not self.training and self.running_mean is not None:
            return super().forward(input)
        known = _statistics(input.detach())
        if self.training and self.running_mean is not None:
            self._remember(known)
        return _Normalise.apply(input, self.weight, self.bias, known, self.eps)  # pyright: ignore[reportReturnType]

    @torch.no_grad()
    def _remember(self, known: "_Statistics") -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        variance = known.variance * known.values / max(known.values - 1, 1)
        self.running_mean.lerp_(known.mean.float(), share)
        self.running_var.lerp_(variance.float(), share)


class _Statistics(NamedTuple):
    """What all values of a channel are, over all processes."""

    mean: Tensor
    variance: Tensor
    values: float


class _Normalise(torch.autograd.Function):
    """Scale and shift by given statistics, with the gradient that passes through them.

    Source:
        Ioffe and Szegedy 2015, arXiv:1502.03167, the gradients of section 3, with sums over all processes.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, known: _Statistics, eps: float) -> Tensor:
        ctx.count = known.values
        mean, variance = known.mean.float(), known.variance.float()
        ctx.save_for_backward(x, weight, mean, (known.variance + eps).rsqrt().float())
        return functional.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        x, weight, mean, scale = ctx.saved_tensors
        gradient = gradients[0].float()
        unit = (x.float() - _wide(mean)) * _wide(scale)
        own = torch.stack([_sum(gradient), _sum(gradient * unit)])
        total = own.clone()
        dist.all_reduce(total)
        shift, slope = (total / ctx.count).float()
        inner = gradient - _wide(shift) - unit * _wide(slope)
        of_bias, of_weight = own.to(weight.dtype)
        return (inner * _wide(weight * scale)).to(x.dtype), of_weight, of_bias, None, None


def _statistics(x: Tensor) -> _Statistics:
    count = x.numel() / x.shape[1]
    mean = _sum(x) / count
    variance = _sum((x.float() - _wide(mean.float())).square()) / count
    own = torch.stack([mean, variance, torch.full_like(mean, count)])
    every = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(every, own)
    means, variances, counts = torch.stack(every, dim=1)
    total = float(counts[:, 0].sum())
    mean = (means * counts).sum(dim=0) / total
    spread = (variances + (means - mean).square()) * counts
    return _Statistics(mean, spread.sum(dim=0) / total, total)


def _sum(x: Tensor) -> Tensor:
    # As precise as torch's own normalisation: a CPU adds up in double precision, where it costs nothing.
    return x.sum(dim=(0, 2, 3), dtype=torch.float64 if x.device.type == "cpu" else torch.float32)


def _wide(channels: Tensor) -> Tensor:
    return channels[None, :, None, None]
