import numpy as np
import pytest
from PIL import Image

from selfvos.data.mask_png import write_mask

SIDE = 64


def square(t, number):
    """A bright square that crosses a textured ground, and its mask."""
    rng = np.random.default_rng(number)
    frame = np.kron(rng.integers(40, 120, (8, 12, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    mask = np.zeros(frame.shape[:2], np.uint8)
    place = np.s_[20:44, 8 + 6 * t : 32 + 6 * t]
    frame[place], mask[place] = (230, 60 + 40 * number, 30), 1
    return frame, mask


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    """Three frame folders without labels."""
    return _write(tmp_path_factory.mktemp("videos"), "{video}/{frame}", range(3))


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """A benchmark of two labelled videos, in the layout of the protocol `folder`."""
    return _write(tmp_path_factory.mktemp("benchmark"), "frames/{video}/{frame}", (3, 4), masks=True)


def _write(root, pattern, numbers, masks=False):
    for number in numbers:
        for t in range(7):
            frame, mask = square(t, number)
            path = root / (pattern.format(video=f"square{number}", frame=f"{t:05d}") + ".png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(frame).save(path)
            if masks:
                write_mask(root / "masks" / f"square{number}" / path.name, mask)
    return root
