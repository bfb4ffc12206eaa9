"""Options that several commands share, and what they mean."""

from pathlib import Path
from typing import Annotated, Any

import typer

from selfvos.cli.completion import completing

Weights = Annotated[
    str,
    typer.Option(
        "--weights", "-w", help="Name, .safetensors file, or folder of a run.", autocompletion=completing("weights")
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.", autocompletion=completing("devices"))]
Sets = Annotated[list[str] | None, typer.Option("--set", help="Change a setting, for instance match.top_k=5.")]
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
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Videos = Annotated[list[Path], typer.Option("--videos", help="Folder of videos or frame folders, or one video.")]
Cache = Annotated[Path | None, typer.Option(help="Where decoded videos are kept (default: the user's cache).")]
Protocol = Annotated[
    str,
    typer.Argument(
        help="Name of the protocol; see 'selfvos list benchmarks'.", autocompletion=completing("benchmarks")
    ),
]
Root = Annotated[Path, typer.Option("--root", help="Folder of the data set.")]


def track_settings(
    model: Any, preset: str | None, rounds: int | None, sets: list[str] | None, quality: str | None = None
) -> Any:
    """Return the settings of a preset or a quality, or what the weights recommend, with the caller's changes."""
    from selfvos import api

    return change_settings(api.track_config(model, preset, quality), rounds, sets)


def change_settings(config: Any, rounds: int | None, sets: list[str] | None) -> Any:
    """Return settings with `--set` and `--rounds` applied."""
    from selfvos.settings import override

    return override(config, [*(sets or []), *([] if rounds is None else [f"refine.rounds={rounds}"])])
