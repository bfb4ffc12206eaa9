"""Simulate a fleet from measured costs: ``python -m benchmarks.fleet_plan [COSTS.json]`` writes docs/scale.json.

``--against ONE.json TWO.json [MORE.json]`` forecasts runs of `benchmarks.fleet` from what a worker costs in the first
of them, and from how much longer its frames take in the second, where it has company.

Every video is drawn, goes to the first worker that is free, passes the stages fetch, decode, encode, match and write,
may fail, and is tried again; a worker that dies loads its model again. What workers share has a capacity: when they
ask for more than the network or the store gives, all wait alike. The tail of the last videos is in it.
"""

import heapq
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

_DOCS = Path(__file__).resolve().parents[1] / "docs"


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What one worker takes on one kind of machine; measured, but for the capacities, which are chosen."""

    decode_s: float
    """Seconds of one thread for a frame."""
    encode_s: float
    """Seconds of the device for a frame."""
    match_s: float
    """Seconds of the device for a frame; it also covers deciding the masks."""
    write_s: float
    """Seconds of one thread for a frame."""
    video_s: float
    """Seconds for a video, whatever its length: opening, masks, keeping, telling."""
    load_s: float
    """Seconds from the start of a worker to its model."""
    in_mb_per_frame: float = 0.02
    """Compressed video that is fetched."""
    out_mb_per_frame: float = 0.003
    """Run lengths that are kept."""
    euro_per_hour: float = 0.0
    """Of one worker and its share of the machine."""
    crowding: float = 1.0
    """How many times as long the device takes where every core of its machine has a worker, as in any fleet."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is to be tracked."""

    videos: int
    frames: float
    """Mean frames of a video."""
    spread: float = 0.6
    """Deviation of the logarithm of the frames: 0 makes all alike; stragglers come from it."""
    bad_share: float = 0.005
    """Videos that fail at once and are given up."""
    deaths_per_1000_h: float = 2.0
    """Workers that die in a thousand hours of work."""


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Who tracks it."""

    workers: int
    network_mb_s: float = 1250.0
    """What the store of videos gives to all together; 1,250 MB/s is a link of 10 Gbit/s."""
    store_videos_s: float = 500.0
    """Results that the store and the leader take in a second: 2 ms of a processor for each small one."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What comes of it."""

    hours: float
    worker_hours: float
    busy_share: float
    """Of the workers' time that is spent on videos; the rest is loading, waiting and the tail."""
    euro: float
    network_share: float
    """What is asked of the network, of what it gives; 1 is saturated."""
    store_share: float
    repeated_share: float
    """Work that was lost with a worker, of all."""
    bound: str
    """What limits it: ``workers``, ``network`` or ``store``."""


def simulate(work: Work, fleet: Fleet, costs: Costs, *, seed: int = 0, sample: int = 20_000) -> Forecast:
    """Play a batch through.

    Args:
        work: What is to be tracked.
        fleet: Who tracks it.
        costs: What a worker takes.
        seed: Where randomness starts.
        sample: Of more videos than that, so many are played, with as large a part of the workers: the mean is that of
            all, the tail that of the sample.
    """
    videos, workers = work.videos, fleet.workers
    shrink = max(1.0, work.videos / sample)
    videos, workers = max(1, round(work.videos / shrink)), max(1, round(fleet.workers / shrink))
    # What rounding changes in how many videos a worker gets.
    exact = (work.videos / fleet.workers) / (videos / workers)
    lengths = _lengths(work, videos, seed)
    seconds = _seconds(lengths, costs, crowded=fleet.workers > 1)
    seconds[np.random.default_rng([seed, 2]).random(videos) < work.bad_share] = costs.video_s
    slow, network, store = _slowed(seconds, lengths, costs, fleet)
    span, busy, lost = _play(seconds * slow, workers, costs, work, np.random.default_rng([seed, 1]))
    hours = span * exact / 3600
    return Forecast(
        hours=hours,
        worker_hours=hours * fleet.workers,
        busy_share=busy / (span * workers),
        euro=hours * fleet.workers * costs.euro_per_hour,
        network_share=min(network, 1.0),
        store_share=min(store, 1.0),
        repeated_share=lost / busy,
        bound="workers" if slow == 1 else "network" if network >= store else "store",
    )


def _lengths(work: Work, videos: int, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed).lognormal(-(work.spread**2) / 2, work.spread, videos)
    return np.maximum(1, work.frames * draw)


def _seconds(lengths: np.ndarray, costs: Costs, *, crowded: bool) -> np.ndarray:
    """Return how long each video takes: decoding runs ahead in a thread, so the slower of it and the device counts."""
    device = (costs.encode_s + costs.match_s + costs.write_s) * (costs.crowding if crowded else 1.0)
    return costs.video_s + lengths * max(device, costs.decode_s)


def _slowed(seconds: np.ndarray, lengths: np.ndarray, costs: Costs, fleet: Fleet) -> tuple[float, float, float]:
    """Return by what all are slowed down, and what is asked of network and store, of what they give."""
    per_second = fleet.workers / seconds.mean()
    megabytes = per_second * lengths.mean() * (costs.in_mb_per_frame + costs.out_mb_per_frame)
    network, store = megabytes / fleet.network_mb_s, per_second / fleet.store_videos_s
    return max(1.0, network, store), network, store


