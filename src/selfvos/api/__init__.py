"""What the package does, as plain functions: the only place where all floors meet."""

from selfvos.api.benchmark_runs import track_together
from selfvos.api.catalogue import names, recipe
from selfvos.api.clusters import cluster, tint
from selfvos.api.conversion import convert
from selfvos.api.datasets import check_dataset, pack_results, validate_archive
from selfvos.api.demo import demo
from selfvos.api.exporting import Choice, check_export, estimate, export, export_place, import_track, read_track
from selfvos.api.given_masks import MaskFile
from selfvos.api.learning import adapt, open_video_cache, train
from selfvos.api.scoring import evaluate, flat_settings, protocol_config, score, score_together
from selfvos.api.span import Span
from selfvos.api.threads import use_threads
from selfvos.api.tracking import Shot, track, track_config, track_to
from selfvos.api.weights import load, pick_device
from selfvos.data.track_reader import open_track
from selfvos.tracking.system import make_tracker

__all__ = [
    "Choice",
    "MaskFile",
    "Shot",
    "Span",
    "adapt",
    "check_dataset",
    "check_export",
    "cluster",
    "convert",
    "demo",
    "estimate",
    "evaluate",
    "export",
    "export_place",
    "flat_settings",
    "import_track",
    "load",
    "make_tracker",
    "names",
    "open_track",
    "open_video_cache",
    "pack_results",
    "pick_device",
    "protocol_config",
    "read_track",
    "recipe",
    "score",
    "score_together",
    "tint",
    "track",
    "track_config",
    "track_to",
    "track_together",
    "train",
    "use_threads",
    "validate_archive",
]
