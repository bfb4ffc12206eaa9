"""The command that opens the page."""

from pathlib import Path
from typing import Annotated

import typer

from selfvos.cli.console import out
from selfvos.cli.options import Device, Weights
from selfvos.errors import MissingExtra


def web(
    video: Annotated[Path | None, typer.Argument(help="A video to begin a project with.")] = None,
    projects: Annotated[
        Path | None, typer.Option(help="Folder of all projects (default: selfvos/projects in the user's data folder).")
    ] = None,
    root: Annotated[Path, typer.Option(help="Videos are opened from below this folder.")] = Path(),
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but this machine's own needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes any that is free.")] = 8765,
    max_storage: Annotated[float, typer.Option(min=0, help="Uploads that are kept take so many GB at most.")] = 100.0,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    weights: Weights = "default",
    device: Device = "auto",
) -> None:
    """Draw, track, correct and export in a browser.

    Example: `selfvos web dance.mp4`
    """
    try:
        from selfvos.web.serve import serve
    except ImportError as error:
        raise MissingExtra('the page needs a web server; run: pip install "selfvos[web]"') from error
    from selfvos.web.settings import WebConfig, projects_folder

    config = WebConfig(
        projects=projects or projects_folder(),
        root=root,
        host=host,
        port=port,
        weights=weights,
        device=device,
        most_stored_bytes=round(max_storage * 1e9),
    )

    def ready(address: str) -> None:
        out.print(f"open {address}\nstop with Ctrl-C", highlight=False, soft_wrap=True)
        if browser:
            import webbrowser

            webbrowser.open(address)

    serve(config, ready, video)
