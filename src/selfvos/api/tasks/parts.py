"""Body parts by their masks: mean IoU over the classes."""

from collections.abc import Mapping
from pathlib import Path

from selfvos.api.tasks.base import TASKS
from selfvos.api.tasks.mask_following import MaskFollowing
from selfvos.data.benchmarks.base import Benchmark
from selfvos.evaluation.parts import score_parts
from selfvos.evaluation.report import Report
from selfvos.types import Watch


class Parts(MaskFollowing):
    """Parts, whose ids are classes and of which a video need not show all."""

    def score(self, benchmark: Benchmark, results: Path, provenance: Mapping[str, str | float], watch: Watch) -> Report:
        """Score the mean IoU."""
        return score_parts(benchmark, results, provenance, watch=watch)


TASKS.register("parts")(Parts())
