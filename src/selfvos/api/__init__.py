"""What the package does, as plain functions: the only place where all floors meet."""

from selfvos.api.benchmark_runs import track_together
from selfvos.api.catalogue import names, open_benchmark, recipe
from selfvos.api.clusters import cluster, tint
from selfvos.api.conversion import convert
from selfvos.api.datasets import check_dataset, pack_results, validate_archive
from selfvos.api.demo import demo
from selfvos.api.learning import adapt, open_video_cache, train
from selfvos.api.scoring import evaluate, flat_settings, protocol_config, score, score_together
from selfvos.api.tracking import track, track_config, track_to
from selfvos.api.weights import load, pick_device
from selfvos.tracking.system import make_tracker

__all__ = [
    "adapt",
    "check_dataset",
    "cluster",
    "convert",
    "demo",
    "evaluate",
    "flat_settings",
    "load",
    "make_tracker",
    "names",
    "open_benchmark",
    "open_video_cache",
    "pack_results",
    "pick_device",
    "protocol_config",
    "recipe",
    "score",
    "score_together",
    "tint",
    "track",
    "track_config",
    "track_to",
    "track_together",
    "train",
    "validate_archive",
]
