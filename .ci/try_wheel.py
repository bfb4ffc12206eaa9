"""Use an installed selfvos as users do: `make wheel` runs this in an environment that holds the wheel and nothing else.

Every step says what it did and how long it took; the first that fails ends it.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

COUNT, HEIGHT, WIDTH = 6, 48, 64
PROGRAM = Path(sys.executable).with_name("selfvos")


def main() -> None:
    """Run all steps in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        for step in (nothing_else_is_installed, help_is_quick, lists, a_clip_is_tracked, the_page_is_served):
            begin = time.monotonic()
            found = step(Path(folder))
            print(f"{step.__name__.replace('_', ' ')}: {found} ({time.monotonic() - begin:.1f} s)", flush=True)


def selfvos(*arguments: object, cwd: Path) -> str:
    """Run the program and return what it printed."""
    command = [str(part) for part in (PROGRAM, *arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def nothing_else_is_installed(folder: Path) -> str:
    """The package comes from this environment, not from a checkout; no test tool is at hand."""
    code = "import importlib.util as u, selfvos; print(selfvos.__file__, u.find_spec('pytest'))"
    place, tool = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.split()
    assert Path(place).is_relative_to(sys.prefix), place
    assert tool == "None", tool
    return f"selfvos {distribution('selfvos').version} in {sys.prefix}"


def help_is_quick(folder: Path) -> str:
    """`--help` names the commands."""
    text = selfvos("--help", cwd=folder)
    assert all(command in text for command in ("track", "web", "export", "train")), text
    return f"{len(text.splitlines())} lines"


def lists(folder: Path) -> str:
    """Registries are filled from the installed files."""
    formats = selfvos("list", "formats", cwd=folder)
    weights = selfvos("list", "weights", cwd=folder)
    assert "coco" in formats, formats
    assert "default" in weights, weights
    return f"{len(formats.splitlines())} lines of formats, {len(weights.splitlines())} of weights"


def a_clip_is_tracked(folder: Path) -> str:
    """A square that moves is followed with the weights that ship, and exported."""
    subprocess.run([sys.executable, "-c", CLIP, str(COUNT), str(HEIGHT), str(WIDTH)], cwd=folder, check=True)
    selfvos("track", "clip.mp4", "--mask", "clip.png", "--out", "track", "--quality", "fast", cwd=folder)
    masks = sorted((folder / "track" / "masks").glob("*.png"))
    assert len(masks) == COUNT, masks
    lines = (folder / "track" / "states.jsonl").read_text().splitlines()
    assert not any(one["lost"] for line in lines for one in json.loads(line)["objects"]), lines
    selfvos("export", "track", "--to", "coco", "--out", "track.json", cwd=folder)
    found = json.loads((folder / "track.json").read_text())
    assert len(found["annotations"]) == COUNT, found
    return f"{len(masks)} masks, {len(found['annotations'])} annotations"


def the_page_is_served(folder: Path) -> str:
    """The server answers, and hands out the page as it was built."""
    command = [PROGRAM, "web", "--no-browser", "--port", "0", "--projects", folder / "projects", "--root", folder]
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True, cwd=folder)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://\S+:\d+/", line)
        assert found, line
        fetch = fetcher(found[0])
        assert json.loads(fetch("healthz")) == {"ok": True}
        page = fetch("").decode()
        built = [file for file in distribution("selfvos").files or () if "selfvos/web/static/" in str(file)]
        assert {"app.js", "style.css", "index.html"} <= {file.name for file in built}, built
        for file in built:
            if file.name in page:
                assert fetch(f"static/{file.name}") == file.locate().read_bytes(), file.name
        return f"{len(page)} characters, {sum(file.name in page for file in built)} files beside them"
    finally:
        process.terminate()
        process.wait(timeout=30)


def fetcher(address: str) -> Callable[[str], bytes]:
    """Return a function that fetches from one server."""

    def fetch(path: str) -> bytes:
        with urllib.request.urlopen(address + path, timeout=30) as answer:
            return answer.read()

    return fetch


CLIP = """
import sys
import av
import numpy as np
from PIL import Image

count, height, width = map(int, sys.argv[1:])
with av.open("clip.mp4", "w") as file:
    stream = file.add_stream("mpeg4", rate=12)
    stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", 2_000_000
    for t in [*range(count), None]:
        frame = None
        if t is not None:
            rgb = np.full((height, width, 3), (40, 110, 60), np.uint8)
            rgb[12:36, 4 + 3 * t : 28 + 3 * t] = (230, 40, 40)
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
        file.mux(stream.encode(frame))
mask = np.zeros((height, width), np.uint8)
mask[12:36, 4:28] = 1
Image.fromarray(mask).save("clip.png")
"""
"""Makes the clip without a line of selfvos."""


if __name__ == "__main__":
    main()
