"""J and F."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.compare import Entry, Turns, compare
from benchmarks.reference.scorer import slow_accuracy, slow_region
from selfvos.data.benchmarks.stored_ids import read_ids
from selfvos.evaluation.metrics import score_frame

_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
_THREADS = 2
Pair = tuple[np.ndarray, np.ndarray]


def scorer(repeats: int) -> Entry:
    """J and F from mask files: every 40th frame of real results where they are at hand, else drawn ones.

    A full run takes every 8th frame.
    """
    pairs = _files(40 if repeats == 1 else 8)
    if not pairs:
        return _drawn(repeats)

    def one(pair: tuple[Path, Path]) -> tuple[float, float]:
        truth, result = (np.minimum(read_ids(path), 1) for path in pair)
        j, f = score_frame(truth, result, [1])
        return float(j[0]), float(f[0])

    def ours() -> np.ndarray:
        with ThreadPoolExecutor(_THREADS) as pool:
            return np.array(list(pool.map(one, pairs)))

    def reference() -> np.ndarray:
        return np.array([_slow(*(np.asarray(Image.open(path).convert("L")) > 0 for path in pair)) for pair in pairs])

    difference = float(np.abs(ours() - reference()).max())
    assert difference < 1e-6, difference
    text = f"largest difference {difference:.0e} on {len(pairs)} frames of 12 sequences, reading included"
    return compare("scorer", (ours, reference), repeats, text)


def _drawn(repeats: int) -> Entry:
    y, x = np.mgrid[:480, :854]
    truth, result = (np.zeros((480, 854), dtype=np.uint8) for _ in range(2))
    for i in (1, 2, 3):
        truth[np.hypot(y - 240, x - 220 * i) < 60 + 20 * i] = i
        result[np.hypot(y - 246, x - 220 * i - 5) < 57 + 20 * i] = i

    def ours() -> np.ndarray:
        return np.stack(score_frame(truth, result, [1, 2, 3]), axis=1)

    def reference() -> np.ndarray:
        return np.array([_slow(truth == i, result == i) for i in (1, 2, 3)])

    difference = float(np.abs(ours() - reference()).max())
    assert difference < 1e-6, difference
    turns = Turns(repeats=repeats, inner=20)
    return compare("scorer", (ours, reference), turns, f"largest difference {difference:.0e}, drawn masks")


def _files(step: int) -> list[tuple[Path, Path]]:
    results, truths = _DATA / "peer_results" / "stm_davis2016val", _DATA / "davis2016" / "Annotations" / "480p"
    if not results.is_dir():
        return []
    counted = [file for folder in sorted(truths.iterdir()) for file in sorted(folder.iterdir())[1:-1]]
    return [(file, results / file.parent.name / file.name) for file in counted[::step]]


def _slow(truth: np.ndarray, result: np.ndarray) -> tuple[float, float]:
    void = np.zeros(truth.shape, dtype=bool)
    return slow_region(truth, result, void), slow_accuracy(truth, result, void, 0.008)