def _play(
    seconds: np.ndarray, workers: int, costs: Costs, work: Work, draw: np.random.Generator
) -> tuple[float, float, float]:
    """Hand out videos in order; return the span, the seconds spent on videos, and those of them that were lost."""
    free = [(costs.load_s, worker) for worker in range(workers)]
    heapq.heapify(free)
    busy = lost = end = 0.0
    deadly = work.deaths_per_1000_h / 3.6e6  # a second
    waiting = list(seconds[::-1])
    while waiting:
        at, worker = heapq.heappop(free)
        takes = waiting.pop()
        dies = draw.exponential(1 / deadly) if deadly else np.inf
        if dies < takes:  # its video goes back, and the worker begins anew
            busy, lost = busy + dies, lost + dies
            waiting.append(takes)
            heapq.heappush(free, (at + dies + costs.load_s, worker))
            continue
        busy += takes
        end = max(end, at + takes)
        heapq.heappush(free, (at + takes, worker))
    return end, busy, lost


def saturation(work: Work, fleet: Fleet, costs: Costs) -> dict[str, float]:
    """Return how many workers it takes to fill the network, and the store; more only wait."""
    lengths = _lengths(work, 10_000, 0)
    one = _slowed(_seconds(lengths, costs, crowded=True), lengths, costs, replace(fleet, workers=1))
    return {"network": 1 / one[1], "store": 1 / one[2]}


def scenarios() -> Iterator[tuple[str, Work]]:
    """Yield the three works that docs/scale.md is about."""
    yield "3,471 videos", Work(videos=3_471, frames=135)
    yield "800 hours", Work(videos=288_000, frames=250)  # clips of ten seconds at 25 frames a second
    yield "1,000,000 videos", Work(videos=1_000_000, frames=250)


def plan(costs: dict[str, Costs]) -> dict[str, Any]:
    """Return all forecasts."""
    counts = (1, 2, 8, 32, 128, 512, 2048)
    return {
        "costs": {name: asdict(cost) for name, cost in costs.items()},
        "saturation": {
            name: {title: saturation(work, Fleet(workers=1), cost) for title, work in scenarios()}
            for name, cost in costs.items()
        },
        "forecasts": {
            name: {
                title: {str(count): asdict(simulate(work, Fleet(workers=count), cost)) for count in counts}
                for title, work in scenarios()
            }
            for name, cost in costs.items()
        },
    }


def against(measured: dict[str, Any], costs: Costs) -> dict[str, float]:
    """Hold the simulation against a run of `benchmarks.fleet`: seconds as forecast, as measured, and their ratio."""
    frames = measured["frames_per_second"] * measured["fleet_seconds"] / measured["clips"]
    work = Work(videos=measured["clips"], frames=frames, spread=0.0, bad_share=0.0, deaths_per_1000_h=0.0)
    # The run counts from the first model on; the other workers load for as long and count with it.
    found = simulate(work, Fleet(workers=measured["workers"]), replace(costs, load_s=0.0)).hours * 3600
    seconds = measured["fleet_seconds"]
    return {"forecast_s": round(found, 2), "measured_s": seconds, "ratio": round(found / seconds, 3)}


def read_costs(path: Path) -> dict[str, Costs]:
    """Return the costs of each kind of machine."""
    return {name: Costs(**values) for name, values in json.loads(path.read_text("utf-8")).items()}


def costs_of(measured: dict[str, Any], together: dict[str, Any] | None = None) -> Costs:
    """Return what one worker takes, from a run of `benchmarks.fleet` with one; its parts cannot be told apart.

    Args:
        measured: The run with one worker.
        together: A run with a worker a core, which says what they take from each other.
    """
    beside = measured["fleet_seconds"] - measured["stages"]["track"]
    return Costs(
        decode_s=0.0,
        encode_s=_frame_s(measured),
        crowding=_frame_s(together) / _frame_s(measured) if together else 1.0,
        match_s=0.0,
        write_s=0.0,
        video_s=max(0.0, beside) / measured["clips"],
        load_s=0.0,
    )


def _frame_s(measured: dict[str, Any]) -> float:
    return measured["stages"]["track"] / (measured["frames_per_second"] * measured["fleet_seconds"])


def main() -> None:
    from selfvos.storage import write_text

    if sys.argv[1:2] == ["--against"]:
        runs = [json.loads(Path(path).read_text("utf-8")) for path in sys.argv[2:]]
        costs_of_one = costs_of(*runs[:2])
        for run in runs:
            found = {name: float(value) for name, value in against(run, costs_of_one).items()}
            print(f"{run['clips']} clips, {run['workers']} workers:", found)
        print(f"two workers on two cores: a frame takes {costs_of_one.crowding:.2f} times as long as with one")
        return
    costs = read_costs(Path(sys.argv[1]) if len(sys.argv) > 1 else _DOCS / "scale_costs.json")
    write_text(_DOCS / "scale.json", json.dumps(plan(costs), indent=1) + "\n")
    for name, titles in plan(costs)["forecasts"].items():
        print(name)
        for title, counts in titles.items():
            for count, one in counts.items():
                hours, euro, share, bound = one["hours"], one["euro"], one["busy_share"], one["bound"]
                print(f"  {title:18} {count:>5} workers {hours:10.2f} h {euro:10.0f} EUR {share:6.1%} busy, by {bound}")


if __name__ == "__main__":
    main()
