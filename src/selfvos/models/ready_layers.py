"""Layers of a network that watches frames: they do what the layers they replace do, in less time."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from selfvos.models.backbones.resnet import BasicBlock
from selfvos.models.blocks import ResBlock
from selfvos.ops import winograd


class ReadyConvolution(nn.Module):
    """A 3 x 3 convolution that knows a way with fewer products, and takes it for float32 on the CPU.

    In other precisions its weights are cast once, where autocast would cast them again for each frame.
    """

    transformed: Tensor
    full_bias: Tensor
    """For as many channels as are computed."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        more = (0, -layer.out_channels % winograd.CHANNEL_STEP)
        weight = F.pad(layer.weight, (0, 0, 0, 0, 0, 0, *more))
        self.register_buffer("transformed", winograd.transform(weight), persistent=False)
        bias = layer.weight.new_zeros(layer.out_channels) if layer.bias is None else layer.bias
        self.register_buffer("full_bias", F.pad(bias, more), persistent=False)
        self._cast: dict[torch.dtype, tuple[Tensor, Tensor | None]] = {}

    @staticmethod
    def fits(layer: nn.Module) -> bool:
        """Say whether a layer is such a convolution."""
        return (
            isinstance(layer, nn.Conv2d)
            and (layer.kernel_size, layer.stride, layer.dilation) == ((3, 3), (1, 1), (1, 1))
            and (layer.padding, layer.padding_mode, layer.groups) == ((1, 1), "zeros", 1)
            and layer.in_channels % winograd.CHANNEL_STEP == 0
        )

    def forward(
        self, x: Float[Tensor, "b c h w"], added: Float[Tensor, "b d h w"] | None = None, *, rectify: bool = False
    ) -> Float[Tensor, "b d h w"]:
        """Convolve; then add maps, and set to 0 what is below, where that is asked for."""
        plain = x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        if plain and winograd.is_worth_it() and (added is None or added.shape[1] == len(self.full_bias)):
            y = winograd.convolve(x, self.transformed, self.full_bias, added=added, rectify=rectify)
            return y[:, : len(self.weight)]
        y = F.conv2d(x, *self._weights(x.device.type), padding=1)
        if added is not None:
            y = y.add_(added) if added.dtype == y.dtype else y + added
        return torch.relu_(y) if rectify else y

    def _weights(self, device: str) -> tuple[Tensor, Tensor | None]:
        """Return weight and bias in the precision that autocast asks for."""
        if not torch.is_autocast_enabled(device):
            return self.weight, self.bias
        precision = torch.get_autocast_dtype(device)
        if precision not in self._cast:
            self._cast[precision] = self.weight.to(precision), None if self.bias is None else self.bias.to(precision)
        return self._cast[precision]


class ReadyConstant(nn.Module):
    """A convolution whose weights are all 0: its bias, as often as there are places, which takes no room."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.bias = layer.bias if layer.bias is not None else nn.Parameter(layer.weight.new_zeros(layer.out_channels))
        assert not isinstance(layer.padding, str), "see `fits`"
        self._sides = tuple(zip(layer.kernel_size, layer.stride, layer.padding, layer.dilation, strict=True))

    @staticmethod
    def fits(layer: nn.Module) -> bool:
        """Say whether a layer learned nothing of what it sees."""
        return isinstance(layer, nn.Conv2d) and not layer.weight.any() and not isinstance(layer.padding, str)

    def forward(
        self, x: Float[Tensor, "b c h w"], added: Float[Tensor, "b d h2 w2"] | None = None, *, rectify: bool = False
    ) -> Float[Tensor, "b d h2 w2"]:
        """Return the bias; then add maps, and set to 0 what is below, where that is asked for."""
        sizes = zip(x.shape[2:], self._sides, strict=True)
        height, width = ((n + 2 * pad - wide * (size - 1) - 1) // step + 1 for n, (size, step, pad, wide) in sizes)
        y = self.bias.view(1, -1, 1, 1)
        y = torch.relu(y) if rectify and added is None else y
        if added is None:
            return y.expand(len(x), -1, height, width)
        return torch.relu_(added + y) if rectify else added + y


class ReadyBasicBlock(nn.Module):
    """`BasicBlock` whose convolutions add and rectify while they write; normalisations are part of them."""

    def __init__(self, block: BasicBlock) -> None:
        super().__init__()
        self.conv1, self.conv2, self.downsample = block.conv1, block.conv2, block.downsample

    @staticmethod
    def fits(block: nn.Module) -> bool:
        """Say whether a block's parts are ready."""
        return (
            isinstance(block, BasicBlock)
            and all(isinstance(norm, nn.Identity) for norm in (block.bn1, block.bn2))
            and isinstance(block.conv2, ReadyConvolution)
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """Apply the block."""
        ready = isinstance(self.conv1, ReadyConvolution)
        y = self.conv1(x, rectify=True) if ready else torch.relu_(self.conv1(x))
        return self.conv2(y, self.downsample(x), rectify=True)


class ReadyResBlock(nn.Module):
    """`ResBlock` whose convolutions add and rectify while they write."""

    def __init__(self, block: ResBlock) -> None:
        super().__init__()
        self.conv1, self.conv2, self.shortcut = block.conv1, block.conv2, block.shortcut

    @staticmethod
    def fits(block: nn.Module) -> bool:
        """Say whether a block's parts are ready."""
        return isinstance(block, ResBlock) and all(
            isinstance(layer, ReadyConvolution | ReadyConstant) for layer in (block.conv1, block.conv2)
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """Apply the block."""
        return self.conv2(self.conv1(torch.relu(x), rectify=True), self.shortcut(x))


def make_ready(module: nn.Module) -> None:
    """Replace layers by ready ones, wherever they are, from the inside out."""
    for name, child in list(module.named_children()):
        make_ready(child)
        for kind in (ReadyConstant, ReadyConvolution, ReadyBasicBlock, ReadyResBlock):
            if kind.fits(child):
                module.register_module(name, kind(child))  # pyright: ignore[reportArgumentType]
                break
