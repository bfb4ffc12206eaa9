"""What a run writes of its steps: numbers as JSON lines, and numbers and pictures for TensorBoard."""

from pathlib import Path

from selfvos.models.segmenter import Segmenter
from selfvos.training.checkpoint import Position
from selfvos.training.metrics_log import MetricsLog
from selfvos.training.tensorboard_log import TensorBoardLog
from selfvos.types import Clip


class RunLog:
    """Metrics and TensorBoard of a run, side by side."""

    def __init__(self, run: Path, *, keep_until: int, picture_steps: int) -> None:
        """Open the files.

        Args:
            run: Folder of the run.
            keep_until: Lines of later steps are removed: they lie beyond the checkpoint.
            picture_steps: Steps between pictures.
        """
        self._metrics = MetricsLog(run / "metrics.jsonl", keep_until=keep_until)
        self._tensorboard = TensorBoardLog(run / "tensorboard")
        self._picture_steps = picture_steps

    def record(self, position: Position, losses: dict[str, float], *, seconds: float, rate: float) -> None:
        """Add one step's numbers."""
        facts = {"phase": position.phase, "seconds": round(seconds, 4), "rate": rate}
        self._metrics.write(step=position.total, **facts, **losses)
        self._tensorboard.scalars(position.total, {**losses, "seconds": seconds, "rate": rate})

    def picture(self, position: Position, model: Segmenter, clip: Clip) -> None:
        """Add a picture of what the network sees in a clip, when one is due."""
        if position.total % self._picture_steps == 0:
            self._tensorboard.pictures(model, clip, position.total)

    def close(self) -> None:
        """Bring everything to the disk."""
        self._metrics.close()
        self._tensorboard.close()
