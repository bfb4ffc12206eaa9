"""The script that hands a training to SLURM: torchrun on every node, started again from the last checkpoint."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from selfvos.errors import UsageError
from selfvos.training.settings import TrainConfig

_RESTARTS = 3
_NOTICE_SECONDS = 120
"""What SLURM warns before it ends a job: enough for a checkpoint."""


@dataclass(frozen=True, kw_only=True)
class SlurmJob:
    """What is asked of the cluster."""

    nodes: int = 1
    """Machines, at least 1."""
    gpus: int = 1
    """Processes on each machine, one for each of its graphics cards; at least 1."""
    cpus: int = 8
    """Processor cores for each process, at least 1: they decode clips."""
    hours: int = 24
    """Longest time, in hours, at least 1."""
    partition: str = ""
    """Name of the partition; empty takes the cluster's default."""

    def __post_init__(self) -> None:
        for name in ("nodes", "gpus", "cpus", "hours"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)}")


def slurm_script(command: Sequence[str], config: TrainConfig, job: SlurmJob) -> str:
    """Return a script for ``sbatch``.

    Args:
        command: The training, as words of a command line; it has to bear ``--resume``.
        config: Its settings.
        job: What is asked of the cluster.

    Raises:
        UsageError: A step has fewer clips than there are processes.
    """
    processes = job.nodes * job.gpus
    for name, phase in (("warmup", config.warmup), ("joint", config.joint)):
        if phase.epochs and phase.batch_clips < processes:
            raise UsageError(
                f"{processes} processes for {phase.batch_clips} clips of a step: ask for fewer, "
                f"or --set {name}.batch_clips={processes}"
            )
    partition = [f"#SBATCH --partition={shlex.quote(job.partition)}"] if job.partition else []
    lines = [
        "#!/bin/bash",
        "#SBATCH --job-name=selfvos",
        f"#SBATCH --nodes={job.nodes}",
        "#SBATCH --ntasks-per-node=1",
        f"#SBATCH --gpus-per-node={job.gpus}",
        f"#SBATCH --cpus-per-task={job.cpus * job.gpus}",
        f"#SBATCH --time={job.hours}:00:00",
        *partition,
        "#SBATCH --output=%x-%j.log",
        "# A run that is preempted, or whose node fails, is queued again and goes on from its last checkpoint.",
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
        f"#SBATCH --signal=TERM@{_NOTICE_SECONDS}",
        "set -euo pipefail",
        'head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p)',
        "port=$((20000 + SLURM_JOB_ID % 20000))",
        "exec srun torchrun \\",
        f"  --nnodes={job.nodes} --nproc-per-node={job.gpus} --max-restarts={_RESTARTS} \\",
        '  --rdzv-backend=c10d --rdzv-id="$SLURM_JOB_ID" --rdzv-endpoint="$head:$port" \\',
        f"  --no-python {shlex.join(command)}",
    ]
    return "\n".join(lines) + "\n"
