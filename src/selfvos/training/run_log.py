"""What a run writes of its steps: numbers as JSON lines, and numbers and pictures for those who look on."""

from pathlib import Path

from selfvos.models.segmenter import Segmenter
from selfvos.settings import to_dict
from selfvos.training.checkpoint import Position
from selfvos.training.metrics_log import MetricsLog
from selfvos.training.settings import TrainConfig
from selfvos.training.tensorboard_log import TensorBoardLog, draw_clips
from selfvos.training.wandb_log import WandbLog
from selfvos.types import Clip


class RunLog:
    """Metrics, TensorBoard and Weights & Biases of a run, side by side."""

    def __init__(self, run: Path, config: TrainConfig, *, keep_until: int) -> None:
        """Open the files.

        Args:
            run: Folder of the run.
            config: Its settings.
            keep_until: Lines of later steps are removed: they lie beyond the checkpoint.

        Raises:
            MissingExtra, UsageError: See `WandbLog`.
        """
        self._wandb = WandbLog(config.wandb, run, to_dict(config))
        self._metrics = MetricsLog(run / "metrics.jsonl", keep_until=keep_until)
        self._tensorboard = TensorBoardLog(run / "tensorboard")
        self._picture_steps = config.picture_steps

    def record(self, position: Position, losses: dict[str, float], *, seconds: float, rate: float) -> None:
        """Add one step's numbers."""
        facts = {"phase": position.phase, "seconds": round(seconds, 4), "rate": rate}
        self._metrics.write(step=position.total, **facts, **losses)
        numbers = {**losses, "seconds": seconds, "rate": rate}
        self._tensorboard.scalars(position.total, numbers)
        self._wandb.scalars(position.total, numbers)

    def picture(self, position: Position, model: Segmenter, clip: Clip) -> None:
        """Add a picture of what the network sees in a clip, when one is due."""
        looked_at = self._tensorboard.writes or self._wandb.writes
        if looked_at and position.total % self._picture_steps == 0:
            drawn = draw_clips(model, clip)
            self._tensorboard.picture(position.total, drawn)
            self._wandb.picture(position.total, drawn)

    def close(self) -> None:
        """Bring everything to the disk."""
        self._metrics.close()
        self._tensorboard.close()
        self._wandb.close()
