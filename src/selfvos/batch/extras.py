"""Packages that only a fleet needs: asked for by name, with the line that installs them."""

import importlib.util

from selfvos.errors import MissingExtra


def need(module: str, extra: str, what: str) -> None:
    """Return where a package is installed.

    Raises:
        MissingExtra: It is not.
    """
    if importlib.util.find_spec(module) is None:
        raise MissingExtra(f'{what} needs {module}; run: pip install "selfvos[{extra}]"')
