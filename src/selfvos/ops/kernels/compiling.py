"""Compile kernels, and keep what was compiled until any of them changes.

numba keeps compiled code by the text of the file that a function stands in, and does not look at other files that the
function takes code from: after an update it would go on with parts of what was there before. So compiled code lies in
a folder that is named by the text of all kernels. What is compiled elsewhere calls compiled code of these alone, or of
its own file.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from numba import config, njit

_HERE = Path(__file__).parent
_SETTINGS: Any = config
_KEPT = 4
"""Folders of this many latest states are left where they are: another process may use them."""


def compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Compile a function when it is first called, or take what was kept; options are numba's."""
    with _keeping_in(_folder()):
        try:
            return njit(nogil=True, cache=True, **options)(function)
        except RuntimeError:  # no folder to keep compiled code in: every process compiles anew
            return njit(nogil=True, **options)(function)


def borrowing(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that makes no array, and so need not count references to those of its callers.

    To count them, each with an atomic instruction on either side of a call, takes longer than what short functions do.
    """
    return compiled(function, _nrt=False)


def _state_of(kernels: Path) -> str:
    """Return what tells one state of a folder of Python files from any other."""
    digest = sha256()
    for file in sorted(kernels.glob("*.py")):
        text = file.read_bytes()
        digest.update(f"{file.name} {len(text)} ".encode() + text)
    return digest.hexdigest()[:16]


@cache
def _folder() -> str:
    """Return where compiled code is kept: where the user wants it, beside the kernels, or among the user's caches.

    An empty text, where there is no such place, leaves the choice to numba.
    """
    with suppress(OSError, RuntimeError):  # kernels in an archive; a user without a home
        state = _state_of(_HERE)
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        for place in (_SETTINGS.CACHE_DIR, _HERE / "__pycache__", Path(caches) / "selfvos" / "kernels"):
            if place and _is_ours(folder := Path(place) / f"kernels-{state}"):
                _forget_others(folder)
                return str(folder)
    return str(_SETTINGS.CACHE_DIR)


def _is_ours(folder: Path) -> bool:
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        return os.access(folder, os.W_OK | os.X_OK)
    return False


def _forget_others(folder: Path) -> None:
    with suppress(OSError):
        latest = sorted(folder.parent.glob("kernels-*"), key=lambda other: other.stat().st_mtime, reverse=True)
        for other in latest[_KEPT:]:
            if other != folder:
                shutil.rmtree(other, ignore_errors=True)


@contextmanager
def _keeping_in(folder: str) -> Iterator[None]:
    """Have numba keep in a folder what is compiled meanwhile."""
    before, _SETTINGS.CACHE_DIR = _SETTINGS.CACHE_DIR, folder
    try:
        yield
    finally:
        _SETTINGS.CACHE_DIR = before
