"""Options that several commands share, and what they mean."""

from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from selfvos.cli.completion import completing

Weights = Annotated[
    str,
    typer.Option(
        "--weights",
        "-w",
        help="Name, .safetensors file, folder of a run, or hf://org/name.",
        autocompletion=completing("weights"),
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.", autocompletion=completing("devices"))]
Sets = Annotated[list[str] | None, typer.Option("--set", help="Change a setting, for instance match.top_k=5.")]
Configs = Annotated[
    list[Path] | None,
    typer.Option(
        "--config", help="Settings from a .yaml, .toml or .json file, or several; --set changes them once more."
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(help="Tracker settings by name; see 'selfvos list presets'.", autocompletion=completing("presets")),
]
Quality = Annotated[
    str | None,
    typer.Option(
        help="fast, balanced or best: settings that the weights know for it, in place of a preset.",
        autocompletion=completing("qualities"),
    ),
]
Rounds = Annotated[int | None, typer.Option(help="Refinement rounds; 0 is pure label propagation.")]
Fps = Annotated[float, typer.Option(help="Frames per second of a folder of pictures.")]
Run = Annotated[Path, typer.Option("--out", help="Folder of the run.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where the run stopped, exactly.")]
WeightsFile = Annotated[Path, typer.Option("--out", help="The .safetensors file to write.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Videos = Annotated[list[Path], typer.Option("--videos", help="Folder of videos or frame folders, or one video.")]
Cache = Annotated[Path | None, typer.Option(help="Where decoded videos are kept (default: the user's cache).")]
CacheLimit = Annotated[
    float | None,
    typer.Option("--cache-gb", min=0, help="GiB that decoded videos may take; the longest unused are removed."),
]
Protocol = Annotated[
    str,
    typer.Argument(
        help="Name of the protocol; see 'selfvos list benchmarks'.", autocompletion=completing("benchmarks")
    ),
]
Root = Annotated[Path, typer.Option("--root", help="Folder of the data set.")]


class Changes(NamedTuple):
    """What a person changes about settings; what comes later counts more."""

    files: list[Path] | None = None
    sets: list[str] | None = None
    rounds: int | None = None

    def of(self, config: Any) -> Any:
        """Return settings with these changes."""
        from selfvos import api

        sets = [*(self.sets or []), *([] if self.rounds is None else [f"refine.rounds={self.rounds}"])]
        if self.rounds:
            sets.append("smooth=null")  # what V and D redraw is not smoothed
        return api.change_settings(config, files=self.files or [], sets=sets)


def track_settings(model: Any, preset: str | None, quality: str | None, changes: Changes) -> Any:
    """Return the settings of a preset or a quality, or what the weights recommend, with the caller's changes."""
    from selfvos import api

    return changes.of(api.track_config(model, preset, quality))
