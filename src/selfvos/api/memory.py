"""Memory that nobody uses any more goes back to the system."""

import ctypes
import sys
from functools import cache
from typing import Any


def give_back() -> None:
    """Hand free memory of the C library back; does nothing where it cannot be asked to, as on macOS and Windows.

    Every thread allocates from an arena of its own, and what is free in one is of no use to another: a process
    that tracked forty clips of 240p, each in a new thread, held 860 MB in place of 540.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
