"""Commands about data sets: data check, data pack, data validate."""

from pathlib import Path
from typing import Annotated

import typer

from selfvos.cli.console import Watcher, print_report
from selfvos.cli.options import AsJson, Protocol, Root

data = typer.Typer(
    no_args_is_help=True,
    help="Look through data sets, and make results ready for their servers.\n\n"
    "Example: `selfvos data check davis-2017-val --root DAVIS`",
)


@data.command("check")
def data_check(benchmark: Protocol, root: Root, *, as_json: AsJson = False) -> None:
    """Look at every file that a benchmark needs; each fault is one line and makes the exit status 3.

    Example: `selfvos data check davis-2017-val --root DAVIS`
    """
    from selfvos import api

    with Watcher() as watcher:
        found = api.check_dataset(benchmark, root=root, watch=watcher)
    print_report(found, as_json=as_json)
    if found.faults:
        raise typer.Exit(3)


@data.command("pack")
def data_pack(
    results: Annotated[Path, typer.Argument(help="Folder with VIDEO/FRAME.png, from any method.")],
    benchmark: Protocol,
    root: Root,
    archive: Annotated[Path, typer.Option("--out", help="The zip to write.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Pack results into the archive that the official server takes, and validate it.

    Example: `selfvos data pack result/masks youtube-vos-2019-valid --root YouTubeVOS --out submission.zip`
    """
    from selfvos import api

    with Watcher() as watcher:
        packed = api.pack_results(results, benchmark, root=root, out=archive, watch=watcher)
    print_report(packed, as_json=as_json)


@data.command("validate")
def data_validate(
    archive: Annotated[Path, typer.Argument(help="The zip that is to be submitted.")],
    benchmark: Protocol,
    root: Root,
    *,
    as_json: AsJson = False,
) -> None:
    """Make sure that the official server can score an archive, whoever packed it.

    Example: `selfvos data validate submission.zip youtube-vos-2019-valid --root YouTubeVOS`
    """
    from selfvos import api

    with Watcher() as watcher:
        checked = api.validate_archive(archive, benchmark, root=root, watch=watcher)
    print_report(checked, as_json=as_json)
