"""The command that writes a script for a cluster."""

from pathlib import Path
from typing import Annotated

import typer

from selfvos.cli.options import Cache, Changes, Configs, Sets, Videos


def slurm(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe; see 'selfvos list recipes'.")],
    videos: Videos,
    folder: Annotated[Path, typer.Option("--out", help="Folder of the run, seen by all nodes.")],
    configs: Configs = None,
    sets: Sets = None,
    nodes: Annotated[int, typer.Option(help="Machines.")] = 1,
    gpus: Annotated[int, typer.Option(help="Graphics cards of each machine; one process for each.")] = 1,
    cpus: Annotated[int, typer.Option(help="Processor cores for each process.")] = 8,
    hours: Annotated[int, typer.Option(help="Longest time, in hours.")] = 24,
    partition: Annotated[str, typer.Option(help="Partition of the cluster.")] = "",
    cache: Cache = None,
) -> None:
    """Print a script that trains on a SLURM cluster and goes on from the last checkpoint after a failure.

    Example: `selfvos slurm mask_vos_resnet18 --videos videos/ --out runs/a --nodes 2 --gpus 4 | sbatch`
    """
    from selfvos import api
    from selfvos.api.slurm import SlurmJob, slurm_script

    command = ["selfvos", "train", recipe]
    for path in videos:
        command += ["--videos", str(path)]
    command += ["--out", str(folder), "--resume"]
    for file in configs or []:
        command += ["--config", str(file.absolute())]
    for change in sets or []:
        command += ["--set", change]
    if cache:
        command += ["--cache", str(cache)]
    job = SlurmJob(nodes=nodes, gpus=gpus, cpus=cpus, hours=hours, partition=partition)
    print(slurm_script(command, Changes(configs, sets).of(api.recipe(recipe)), job), end="")
