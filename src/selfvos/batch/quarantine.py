"""Videos that are left alone: with the reason, how often they were tried, and where a bug comes from."""

import json
from dataclasses import asdict
from typing import Any

from selfvos.batch.job import Outcome
from selfvos.batch.manifest import Row
from selfvos.batch.store import Store

FOLDER = "quarantine"


def isolate(store: Store, row: Row, outcome: Outcome) -> None:
    """Write down why a video is not tried again: ``quarantine/<key>.json``, with a traceback beside it for a bug.

    Who removes the file has the video tried anew by the next batch.
    """
    about = {
        "name": row.name,
        "video": row.video,
        "state": outcome.state,
        "reason": outcome.reason,
        "attempts": outcome.attempt,
        "seconds": outcome.seconds,
        "peak_mb": outcome.peak_mb,
        "row": asdict(row),
    }
    if outcome.trace:
        store.write(f"{FOLDER}/{row.key}.txt", outcome.trace.encode())
        about["traceback"] = f"{row.key}.txt"
    store.write(f"{FOLDER}/{row.key}.json", (json.dumps(about, indent=1) + "\n").encode())


def isolated(store: Store) -> dict[str, str]:
    """Return the keys of all videos that are left alone, and the file of each."""
    names = store.names(FOLDER)
    return {name.removesuffix(".json"): f"{FOLDER}/{name}" for name in names if name.endswith(".json")}


def reasons(store: Store) -> dict[str, dict[str, Any]]:
    """Return what is known of each video that is left alone, by key."""
    found = {}
    for key, place in isolated(store).items():
        content = store.read(place)
        if content is not None:
            found[key] = json.loads(content)
    return found
