"""What the package does, as plain functions: the only place where all floors meet.

Each name is loaded when it is first used: who lists videos or reads tracks loads no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfvos.api.affinity import PixelMatches as PixelMatches
    from selfvos.api.affinity import find_matches as find_matches
    from selfvos.api.benchmark_runs import track_together as track_together
    from selfvos.api.catalogue import names as names
    from selfvos.api.catalogue import open_benchmark as open_benchmark
    from selfvos.api.catalogue import recipe as recipe
    from selfvos.api.clusters import cluster as cluster
    from selfvos.api.clusters import clustering as clustering
    from selfvos.api.clusters import tint as tint
    from selfvos.api.conversion import convert as convert
    from selfvos.api.datasets import check_dataset as check_dataset
    from selfvos.api.datasets import pack_results as pack_results
    from selfvos.api.datasets import pack_videos as pack_videos
    from selfvos.api.datasets import validate_archive as validate_archive
    from selfvos.api.demonstration import demo as demo
    from selfvos.api.discovery import discover as discover
    from selfvos.api.exporting import Choice as Choice
    from selfvos.api.exporting import check_export as check_export
    from selfvos.api.exporting import estimate as estimate
    from selfvos.api.exporting import export as export
    from selfvos.api.exporting import export_place as export_place
    from selfvos.api.exporting import import_track as import_track
    from selfvos.api.exporting import read_track as read_track
    from selfvos.api.frames import save_frame as save_frame
    from selfvos.api.given_masks import MaskFile as MaskFile
    from selfvos.api.importing import import_project as import_project
    from selfvos.api.joining import join as join
    from selfvos.api.learning import adapt as adapt
    from selfvos.api.learning import adaptation as adaptation
    from selfvos.api.learning import open_video_cache as open_video_cache
    from selfvos.api.learning import train as train
    from selfvos.api.live_tracking import LiveShot as LiveShot
    from selfvos.api.live_tracking import live_source as live_source
    from selfvos.api.live_tracking import track_live as track_live
    from selfvos.api.overlays import draw_overlays as draw_overlays
    from selfvos.api.project_learning import LearningPlan as LearningPlan
    from selfvos.api.project_learning import learn_from as learn_from
    from selfvos.api.project_tracking import matches_in_project as matches_in_project
    from selfvos.api.project_tracking import outline_in_project as outline_in_project
    from selfvos.api.project_tracking import track_project as track_project
    from selfvos.api.projects import can_be_video as can_be_video
    from selfvos.api.projects import export_choices as export_choices
    from selfvos.api.projects import export_project as export_project
    from selfvos.api.projects import export_size as export_size
    from selfvos.api.projects import plan_filling as plan_filling
    from selfvos.api.projects import plan_tracking as plan_tracking
    from selfvos.api.run_lengths import MaskRow as MaskRow
    from selfvos.api.run_lengths import mask_of_row as mask_of_row
    from selfvos.api.run_lengths import mask_rows as mask_rows
    from selfvos.api.sam2 import VideoPredictor as VideoPredictor
    from selfvos.api.sam2 import build_sam2_video_predictor as build_sam2_video_predictor
    from selfvos.api.scoring import evaluate as evaluate
    from selfvos.api.scoring import flat_settings as flat_settings
    from selfvos.api.scoring import protocol_config as protocol_config
    from selfvos.api.scoring import score as score
    from selfvos.api.scoring import score_together as score_together
    from selfvos.api.settings_files import change_settings as change_settings
    from selfvos.api.span import Span as Span
    from selfvos.api.threads import use_threads as use_threads
    from selfvos.api.tracking import Shot as Shot
    from selfvos.api.tracking import track as track
    from selfvos.api.tracking import track_config as track_config
    from selfvos.api.tracking import track_to as track_to
    from selfvos.api.training_check import check_videos as check_videos
    from selfvos.api.weights import load as load
    from selfvos.api.weights import pick_device as pick_device
    from selfvos.api.weights import push_weights as push_weights
    from selfvos.api.weights import weights_digest as weights_digest
    from selfvos.api.weights import weights_file as weights_file
    from selfvos.data.apart import open_apart as open_apart
    from selfvos.data.sample import demo_clip as demo_clip
    from selfvos.data.sample import demo_mask as demo_mask
    from selfvos.data.source import open_source as open_source
    from selfvos.data.streams import is_live as is_live
    from selfvos.data.track_reader import open_track as open_track
    from selfvos.projects.project import Project as Project
    from selfvos.tracking.system import make_tracker as make_tracker

_HOMES = {
    "Choice": "selfvos.api.exporting",
    "LiveShot": "selfvos.api.live_tracking",
    "LearningPlan": "selfvos.api.project_learning",
    "MaskFile": "selfvos.api.given_masks",
    "MaskRow": "selfvos.api.run_lengths",
    "PixelMatches": "selfvos.api.affinity",
    "Project": "selfvos.projects.project",
    "Shot": "selfvos.api.tracking",
    "Span": "selfvos.api.span",
    "VideoPredictor": "selfvos.api.sam2",
    "adapt": "selfvos.api.learning",
    "adaptation": "selfvos.api.learning",
    "build_sam2_video_predictor": "selfvos.api.sam2",
    "can_be_video": "selfvos.api.projects",
    "change_settings": "selfvos.api.settings_files",
    "check_dataset": "selfvos.api.datasets",
    "check_export": "selfvos.api.exporting",
    "check_videos": "selfvos.api.training_check",
    "cluster": "selfvos.api.clusters",
    "clustering": "selfvos.api.clusters",
    "convert": "selfvos.api.conversion",
    "demo": "selfvos.api.demonstration",
    "demo_clip": "selfvos.data.sample",
    "discover": "selfvos.api.discovery",
    "demo_mask": "selfvos.data.sample",
    "draw_overlays": "selfvos.api.overlays",
    "estimate": "selfvos.api.exporting",
    "evaluate": "selfvos.api.scoring",
    "export": "selfvos.api.exporting",
    "export_choices": "selfvos.api.projects",
    "export_place": "selfvos.api.exporting",
    "export_project": "selfvos.api.projects",
    "export_size": "selfvos.api.projects",
    "find_matches": "selfvos.api.affinity",
    "flat_settings": "selfvos.api.scoring",
    "import_project": "selfvos.api.importing",
    "import_track": "selfvos.api.exporting",
    "is_live": "selfvos.data.streams",
    "live_source": "selfvos.api.live_tracking",
    "join": "selfvos.api.joining",
    "learn_from": "selfvos.api.project_learning",
    "load": "selfvos.api.weights",
    "make_tracker": "selfvos.tracking.system",
    "mask_of_row": "selfvos.api.run_lengths",
    "mask_rows": "selfvos.api.run_lengths",
    "matches_in_project": "selfvos.api.project_tracking",
    "names": "selfvos.api.catalogue",
    "open_benchmark": "selfvos.api.catalogue",
    "open_apart": "selfvos.data.apart",
    "open_source": "selfvos.data.source",
    "open_track": "selfvos.data.track_reader",
    "open_video_cache": "selfvos.api.learning",
    "outline_in_project": "selfvos.api.project_tracking",
    "pack_results": "selfvos.api.datasets",
    "pack_videos": "selfvos.api.datasets",
    "pick_device": "selfvos.api.weights",
    "plan_filling": "selfvos.api.projects",
    "plan_tracking": "selfvos.api.projects",
    "protocol_config": "selfvos.api.scoring",
    "push_weights": "selfvos.api.weights",
    "read_track": "selfvos.api.exporting",
    "recipe": "selfvos.api.catalogue",
    "save_frame": "selfvos.api.frames",
    "score": "selfvos.api.scoring",
    "score_together": "selfvos.api.scoring",
    "tint": "selfvos.api.clusters",
    "track": "selfvos.api.tracking",
    "track_config": "selfvos.api.tracking",
    "track_live": "selfvos.api.live_tracking",
    "track_project": "selfvos.api.project_tracking",
    "track_to": "selfvos.api.tracking",
    "track_together": "selfvos.api.benchmark_runs",
    "train": "selfvos.api.learning",
    "use_threads": "selfvos.api.threads",
    "validate_archive": "selfvos.api.datasets",
    "weights_digest": "selfvos.api.weights",
    "weights_file": "selfvos.api.weights",
}

__all__ = [
    "Choice",
    "LearningPlan",
    "LiveShot",
    "MaskFile",
    "MaskRow",
    "PixelMatches",
    "Project",
    "Shot",
    "Span",
    "VideoPredictor",
    "adapt",
    "adaptation",
    "build_sam2_video_predictor",
    "can_be_video",
    "change_settings",
    "check_dataset",
    "check_export",
    "check_videos",
    "cluster",
    "clustering",
    "convert",
    "demo",
    "demo_clip",
    "demo_mask",
    "discover",
    "draw_overlays",
    "estimate",
    "evaluate",
    "export",
    "export_choices",
    "export_place",
    "export_project",
    "export_size",
    "find_matches",
    "flat_settings",
    "import_project",
    "import_track",
    "is_live",
    "join",
    "learn_from",
    "live_source",
    "load",
    "make_tracker",
    "mask_of_row",
    "mask_rows",
    "matches_in_project",
    "names",
    "open_apart",
    "open_benchmark",
    "open_source",
    "open_track",
    "open_video_cache",
    "outline_in_project",
    "pack_results",
    "pack_videos",
    "pick_device",
    "plan_filling",
    "plan_tracking",
    "protocol_config",
    "push_weights",
    "read_track",
    "recipe",
    "save_frame",
    "score",
    "score_together",
    "tint",
    "track",
    "track_config",
    "track_live",
    "track_project",
    "track_to",
    "track_together",
    "train",
    "use_threads",
    "validate_archive",
    "weights_digest",
    "weights_file",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'selfvos.api' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
