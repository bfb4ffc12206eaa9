"""Objects by their masks: region similarity J and boundary accuracy F."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from selfvos.api.tasks.base import TASKS
from selfvos.api.tasks.mask_following import MaskFollowing
from selfvos.data.benchmarks.base import Benchmark, LabelledVideo
from selfvos.data.submissions import spell
from selfvos.errors import DataError
from selfvos.evaluation.protocols import score_results
from selfvos.evaluation.report import Report, data_hash, results_hash, summarise
from selfvos.types import Watch


class Masks(MaskFollowing):
    """Objects, each with an id, scored one by one."""

    def score(self, benchmark: Benchmark, results: Path, provenance: Mapping[str, str | float], watch: Watch) -> Report:
        """Score J and F of every object."""
        series = score_results(benchmark, results, watch=watch)
        hashes = {"data": data_hash(benchmark), "results": results_hash(benchmark, results)}
        return summarise(benchmark, series, {**hashes, **provenance})

    def faults(self, video: LabelledVideo) -> Iterator[str]:
        """Yield which objects no given mask shows."""
        shown: set[int] = set()
        for name in video.given:
            try:
                shown |= set(np.unique(video.given_mask(name)).tolist())
            except DataError as error:
                yield str(error)
                return
        absent = [str(id) for id in video.objects if id not in shown]
        if absent:
            yield f"{video.name}: no given mask shows object {', '.join(absent)} of {spell(video.objects)}: ids jump"


TASKS.register("masks")(Masks())
