"""What the figures of the objectives' pages are drawn from and with: a scene, pictures, maps, marks."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor
from torch.nn import functional

import selfvos
from selfvos.api.demonstration import demo_clip
from selfvos.data.source import open_source, read_image
from selfvos.models.segmenter import Segmenter
from selfvos.ops import cycles, walks
from selfvos.ops.colour import grey
from selfvos.storage import write_bytes

SIDE = 256
FRAMES = (0, 4, 8, 12, 16)
MARK = "#00c8ff"
OTHER_MARK = "#ffd000"
_EXTENT = (-1, 1, 1, -1)  # positions as in selfvos.ops.cycles
_SEEN_THROUGH = {"cmap": "inferno", "alpha": 0.65, "vmin": 0}


class Scene(NamedTuple):
    """A clip to look at, another one that it is compared with, and the network that looks."""

    model: Segmenter
    clip: Float[Tensor, "t 3 y x"]
    other: Float[Tensor, "3 y x"]

    def look(self, frames: Float[Tensor, "b 3 y x"]) -> Float[Tensor, "b c h w"]:
        """Return the features that stand for those of an objective."""
        return functional.normalize(self.model.encode_frame(frames).stages["layer3"], dim=1)

    def nodes(self, *frames: int) -> Float[Tensor, "1 t 49 c"]:
        """Return the patches of some of the clip's frames as nodes of a walk, 7 x 7 in each; no head, no jitter."""
        patches = walks.cut_patches(self.clip[None, list(frames)], patch_px=SIDE // 4, step_px=SIDE // 8)
        means = self.model.encode_frame(patches.flatten(0, 3)).stages["layer3"].mean(dim=(2, 3))
        return functional.normalize(means - means.mean(dim=0), dim=1).unflatten(0, (1, len(frames), -1))


def demo_scene() -> Scene:
    """Return the demo clip's bird and, as the other video, a cat that comes with the same package."""
    wanted, found = set(FRAMES), []
    for frame in open_source(demo_clip()):
        if frame.index in wanted:
            found.append(_square(frame.rgb[:, 400:1120]))
        if frame.index > max(wanted):
            break
    cat = read_image(demo_clip().with_name("chelsea.png"))
    return Scene(selfvos.load(device="cpu"), torch.stack(found), _square(cat[:, 75:375]))


def _square(rgb: np.ndarray) -> Tensor:
    small = Image.fromarray(np.ascontiguousarray(rgb)).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(small).copy()).movedim(-1, 0).float() / 255


def seeded(number: int = 0) -> torch.Generator:
    """Return the same randomness in every run."""
    return torch.Generator().manual_seed(number)


def sheet(*titles: str) -> tuple[Figure, Iterator[Axes]]:
    """Return a figure with one empty square under each title."""
    figure = Figure(figsize=(2.05 * len(titles), 2.32), layout="constrained")
    axes = figure.subplots(1, len(titles), squeeze=False)[0]
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title, fontsize=8.5)
        ax.set(xticks=[], yticks=[], xlim=(-1, 1), ylim=(1, -1))
    return figure, iter(axes)


def photo(ax: Axes, rgb: Float[Tensor, "3 y x"]) -> None:
    """Show a picture."""
    ax.imshow(rgb.movedim(0, -1).clamp(0, 1).numpy(), extent=_EXTENT)


def heat(ax: Axes, rgb: Float[Tensor, "3 y x"], weights: Float[Tensor, "h w"], *, most: float | None = None) -> None:
    """Show a map of cells over its picture, from dark (0) to bright (`most`, or its largest value)."""
    photo(ax, grey(rgb) * 0.75)
    ax.imshow(weights.numpy(), extent=_EXTENT, vmax=most, **_SEEN_THROUGH)


def dots(ax: Axes, places: Float[Tensor, "n 2"], colour: str | np.ndarray = MARK, size: float = 14) -> None:
    """Mark positions."""
    ax.scatter(*places.T.numpy(), s=size, c=colour, edgecolors="white", linewidths=0.5)


def box(ax: Axes, matrix: Float[Tensor, "2 3"], colour: str = MARK) -> None:
    """Draw the outline of a box."""
    corners = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])
    ax.plot(*cycles.move(matrix[None], corners)[0].T.numpy(), color=colour, linewidth=1.8)


def place_colours(places: Float[Tensor, "n 2"]) -> Float[Tensor, "n 3"]:
    """Return a colour that tells where a position is."""
    hue = torch.atan2(places[:, 1], places[:, 0]) / (2 * torch.pi) + 0.5
    radius = places.norm(dim=1).clamp(max=1)
    wheel = torch.from_numpy(mpl.colormaps["hsv"](hue.numpy())[:, :3]).float()
    return 1 - radius[:, None] * (1 - wheel)


def middle(grid: Tensor) -> Float[Tensor, "n 2"]:
    """Return the centres of the cells of a map."""
    return cycles.cell_positions(grid.shape[-2], grid.shape[-1], like=grid)


def patch_box(node: int) -> Float[Tensor, "2 3"]:
    """Return the box of one node of a walk."""
    centre = torch.tensor([[node % 7 - 3.0, node // 7 - 3.0]]) / 4
    return cycles.affine_matrix(centre, torch.zeros(1), 1 / 4)[0]


def walker(ax: Axes, rgb: Float[Tensor, "3 y x"], log_probability: Float[Tensor, "49"]) -> None:
    """Show where a walker is."""
    photo(ax, grey(rgb) * 0.75)
    grid = log_probability.exp().view(7, 7)
    # Nodes lie 32 pixels apart, the first one 32 pixels from the border.
    ax.imshow(grid.numpy(), extent=(-0.875, 0.875, 0.875, -0.875), **_SEEN_THROUGH)


def table(ax: Axes, values: Float[Tensor, "n n"]) -> None:
    """Show cosines of all pairs, from dark (-1) to bright (1)."""
    ax.imshow(values.numpy(), extent=_EXTENT, cmap="inferno", vmin=-1, vmax=1)


def signed(ax: Axes, values: Float[Tensor, "y x"], most: float) -> None:
    """Show a channel from -`most` (violet) to `most` (orange)."""
    ax.imshow(values.numpy(), extent=_EXTENT, cmap="PuOr_r", vmin=-most, vmax=most)


def groups(ax: Axes, labels: Tensor) -> None:
    """Show each of up to ten labels in a colour of its own."""
    ax.imshow(labels.numpy(), extent=_EXTENT, cmap="tab10", vmin=0, vmax=9)


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG of 256 colours, which keeps it below 60 kB, and return its path."""
    png, small = io.BytesIO(), io.BytesIO()
    figure.savefig(png, dpi=90)
    # The octree keeps the few pixels of a bright mark, which the median cut would paint grey.
    few = Image.open(png).convert("RGB").quantize(method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(small, "png", optimize=True)
    write_bytes(path, small.getvalue())
    return path
