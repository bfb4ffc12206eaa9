"""What the shell offers when a person presses Tab: names of things, without loading what stands behind them.

Loading it takes seconds. The names lie in a file beside this one; ``make names`` writes it anew from the registries,
and a test holds it to them.
"""

import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files

KINDS = (
    *("recipes", "objectives", "backbones", "benchmarks", "presets", "systems", "formats", "checkpoints"),
    *("tables", "weights"),
)
"""What `selfvos list` knows."""
_OTHERS = {
    "devices": ("auto", "cpu", "cuda", "mps"),
    "qualities": ("fast", "balanced", "best"),
    "kinds": KINDS,
}


def completing(kind: str) -> Callable[[str], list[str]]:
    """Return what completes a name of a kind."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in _names(kind) if name.startswith(incomplete)]

    return complete


def completing_several(kind: str) -> Callable[[str], list[str]]:
    """Return what completes the last of several names that commas part."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in _names(kind) if name.startswith(last)]

    return complete


def current() -> dict[str, list[str]]:
    """Return the names that there are by now; this loads everything."""
    from selfvos import api
    from selfvos.experiments.tables import TABLES

    return {kind: sorted(TABLES.described() if kind == "tables" else api.names(kind)) for kind in KINDS}


def _names(kind: str) -> tuple[str, ...]:
    return _OTHERS[kind] if kind in _OTHERS else tuple(_kept()[kind])


@cache
def _kept() -> dict[str, list[str]]:
    return json.loads(files("selfvos.cli").joinpath("names.json").read_text("utf-8"))


if __name__ == "__main__":
    print(json.dumps(current(), indent=1))
