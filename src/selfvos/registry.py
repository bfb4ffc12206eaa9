"""Names that arrive as text, and the things they stand for."""

import difflib
import importlib
import pkgutil
import threading
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar, cast

from selfvos.errors import UnknownName

T = TypeVar("T")
Thing = TypeVar("Thing")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint such as ``; did you mean 'crw'?`` or the list of what is known."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(known) or 'none'}"


class Registry(Generic[T]):
    """Things of one kind by name, filled by importing the modules of one package."""

    def __init__(self, kind: str, package: str) -> None:
        """Remember what is collected.

        Args:
            kind: What one entry is called in messages, for instance ``objective``.
            package: Package whose modules register the entries when imported.
        """
        self.kind = kind
        self._package = package
        self._filled = False
        self._filling = threading.RLock()
        self._things: dict[str, T] = {}
        self._about: dict[str, str] = {}

    def register(self, name: str, *, about: str = "") -> Callable[[Thing], Thing]:
        """Return a decorator that files its argument under `name`.

        Args:
            name: What it is asked for by.
            about: One line for lists; by default the first line of its docstring.
        """

        def file(thing: Thing) -> Thing:
            if name in self._things:
                raise ValueError(f"two {self.kind}s are called {name!r}")
            self._things[name] = cast(T, thing)  # keeps its own type for whoever names it directly
            self._about[name] = about or (thing.__doc__ or "").strip().partition("\n")[0]
            return thing

        return file

    def get(self, name: str) -> T:
        """Return the thing called `name`.

        Raises:
            UnknownName: Nothing is called so; the message names the nearest.
        """
        self._fill()
        if name not in self._things:
            raise UnknownName(f"unknown {self.kind} {name!r}{nearest(name, self._things)}")
        return self._things[name]

    def names(self) -> list[str]:
        """Return all names, sorted."""
        self._fill()
        return sorted(self._things)

    def described(self) -> dict[str, str]:
        """Return one line about each thing, by name, sorted."""
        return {name: self._about[name] for name in self.names()}

    def _fill(self) -> None:
        # Two threads may ask first at the same time: the later one waits for the complete list. A module that
        # fails to import fails every time, so the reason is not hidden behind an unknown name.
        with self._filling:
            if self._filled:
                return
            package = importlib.import_module(self._package)
            modules = list(pkgutil.iter_modules(package.__path__, prefix=f"{self._package}."))
            if not modules:  # a folder that cannot be read just now, as where too many files are open, lists as empty
                raise ImportError(f"the modules of {self._package} cannot be listed", name=self._package)
            for module in modules:
                importlib.import_module(module.name)
            self._filled = True
