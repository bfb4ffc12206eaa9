"""What the package does, as plain functions: the only place where all floors meet."""

from selfvos.api.catalogue import names, recipe
from selfvos.api.clusters import cluster
from selfvos.api.demo import demo
from selfvos.api.learning import train
from selfvos.api.scoring import evaluate, score
from selfvos.api.tracking import track, track_config, track_to
from selfvos.api.weights import load, pick_device

__all__ = [
    "cluster",
    "demo",
    "evaluate",
    "load",
    "names",
    "pick_device",
    "recipe",
    "score",
    "track",
    "track_config",
    "track_to",
    "train",
]
