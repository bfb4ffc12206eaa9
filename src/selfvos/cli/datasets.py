"""Commands about data sets: data check, data pack, data shards, data validate."""

from pathlib import Path
from typing import Annotated

import typer

from selfvos.cli.completion import completing
from selfvos.cli.console import Watcher, print_report
from selfvos.cli.options import AsJson, Changes, Configs, Protocol, Root, Sets
from selfvos.errors import UsageError

data = typer.Typer(
    no_args_is_help=True,
    help="Look through data sets, and make results ready for their servers.\n\n"
    "Example: `selfvos data check davis-2017-val --root DAVIS`",
)


@data.command("check")
def data_check(
    what: Annotated[
        str,
        typer.Argument(
            metavar="BENCHMARK|FOLDER",
            help="Name of a protocol, with --root; or a folder of videos to learn from.",
            autocompletion=completing("benchmarks"),
        ),
    ],
    root: Annotated[Path | None, typer.Option(help="Folder of the data set, for a benchmark.")] = None,
    recipe: Annotated[
        str, typer.Option(help="Whose clips a folder of videos is held against.", autocompletion=completing("recipes"))
    ] = "mask_vos_resnet18",
    configs: Configs = None,
    sets: Sets = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Look at every file of a benchmark, or at every frame of videos to learn from; faults make the exit status 3.

    Of videos it tells which are broken or too short, and which are tiny, still, break off, or are there twice.

    Example: `selfvos data check davis-2017-val --root DAVIS`, or `selfvos data check videos/`
    """
    from selfvos import api

    with Watcher() as watcher:
        if root is not None:
            found = api.check_dataset(what, root=root, watch=watcher)
        else:
            if what in api.names("benchmarks") and not Path(what).exists():
                raise UsageError(f"where is {what}? give its folder by --root")
            clips = Changes(configs, sets).of(api.recipe(recipe)).clips
            found = api.check_videos(what, clips=clips, watch=watcher)
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


@data.command("shards")
def data_shards(
    videos: Annotated[Path, typer.Argument(help="Folder of video files.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder that the shards go to.")],
    shard_gb: Annotated[float, typer.Option(min=0.000001, help="GiB of a shard.")] = 1.0,
    *,
    as_json: AsJson = False,
) -> None:
    """Pack videos to learn from into WebDataset shards with an index; `--videos 'shards/*.tar'` reads them.

    Example: `selfvos data shards videos/ --out shards`
    """
    from selfvos import api

    with Watcher() as watcher:
        packed = api.pack_videos(videos, folder, shard_gb=shard_gb, watch=watcher)
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
