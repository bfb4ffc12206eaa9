"""Colours as files of other programs write them."""

from typing import Any

from PIL import ImageColor

Colour = tuple[int, int, int]


def colour_of(said: Any) -> Colour | None:
    """Return red, green and blue of ``#rrggbb``, a name such as ``red``, or three numbers; None where it is neither."""
    try:
        if isinstance(said, str):
            red, green, blue = ImageColor.getrgb(said)[:3]
        else:
            red, green, blue = (int(value) for value in said)
    except (TypeError, ValueError):
        return None
    return (red, green, blue) if all(0 <= value <= 255 for value in (red, green, blue)) else None
