import shlex
import subprocess

import pytest
from typer.testing import CliRunner

from selfvos.api.slurm import SlurmJob, slurm_script
from selfvos.cli import app
from selfvos.errors import UsageError
from selfvos.recipes import mask_vos_resnet18

ODD = "videos of 'mine' $(touch x)"


def script(*more):
    arguments = ["slurm", "mask_vos_resnet18", "--videos", ODD, "--out", "runs/a", *more]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_bash_reads_the_script_and_runs_the_training_as_it_was_asked_for(tmp_path):
    """`srun`, `scontrol` and `torchrun` are stand-ins here that tell what they were called with."""
    text = script("--nodes", "2", "--gpus", "4", "--set", "seed=7", "--partition", "long")
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, does in {"srun": 'printf "%s\\n" "$@"', "scontrol": "echo node7; echo node8"}.items():
        (tools / name).write_text(f"#!/bin/sh\n{does}\n")
        (tools / name).chmod(0o755)
    environment = {"PATH": f"{tools}:/usr/bin:/bin", "SLURM_JOB_NODELIST": "node[7-8]", "SLURM_JOB_ID": "41003"}
    ran = subprocess.run(
        ["bash"], input=text, text=True, check=True, capture_output=True, env=environment, cwd=tmp_path
    )
    words = ran.stdout.splitlines()
    assert words[:4] == ["torchrun", "--nnodes=2", "--nproc-per-node=4", "--max-restarts=3"]
    assert "--rdzv-endpoint=node7:21003" in words
    training = f"selfvos train mask_vos_resnet18 --videos {shlex.quote(ODD)} --out runs/a --resume --set seed=7"
    assert words[words.index("--no-python") + 1 :] == shlex.split(training)
    assert not (tmp_path / "x").exists()


def test_what_is_asked_of_the_cluster_is_above_the_first_command():
    text = script("--nodes", "2", "--gpus", "4", "--hours", "3", "--partition", "long")
    asked = [line for line in text.split("set -euo")[0].splitlines() if line.startswith("#SBATCH")]
    assert {"#SBATCH --nodes=2", "#SBATCH --gpus-per-node=4", "#SBATCH --time=3:00:00"} <= set(asked)
    assert {"#SBATCH --partition=long", "#SBATCH --requeue", "#SBATCH --signal=TERM@120"} <= set(asked)
    assert text.count("#SBATCH") == len(asked)


def test_more_processes_than_clips_are_refused_before_anything_is_queued():
    with pytest.raises(UsageError, match=r"16 processes for 12 clips.*joint.batch_clips=16"):
        slurm_script(["selfvos"], mask_vos_resnet18(), SlurmJob(nodes=4, gpus=4))
    with pytest.raises(UsageError, match="gpus must be at least 1"):
        SlurmJob(gpus=0)
