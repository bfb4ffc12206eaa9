"""What the package does, as plain functions: the only place where all floors meet."""

from selfvos.api.catalogue import names, recipe
from selfvos.api.clusters import cluster
from selfvos.api.conversion import convert
from selfvos.api.datasets import check_dataset, pack_results, validate_archive
from selfvos.api.demo import demo
from selfvos.api.learning import adapt, train
from selfvos.api.scoring import evaluate, protocol_config, score, score_together
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
    "load",
    "make_tracker",
    "names",
    "pack_results",
    "pick_device",
    "protocol_config",
    "recipe",
    "score",
    "score_together",
    "track",
    "track_config",
    "track_to",
    "train",
    "validate_archive",
]
