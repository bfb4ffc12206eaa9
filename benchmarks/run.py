"""Measure speed and memory, the product and a plain reference in turn in one run: ``make bench``.

Every entry asserts that both sides agree before it reports a time. Times are medians; threads are fixed. Results go
to ``benchmarks/out/latest.json``: name, ours and reference (seconds, or MB for memory), ratio, agreement.
"""

import argparse
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.clustering import clustering
from benchmarks.compare import Entry
from benchmarks.matching import match_exact, match_fast, match_whitened
from benchmarks.network import encoder_bf16, train_step_bf16
from benchmarks.scoring import scorer
from benchmarks.shipped import edges, first_mask_s, object_mb, track_best, track_fast, track_recommended
from benchmarks.tracking import memory_growth_mb, objects_three, refine_slim, track_end_to_end

OUT = Path(__file__).parent / "out" / "latest.json"
THREADS = 2
ENTRIES: dict[str, Callable[[int], Entry]] = {
    measure.__name__: measure
    for measure in (
        *(match_exact, match_fast, match_whitened, edges, track_end_to_end, track_recommended, track_fast, track_best),
        *(first_mask_s, object_mb, refine_slim, objects_three),
        *(memory_growth_mb, encoder_bf16, train_step_bf16, scorer, clustering),
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("names", nargs="*", help=f"only these entries: {', '.join(ENTRIES)}")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(ENTRIES)
    if unknown:
        parser.error(f"no entry {', '.join(sorted(unknown))}; there are {', '.join(ENTRIES)}")
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    OUT.parent.mkdir(exist_ok=True)
    entries: list[Entry] = []
    for name in arguments.names or ENTRIES:
        entries.append(ENTRIES[name](1 if arguments.quick else 5))
        OUT.write_text(json.dumps(entries, indent=1) + "\n")
    show(entries)


def show(entries: list[Entry]) -> None:
    """Print the table and what it was measured on."""
    table = Table(title=f"{os.cpu_count()} cores, {THREADS} threads, {platform.machine()}, torch {torch.__version__}")
    for column in ("name", "ours", "reference", "ratio", "agreement"):
        table.add_column(column, justify="left" if column in ("name", "agreement") else "right")
    for entry in entries:
        numbers = [f"{entry[column]:.4g}" for column in ("ours", "reference", "ratio")]
        table.add_row(str(entry["name"]), *numbers, str(entry["agreement"]))
    Console().print(table)


if __name__ == "__main__":
    main()
