"""Space-time clustering."""

import torch
from sklearn.cluster import KMeans
from torch.nn import functional as F

from benchmarks.compare import Entry, compare
from selfvos.ops.clustering import kmeans


def clustering(repeats: int) -> Entry:
    """Groups of 10 240 points of 128 channels against scikit-learn's ten restarts."""
    generator = torch.Generator().manual_seed(0)
    centres = F.normalize(torch.randn(7, 128, generator=generator), dim=1)
    drawn = torch.randint(7, (10240,), generator=generator)
    points = F.normalize(centres[drawn] + 0.12 * torch.randn(10240, 128, generator=generator), dim=1)
    array = points.numpy()

    def ours() -> float:
        return kmeans(points, 5, restarts=10, generator=torch.Generator().manual_seed(0)).inertia

    def reference() -> float:
        return float(KMeans(5, n_init=10, random_state=0).fit(array).inertia_)

    gap = ours() / reference() - 1
    assert gap < 0.002, gap
    return compare("clustering", (ours, reference), 2 * repeats + 1, f"inertia {100 * gap:+.3f} %")
