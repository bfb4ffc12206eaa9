"""Draw loss and score of the weights that ship against steps: `python docs/results/draw.py` with the extra `dev`."""

import csv
import json
import statistics
from pathlib import Path

from matplotlib.figure import Figure

HERE = Path(__file__).parent
OUT = HERE.parent / "figures" / "default_training.png"
SMOOTH = 9


def main() -> None:
    """Read the journal and the scores beside this file, write the figure."""
    journal = [json.loads(line) for line in (HERE / "default.jsonl").read_text().splitlines()]
    learning = [(line["step"], line["loss"]) for line in journal if line["part"] == "correspondence"]
    first = learning[-1][0]
    later = [line for line in journal if line["part"] == "correspondence, larger crops"]
    learning += [(first + line["step"], line["loss"]) for line in later]
    scores = list(csv.DictReader((HERE / "scores.csv").open()))
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    steps, losses = zip(*learning, strict=True)
    left.plot(steps, losses, color="C0", alpha=0.25, linewidth=0.8)
    half = SMOOTH // 2
    smooth = [statistics.fmean(losses[max(0, i - half) : i + half + 1]) for i in range(len(losses))]
    left.plot(steps, smooth, color="C0", label=f"mean of {SMOOTH} lines of the journal")
    left.axvline(first, color="grey", linestyle=":", label="from here larger crops")
    left.set_ylabel("loss (dul), in nats")
    left.legend(frameon=False)
    drawn = (
        *(("plain", "0", "C7"), ("not whitened", "0", "C2"), ("not whitened", "1", "C1")),
        *(("whitened", "0", "C4"), ("recommended", "0", "C0"), ("recommended", "1", "C3")),
    )
    for tracker, rounds, color in drawn:
        rows = [row for row in scores if (row["tracker"], row["rounds"]) == (tracker, rounds)]
        points = [(int(row["steps"]), float(row["J&F"])) for row in rows]
        right.plot(*zip(*points, strict=True), "o-", color=color, label=f"{tracker}, R = {rounds}")
    right.set_ylabel("J&F on the development sequences, in %")
    right.legend(frameon=False, loc="lower right")
    for axes in (left, right):
        axes.set_xlabel("steps of correspondence")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(OUT, dpi=110)


if __name__ == "__main__":
    main()
