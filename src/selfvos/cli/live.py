"""Tracking what is happening now: a camera or a stream."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfvos.cli.console import Watcher, out
from selfvos.errors import BrokenVideo, UsageError


@dataclass(frozen=True, kw_only=True)
class LiveOptions:
    """What a person may say of a live source."""

    source: str
    mask: Any
    """File of the mask, or file and id."""
    drawn_on: Path | None
    segment_minutes: float
    silence_s: float
    last: int | None
    """The last frame to track; None goes on until Ctrl-C."""


def follow_live(model: Any, options: LiveOptions, folder: Path, config: Any) -> dict[str, Any]:
    """Track until the source ends, Ctrl-C or the last frame, and return what there is to say.

    Raises:
        BrokenVideo: Nothing comes from the source.
    """
    from selfvos import api

    with Watcher() as watcher:
        source = api.live_source(options.source, silence_s=options.silence_s, watch=watcher)
        shot = api.LiveShot(
            source=source,
            mask=options.mask,
            drawn_on=options.drawn_on,
            segment_minutes=options.segment_minutes,
            frames=None if options.last is None else options.last + 1,
        )
        frames, objects, begin = 0, set(), time.perf_counter()
        for tracked in api.track_live(model, shot, folder, config=config, watch=watcher):
            frames += 1
            objects |= {state.id for state in tracked.objects}
    seconds = time.perf_counter() - begin
    return {
        "frames": frames,
        "dropped": source.dropped,
        "reconnected": source.reconnected,
        "ended": "silent" if source.partial else "as asked",
        "objects": sorted(objects),
        "seconds": round(seconds, 2),
        "frames_per_second": round(frames / seconds, 2),
        "segments": [str(place) for place in sorted(folder.glob("segment-*"))],
    }


def report_live(facts: dict[str, Any], options: LiveOptions, *, as_json: bool) -> None:
    """Say what was tracked.

    Raises:
        BrokenVideo: It ended since no frame came any more.
    """
    if as_json:
        print(json.dumps(facts))
    else:
        count, places = len(facts["objects"]), facts["segments"]
        out.print(
            f"tracked {count} {'object' if count == 1 else 'objects'} through {facts['frames']} frames in "
            f"{facts['seconds']:.1f} s; {facts['dropped']} came too fast\n"
            f"{len(places)} {'segment' if len(places) == 1 else 'segments'} in {Path(places[0]).parent}"
            if places
            else "stopped before the first frame",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    if facts["ended"] == "silent":
        raise BrokenVideo(
            f"no frame for {options.silence_s:g} s, so tracking ended; all so far is kept (--silence waits longer)"
        )


def refuse(given: dict[str, object]) -> None:
    """Refuse options that mean nothing for what is live.

    Raises:
        UsageError: One was given.
    """
    for name, value in given.items():
        if value:
            raise UsageError(
                f"{name} means nothing for a live source, which begins now and has no frames to go back to"
            )
