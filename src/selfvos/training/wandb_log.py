"""Weights & Biases, where a run asks for it: its numbers and pictures, on a server of others or offline."""

import importlib
import json
import logging
import secrets
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from selfvos.errors import MissingExtra, UsageError
from selfvos.storage import write_text

log = logging.getLogger(__name__)

_ID = "wandb.json"


class WandbLog:
    """Writes to one run of Weights & Biases; without a project it does nothing, and nothing leaves the machine.

    A training that goes on goes on with the same run there. Steps that are done again after a kill are not counted
    twice: Weights & Biases takes none that lies before its latest.
    """

    def __init__(self, project: str, run: Path, settings: dict[str, Any]) -> None:
        """Begin a run there, or go on with it.

        Args:
            project: Name of the project; empty: nothing is written.
            run: Folder of the run; its name is the run's name there.
            settings: All settings of the run, plain.

        Raises:
            MissingExtra: A project is named, and the package is not installed.
            UsageError: It cannot begin, for instance because nobody is logged in.
        """
        self._wandb: Any = None
        self._run: Any = None
        if not project:
            return
        try:
            self._wandb = wandb = importlib.import_module("wandb")
        except ImportError:
            raise MissingExtra('the setting wandb needs a package; run: pip install "selfvos[wandb]"') from None
        quiet = wandb.Settings(silent=True, console="off")
        about = {"project": project, "name": run.resolve().name, "config": settings, "dir": str(run)}
        try:
            self._run = wandb.init(**about, id=_id(run), resume="allow", settings=quiet)
        except wandb.errors.Error as error:
            told = " ".join(str(error).split())
            raise UsageError(f"Weights & Biases: {told}; run 'wandb login', or set WANDB_MODE=offline") from error
        log.info("Weights & Biases: %s", getattr(self._run, "url", None) or f"offline, in {run / 'wandb'}")

    @property
    def writes(self) -> bool:
        """Whether it does anything."""
        return self._run is not None

    def scalars(self, step: int, numbers: dict[str, float]) -> None:
        """Add one point to every curve."""
        if self._run:
            self._run.log(dict(numbers), step=step)

    def picture(self, step: int, rgb: UInt8[np.ndarray, "y x 3"]) -> None:
        """Add a picture to a step that numbers were added to."""
        if self._run:
            self._run.log({"clips": self._wandb.Image(rgb)}, step=step)

    def close(self) -> None:
        """Bring everything to the disk, or to the server."""
        if self._run:
            self._run.finish()
            self._run = None


def _id(run: Path) -> str:
    """Return what the run is known by there: chosen once, and kept in its folder."""
    try:
        return str(json.loads((run / _ID).read_text("utf-8"))["id"])
    except (OSError, ValueError, KeyError, TypeError):
        made = secrets.token_hex(4)
        write_text(run / _ID, json.dumps({"id": made}) + "\n")
        return made
