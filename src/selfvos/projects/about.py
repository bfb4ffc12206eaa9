"""What a project says of itself and of each object, as it is written."""

from typing import Any

from selfvos.data.mask_png import palette

_COLOURS = ((255, 92, 92), (64, 156, 255), (88, 200, 110), (255, 190, 60), (178, 120, 255), (60, 205, 200))
"""Easy to tell apart, also for most of those who see colours differently; the palette's colours come after them."""


def new_object(id: int, name: str | None = None, colour: tuple[int, int, int] | None = None) -> dict[str, Any]:
    """Return an object that was given no other name or colour than these."""
    own = _COLOURS[id - 1] if id <= len(_COLOURS) else tuple(int(value) for value in palette()[(id - 1) % 255 + 1])
    return {"name": name or f"object {id}", "colour": list(colour or own)}


def is_whole(about: Any) -> bool:
    """Tell whether all is there that a project says of itself."""
    if not isinstance(about, dict):
        return False
    size = about.get("size")
    numbers = (about.get("format"), about.get("count"), *(size if isinstance(size, list) else ()))
    named = all(isinstance(about.get(name), str) for name in ("name", "video"))
    counted = len(numbers) == 4 and all(isinstance(one, int) and one > 0 for one in numbers)
    return named and counted and isinstance(about.get("fps"), int | float) and 0 < about["fps"] < 10**6
