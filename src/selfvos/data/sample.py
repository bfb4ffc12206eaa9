"""The clip that there is always something to try with."""

import importlib.resources
import importlib.util
from pathlib import Path

from selfvos.errors import MissingExtra


def demo_clip() -> Path:
    """Return where the demo clip is installed.

    Raises:
        MissingExtra: It is not.
    """
    package = importlib.util.find_spec("imageio")
    if package is not None and package.origin:
        clip = Path(package.origin).parent / "resources" / "images" / "cockatoo.mp4"
        if clip.is_file():
            return clip
    raise MissingExtra("the demo clip is not installed; run: pip install 'selfvos[demo]'")


def demo_mask() -> Path:
    """Return the hand-drawn mask of the demo clip's first frame."""
    return Path(str(importlib.resources.files("selfvos.data") / "assets" / "cockatoo_first_mask.png"))
