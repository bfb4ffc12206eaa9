"""Runs a notebook's cells one after the other, as Jupyter would, without Jupyter.

``python -m tests.notebook examples/NAME.ipynb`` runs it and writes what its cells print and draw into it.
"""

import ast
import base64
import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")


def cells(path: Path) -> list[dict[str, Any]]:
    """Return the cells of a notebook."""
    return json.loads(path.read_text("utf-8"))["cells"]


def source(cell: dict[str, Any]) -> str:
    """Return what is written in a cell."""
    return "".join(cell["source"])


def run(path: Path, folder: Path) -> list[list[dict[str, Any]]]:
    """Run all code cells in one namespace, with a folder of their own, and return what each has to show."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.chdir(folder):
        return [_run(source(cell), namespace) for cell in cells(path) if cell["cell_type"] == "code"]


def _run(code: str, namespace: dict[str, Any]) -> list[dict[str, Any]]:
    from matplotlib import pyplot

    parsed = ast.parse(code)
    assert not isinstance(parsed.body[-1], ast.Expr) or isinstance(parsed.body[-1].value, ast.Call), (
        "print what is to be seen: the value of a last line is shown by Jupyter alone"
    )
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(parsed, "<cell>", "exec"), namespace)
    shown = []
    if printed.getvalue():
        shown.append({"output_type": "stream", "name": "stdout", "text": printed.getvalue().splitlines(keepends=True)})
    for number in pyplot.get_fignums():
        picture = io.BytesIO()
        pyplot.figure(number).savefig(picture, format="jpeg", dpi=70, bbox_inches="tight", pil_kwargs={"quality": 80})
        text = base64.b64encode(picture.getvalue()).decode()
        shown.append({"output_type": "display_data", "data": {"image/jpeg": text}, "metadata": {}})
    pyplot.close("all")
    return shown


def renew(path: Path) -> None:
    """Run a notebook and write what it shows into it."""
    with tempfile.TemporaryDirectory() as folder:
        shown = run(path.resolve(), Path(folder))
    notebook = json.loads(path.read_text("utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, (cell, outputs) in enumerate(zip(code, shown, strict=True), start=1):
        cell["outputs"], cell["execution_count"] = outputs, number
    path.write_text(json.dumps(notebook, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    os.environ.setdefault("MPLBACKEND", "agg")
    renew(Path(sys.argv[1]))
