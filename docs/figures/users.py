"""Draws the pictures of `docs/for`: run `python docs/figures/users.py`. All of them are made by the product.

The clip is the one of `selfvos demo`; the cells are made up here, and tracked with the weights that ship.
"""

import csv
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import tifffile
from PIL import Image

from selfvos import api
from selfvos.data.overlay import overlay
from selfvos.data.source import open_source
from selfvos.data.video_writer import VideoWriter

HERE = Path(__file__).parent
COUNT, HEIGHT, WIDTH = 24, 240, 320


def main() -> None:
    """Draw all of them."""
    model = api.load("default", device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        cells(model, Path(folder))
        clusters(model, Path(folder))
        contact(model, Path(folder))


def contact(model, folder: Path) -> None:
    """Six frames of the demo, with the mask over them."""
    config = api.track_config(model, None, "fast")
    seen = [tracked for tracked in api.demo(model, folder / "demo", config=config) if tracked.frame.index % 10 == 0]
    frames = [overlay(tracked.frame.rgb, tracked.mask) for tracked in seen]
    sheet = np.vstack([np.hstack(frames[:3]), np.hstack(frames[3:6])])
    Image.fromarray(sheet).resize((1200, 1200 * sheet.shape[0] // sheet.shape[1])).save(
        HERE / "for_contact.jpg", quality=82
    )


def clusters(model, folder: Path) -> None:
    """The contact sheet that `selfvos cluster` draws."""
    (folder / "videos").mkdir()
    with VideoWriter(folder / "videos" / "cockatoo.mp4", fps=10) as writer:  # every second frame, half as large
        for frame in list(open_source(api.demo_clip()).frames(0, 48))[::2]:
            writer.write(np.ascontiguousarray(frame.rgb[::2, ::2]))
    (sheet,) = api.cluster(model, videos=[folder / "videos"], out=folder / "clusters", config=api.clustering(model))
    picture = Image.open(sheet).convert("RGB")
    picture.thumbnail((1200, 1200))
    picture.save(HERE / "for_clusters.jpg", quality=82)


def cells(model, folder: Path) -> None:
    """Frames of a stack of two cells, and the areas that the exported table has of them."""
    stack = np.stack([made_up(t) for t in range(COUNT)])
    tifffile.imwrite(folder / "cells.tif", stack)
    shot = api.Shot(video=folder / "cells.tif", masks=truth(0))
    config = api.track_config(model, None, "fast")
    found = [t.mask for t in api.track_to(model, shot, folder / "cells", config=config)]
    api.export(folder / "cells", "csv", folder / "cells.csv")
    rows = list(csv.DictReader((folder / "cells.csv").open()))
    frames = [frame.rgb for frame in open_source(folder / "cells.tif").frames()]
    figure, places = plt.subplots(1, 4, figsize=(12, 2.6), width_ratios=(1, 1, 1, 1.25), layout="constrained")
    for place, t in zip(places, (0, COUNT // 2, COUNT - 1), strict=False):
        place.imshow(overlay(frames[t], found[t]))
        place.set(title=f"frame {t}", xticks=[], yticks=[])
    for id, colour in (("1", "#c96a12"), ("2", "#149077")):
        mine = [row for row in rows if row["object"] == id]
        places[3].plot([int(row["frame"]) for row in mine], [float(row["area_px"]) for row in mine], colour)
        true = [(truth(t) == int(id)).sum() for t in range(COUNT)]
        places[3].plot(true, color=colour, linestyle=":")
    places[3].set(title="area, px (dotted: true)", xlabel="frame", ylim=(0, None))
    figure.savefig(HERE / "for_cells.png", dpi=100)
    for id in (1, 2):
        agreement = [
            ((m == id) & (truth(t) == id)).sum() / ((m == id) | (truth(t) == id)).sum() for t, m in enumerate(found)
        ]
        print(f"cell {id}: mean J {np.mean(agreement[1:]):.3f}")


def shape(t: int, id: int) -> np.ndarray:
    """How far inside a cell each pixel is: positive inside."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    place, size, wobble = (
        ((80 + 4 * t, 80 + t), 34 + 0.5 * t, 3) if id == 1 else ((250 - 3 * t, 170 - 1.5 * t), 30 - 0.3 * t, 5)
    )
    angle = np.arctan2(y - place[1], x - place[0])
    return size + wobble * np.sin(wobble * angle + 0.2 * t) - np.hypot(x - place[0], y - place[1])


def truth(t: int) -> np.ndarray:
    """Ids of the cells: 1 and 2."""
    return np.where(shape(t, 2) > 0, 2, np.where(shape(t, 1) > 0, 1, 0)).astype(np.uint8)


def made_up(t: int) -> np.ndarray:
    """Two cells with bright rims and speckled insides over an uneven ground, in 16 bits, with noise."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    light = 900 + 2 * x + y
    for id in (1, 2):
        inside = shape(t, id)
        speckle = 350 * np.sin((x - 4 * t * (id == 1)) / (4 + id)) * np.cos((y + t) / 5)
        light = np.where(inside > 0, 2600 + 900 * id + speckle + 1500 * np.exp(-(inside**2) / 12), light)
    return np.clip(np.random.default_rng(t).normal(light, 180), 0, 65535).astype(np.uint16)


if __name__ == "__main__":
    main()
