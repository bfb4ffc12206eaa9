"""Figures and pictures of what lies behind a table, for as much of it as its runs have left behind."""

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from selfvos import api
from selfvos.data.overlay import contact_sheet
from selfvos.evaluation.report import plain
from selfvos.experiments import plots
from selfvos.experiments.ablation import Ablation
from selfvos.experiments.findings import RoundOfDecoding, describe_decoding, describe_rounds
from selfvos.experiments.planning import Plan
from selfvos.experiments.runs import BenchmarkAt
from selfvos.models.weights import digest
from selfvos.settings import to_dict
from selfvos.storage import write_text
from selfvos.tracking.system import MEMORY, system_name
from selfvos.training.pseudo_masks import PseudoMasks, stored_rounds
from selfvos.training.settings import TrainConfig
from selfvos.types import Watch, go_on

Figures = dict[str, tuple[bytes, str]]
"""By name of the file: a PNG and what it shows."""
_ROUNDS = 3
_PICTURED = 3
_WIDTH_PX = 200


def draw(
    found: Ablation, asked: Plan, shown: Mapping[str, str], benchmark: BenchmarkAt, out: Path, watch: Watch
) -> Figures:
    """Draw errors over time, pseudo masks over training, and masks over refinement rounds.

    Args:
        found: The table.
        asked: Its plan.
        shown: By row: the system of its first seed that succeeded.
        benchmark: What was tracked.
        out: Folder of the ablation; ``diagnostics.json`` goes into it.
        watch: Told of each figure; see `Watch`.
    """
    watch.tell("diagnostics", 0, 3)
    go_on(watch)
    about = "J by the number of the frame: a line that falls shows errors that add up."
    figures: Figures = {"errors": (plots.over_frames(found), about)}
    facts: dict[str, object] = {
        "by_frame": {row: plots.by_frame(report).tolist() for row, report in found.comparison.reports.items()}
    }
    watch.tell("diagnostics", 1, 3)
    go_on(watch)
    rounds = {row: describe_rounds(masks, config) for row, (masks, config) in _rounds_by_row(asked, shown).items()}
    if rounds:
        facts["pseudo_masks"] = {row: [asdict(one) for one in each] for row, each in rounds.items()}
        about = "Pseudo masks over training: agreement between rounds, size and compactness of clusters."
        figures["pseudo_masks"] = plots.pseudo_masks(rounds, found), about
    watch.tell("diagnostics", 2, 3)
    go_on(watch)
    decoded = _decoding(asked, shown[found.against], benchmark, out, watch)
    if decoded:
        facts["decoding"] = decoded
        steps = [RoundOfDecoding(**_defined(one)) for one in decoded["rounds"]]
        figures["decoding"] = (
            plots.refinement(steps),
            f"What each round does to the masks of a frame ({found.against}).",
        )
    write_text(out / "diagnostics.json", json.dumps(plain(facts), indent=1) + "\n")
    watch.tell("diagnostics", 3, 3)
    return figures


def cluster_pictures(asked: Plan, shown: Mapping[str, str]) -> list[tuple[str, bytes]]:
    """Draw the clusters of some training videos as the last round of each row has them.

    Returns:
        Name of the video and a JPEG of it, for each.
    """
    rows = _rounds_by_row(asked, shown)
    if not rows:
        return []
    last = {row: masks[-1] for row, (masks, _) in rows.items()}
    first = next(iter(last.values()))
    common = [one.video for one in first.frame_ranges if all(_of(masks, one.video) for masks in last.values())]
    video_cache = _library(asked, next(iter(last)))
    return [
        (video_cache.videos[video].name, _sheet(video_cache.videos[video], video, last)) for video in common[:_PICTURED]
    ]


def _rounds_by_row(asked: Plan, shown: Mapping[str, str]) -> dict[str, tuple[list[PseudoMasks], TrainConfig]]:
    """Return the rounds of pseudo masks of each row that made any, and the settings of its training."""
    rows = {}
    for row, name in shown.items():
        step = asked.steps[name]
        if step.run and step.training and row not in asked.same and (step.run / "pseudo_masks").is_dir():
            masks = stored_rounds(step.run / "pseudo_masks", _library(asked, row))
            rows[row] = masks, step.training
    return {row: found for row, found in rows.items() if found[0]}


def _library(asked: Plan, row: str):
    training = asked.steps[asked.seeds[row][0].name].training
    assert training is not None
    return api.open_video_cache(list(asked.budget.videos), training, cache=asked.budget.cache)


def _decoding(asked: Plan, name: str, benchmark: BenchmarkAt, out: Path, watch: Watch) -> dict[str, Any] | None:
    """Return what each round does to a mask, from an earlier call where nothing has changed since."""
    step = asked.steps[name]
    system = next(system for system in asked.systems if system.name == name)
    model = api.load(step.run or system.source, device=asked.budget.device)
    config = system.tracking(model, asked.budget.track)
    if not config.refine.rounds or system_name(model, config) != MEMORY:
        return None
    key = {"weights": digest(model.state_dict()), "benchmark": benchmark.name, "track": to_dict(config)}
    place = out / "diagnostics.json"
    before = json.loads(place.read_text()).get("decoding") if place.is_file() else None
    if before and before["asked"] == key:
        return before
    refine = replace(config.refine, rounds=max(config.refine.rounds, _ROUNDS))
    rounds = describe_decoding(model, replace(config, refine=refine), benchmark.open().videos, watch=watch)
    return plain({"asked": key, "rounds": [asdict(one) for one in rounds]})


def _defined(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Return numbers that were read from JSON, which has none for what is undefined."""
    return {name: float("nan") if value is None else value for name, value in numbers.items()}


def _of(masks: PseudoMasks, video: int):
    return next((frame_range for frame_range in masks.frame_ranges if frame_range.video == video), None)


def _sheet(cached, video: int, rows: Mapping[str, PseudoMasks]) -> bytes:
    """Draw the middle frame that a video's clusters cover, and these clusters by row."""
    pictures, labels = [], []
    for row, masks in rows.items():
        frame_range = _of(masks, video)
        assert frame_range is not None
        middle = frame_range.length // 2
        frame = cached.frame(frame_range.start + middle)
        if not pictures:
            pictures.append(_reduced(frame))
            labels.append(f"frame {frame_range.start + middle}")
        pictures.append(_reduced(api.tint(frame, masks.maps(frame_range)[middle])))
        labels.append(row)
    file = io.BytesIO()
    sheet = contact_sheet(pictures, columns=6, labels=labels)
    Image.fromarray(sheet).save(file, "JPEG", quality=85)
    return file.getvalue()


def _reduced(rgb: UInt8[np.ndarray, "y x 3"]) -> UInt8[np.ndarray, "_y _x 3"]:
    height, width = rgb.shape[:2]
    size = (_WIDTH_PX, max(1, round(height * _WIDTH_PX / width)))
    return np.array(Image.fromarray(rgb).resize(size, Image.Resampling.BILINEAR))
