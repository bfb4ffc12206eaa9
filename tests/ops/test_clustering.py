import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from torch.nn.functional import normalize

from selfvos.errors import DataError, UsageError
from selfvos.ops import clustering
from selfvos.ops.clustering import ClusterConfig, assign, cluster_video, kmeans, seed_for


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # these problems are too small to share out
    yield
    torch.set_num_threads(threads)


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mixture(shares: list[float], spread: float, *, points: int = 2000, channels: int = 32, seed: int = 0):
    """Return unit vectors around random directions, and which direction each is of."""
    generator = draws(seed)
    directions = normalize(torch.randn(len(shares), channels, generator=generator), dim=1)
    labels = torch.multinomial(torch.tensor(shares).float(), points, replacement=True, generator=generator)
    noise = torch.randn(points, channels, generator=generator) * spread / channels**0.5
    return normalize(directions[labels] + noise, dim=1), labels


def squares(seed: int = 0, t: int = 10, side: int = 8, channels: int = 24):
    """Return the features of a video of four quarters, and the quarter of each cell."""
    quarter = (torch.arange(side) >= side // 2).long()
    labels = (2 * quarter[:, None] + quarter).expand(t, side, side)
    directions = torch.eye(channels)[:4]
    noise = 0.02 * torch.randn(t, side, side, channels, generator=draws(seed))
    return normalize(directions[labels] + noise, dim=-1), labels


@pytest.mark.parametrize(
    ("shares", "spread"),
    [
        ([1, 1, 1, 1, 1], 0.5),
        ([1, 1, 1, 1, 1], 1.0),
        ([0.6, 0.2, 0.1, 0.07, 0.03], 0.5),
        ([0.5, 0.3, 0.1, 0.06, 0.04], 1.0),
        ([1, 1, 1, 1, 1], 2.0),
    ],
)
def test_inertia_agrees_with_scikit_learn(shares, spread):
    points, _ = mixture(shares, spread)
    oracle = KMeans(5, n_init=10, random_state=0).fit(points.numpy())
    ours = kmeans(points, 5, restarts=10, generator=draws())
    assert ours.inertia <= 1.002 * oracle.inertia_
    assert ours.inertia >= 0.998 * oracle.inertia_


def test_inertia_agrees_with_scikit_learn_when_points_are_raced_on_a_sample(monkeypatch):
    points, _ = mixture([0.5, 0.3, 0.1, 0.06, 0.04], 1.0, points=6000)
    monkeypatch.setattr(clustering, "_RACE_POINTS", 1500)
    ours = kmeans(points, 5, restarts=10, generator=draws())
    assert ours.inertia <= 1.002 * KMeans(5, n_init=10, random_state=0).fit(points.numpy()).inertia_


def test_inertia_agrees_with_scikit_learn_on_tied_points():
    corners = torch.tensor([[0.0, 0.0], [0.0, 1.0], [9.0, 0.0], [9.0, 1.0], [4.0, 8.0], [5.0, 8.0]])
    points = corners.repeat_interleave(torch.tensor([50, 50, 30, 30, 20, 20]), dim=0)
    oracle = KMeans(3, n_init=10, random_state=0).fit(points.numpy())
    ours = kmeans(points, 3, generator=draws())
    assert ours.inertia == pytest.approx(oracle.inertia_, rel=2e-3)
    assert adjusted_rand_score(oracle.labels_, ours.assignment) == 1.0


@pytest.mark.parametrize("seed", range(4))
def test_separate_blobs_are_found(seed):
    points, labels = mixture([0.4, 0.25, 0.2, 0.1, 0.05], 0.2, seed=seed)
    ours = kmeans(points, 5, generator=draws(seed))
    assert adjusted_rand_score(labels, ours.assignment) == 1.0


def test_blobs_far_from_the_origin_are_found():
    points, labels = mixture([0.4, 0.3, 0.3], 0.2)
    ours = kmeans(points + 500, 3, generator=draws())
    assert adjusted_rand_score(labels, ours.assignment) == 1.0
    assert torch.equal(assign(points + 500, ours.centroids), ours.assignment)


def test_same_generator_state_same_result():
    points, _ = mixture([1, 1, 1], 2.0, points=6000)
    first, second = (kmeans(points, 5, generator=draws(3)) for _ in range(2))
    assert torch.equal(first.centroids, second.centroids)
    assert torch.equal(first.assignment, second.assignment)


def test_the_order_of_points_does_not_matter():
    points, _ = mixture([0.5, 0.3, 0.2], 0.3)
    shuffled = torch.randperm(len(points), generator=draws(1))
    first = kmeans(points, 3, generator=draws())
    second = kmeans(points[shuffled], 3, generator=draws(5))
    assert torch.equal(first.assignment[shuffled], second.assignment)
    torch.testing.assert_close(first.centroids, second.centroids, atol=1e-5, rtol=0)


@settings(deadline=None, max_examples=60)
@given(
    values=st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=40),
    clusters=st.integers(1, 6),
    seed=st.integers(0, 5),
)
def test_what_holds_for_any_points(values, clusters, seed):
    points = torch.tensor(values, dtype=torch.float32)
    ours = kmeans(points, clusters, generator=draws(seed))
    counts = ours.assignment.bincount(minlength=len(ours.centroids)).tolist()
    distances = torch.cdist(points, ours.centroids)
    assert 1 <= len(counts) <= min(clusters, len(set(values)))
    assert counts == sorted(counts, reverse=True)
    assert min(counts) > 0
    own = distances.gather(1, ours.assignment[:, None])[:, 0]
    torch.testing.assert_close(own, distances.amin(dim=1), atol=1e-4, rtol=1e-4)
    assert ours.inertia == pytest.approx(own.square().sum().item(), abs=1e-3)
    assert ours.inertia <= (points - points.mean(dim=0)).square().sum().item() + 1e-3


def test_as_many_distinct_points_as_clusters_are_all_found():
    points = torch.eye(4).repeat_interleave(torch.tensor([40, 1, 1, 1]), dim=0)
    ours = kmeans(points, 4, generator=draws())
    assert len(ours.centroids) == 4
    assert ours.inertia == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("clusters", [1, 2, 5])
def test_constant_points_are_one_cluster(clusters):
    ours = kmeans(torch.full((300, 7), 0.3), clusters, generator=draws())
    torch.testing.assert_close(ours.centroids, torch.full((1, 7), 0.3))
    assert ours.assignment.eq(0).all()
    assert ours.inertia == pytest.approx(0, abs=1e-6)


def test_clusters_beyond_the_distinct_points_are_dropped():
    points = torch.tensor([[0.0], [1.0]]).repeat(50, 1)
    ours = kmeans(points, 5, generator=draws())
    assert sorted(ours.centroids[:, 0].tolist()) == pytest.approx([0, 1])


def test_an_empty_cluster_starts_again_at_the_farthest_point_of_the_largest():
    points = torch.tensor([[0.0], [0.1], [0.2], [9.0], [-100.0]])
    starts = torch.tensor([[[0.0], [-100.0], [5000.0]]])
    ours = clustering._descend(points, starts, iterations=20, tolerance=0.0)
    assert sorted(ours.centroids[0, :, 0].tolist()) == pytest.approx([-100, 0.1, 9.0])
    assert ours.inertia[0].item() == pytest.approx(0.02, abs=1e-2)


def test_one_start_with_empty_clusters_does_not_disturb_another():
    points, labels = mixture([0.5, 0.3, 0.2], 0.2)
    good = torch.stack([points[labels == label][0] for label in range(3)])
    bad = torch.full_like(good, 1e3)
    together = clustering._descend(points, torch.stack([bad, good]), iterations=50, tolerance=1e-5)
    alone = clustering._descend(points, good[None], iterations=50, tolerance=1e-5)
    assert together.inertia[1].item() == pytest.approx(alone.inertia[0].item(), rel=1e-5)


def test_the_compiled_descent_is_the_plain_one():
    points, _ = mixture([0.4, 0.3, 0.2, 0.1], 0.4)
    points = (points - points.mean(dim=0)).contiguous()
    starts = torch.stack([points[10 * i : 10 * i + 4] for i in range(3)])
    for iterations in (0, 1, 30):
        ours = clustering.descend(points, starts, iterations, 0.0)
        plain = [clustering.descend_plain(points, start[None], iterations, 0.0) for start in starts]
        for i, one in enumerate(plain):
            torch.testing.assert_close(ours.inertia[i].float(), one.inertia[0].float(), rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(ours.centroids[i], one.centroids[0], rtol=1e-3, atol=1e-3)
            assert (ours.nearest[i] == one.nearest[0]).float().mean() > 0.999
            torch.testing.assert_close(ours.counts[i].sum(), one.counts[0].sum())


def test_assign_takes_the_nearest_and_of_equals_the_first():
    points = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    assert assign(points, torch.tensor([[0.0], [2.0], [2.0], [4.0]])).tolist() == [0, 0, 1, 1]


def test_points_that_cannot_be_clustered_are_refused():
    points = torch.ones(5, 3)
    points[2, 1] = torch.nan
    with pytest.raises(DataError, match="not all finite"):
        kmeans(points, 2, generator=draws())
    with pytest.raises(DataError, match="no points"):
        kmeans(torch.ones(0, 3), 2, generator=draws())


def test_a_video_of_four_quarters():
    features, labels = squares()
    maps, centroids = cluster_video(features, ClusterConfig(clusters=4), seed=0)
    assert maps.shape == labels.shape
    assert maps.dtype == torch.uint8
    assert centroids.shape == (4, 24)
    assert adjusted_rand_score(labels.flatten(), maps.flatten()) == 1.0


def test_weight_zero_is_plain_kmeans():
    points, _ = mixture([0.5, 0.3, 0.2], 0.5, points=6 * 20 * 10)
    config = ClusterConfig(clusters=3, position_weight=0.0, fit_every=1)
    maps, centroids = cluster_video(points.view(6, 20, 10, -1), config, seed=4)
    plain = kmeans(points, 3, generator=draws(4))
    assert torch.equal(maps.flatten().long(), plain.assignment)
    assert torch.equal(centroids, plain.centroids)


@pytest.mark.parametrize("mode", ["add", "concat"])
def test_position_splits_what_looks_the_same(mode):
    same = normalize(torch.ones(4, 1, 16, 24), dim=-1)
    config = ClusterConfig(clusters=2, position_weight=1.0, position_mode=mode)
    maps, centroids = cluster_video(same, config, seed=0)
    alone, _ = cluster_video(same, ClusterConfig(clusters=2, position_weight=0.0), seed=0)
    assert len(maps.unique()) == 2
    assert centroids.shape == (2, 24 if mode == "add" else 48)
    assert alone.eq(0).all()


def test_all_frames_are_assigned_by_pieces_as_in_one(monkeypatch):
    features, _ = squares(t=11)
    config = ClusterConfig(clusters=4, fit_every=3)
    whole = cluster_video(features, config, seed=1)
    monkeypatch.setattr(clustering, "_CHUNK_CELLS", 1)
    pieces = cluster_video(features, config, seed=1)
    assert torch.equal(whole[0], pieces[0])


@pytest.mark.parametrize(
    ("t", "every", "fitted"),
    [
        (1, 8, [0]),
        (3, 8, [0, 1, 2]),
        (10, 8, [0, 3, 6, 9]),
        (27, 8, [0, 8, 16, 24]),
        (40, 8, [0, 8, 16, 24, 32]),
        (5, 1, [0, 1, 2, 3, 4]),
    ],
)
def test_frames_to_fit_on(t, every, fitted):
    assert clustering._fit_on(t, ClusterConfig(fit_every=every)).tolist() == fitted


def test_a_clip_of_one_frame():
    features, labels = squares(t=1)
    maps, _ = cluster_video(features, ClusterConfig(clusters=4), seed=0)
    assert adjusted_rand_score(labels.flatten(), maps.flatten()) == 1.0


def test_a_clip_smaller_than_its_clusters():
    maps, centroids = cluster_video(normalize(torch.randn(1, 1, 2, 8), dim=-1), ClusterConfig(), seed=0)
    assert len(maps.unique()) == len(centroids) == 2


def test_clusters_are_numbered_by_size_in_the_whole_video():
    features, _ = squares(t=9)
    features[1:, :4, :4] = features[1:, 4:, 4:]  # the first quarter of the fitted frame 0 is gone later
    maps, _ = cluster_video(features, ClusterConfig(clusters=4, fit_every=8, fit_frames=1, position_weight=0.0), seed=0)
    counts = maps.flatten().bincount()
    assert counts.tolist() == sorted(counts.tolist(), reverse=True)
    assert maps[5, 0, 0] == maps[5, 7, 7] == 0


def test_half_precision_features_are_taken():
    features, labels = squares()
    maps, centroids = cluster_video(features.half(), ClusterConfig(clusters=4), seed=0)
    assert adjusted_rand_score(labels.flatten(), maps.flatten()) == 1.0
    assert centroids.dtype == torch.float32


def test_no_gradient_is_kept():
    features, _ = squares()
    _, centroids = cluster_video(features.requires_grad_(), ClusterConfig(clusters=4), seed=0)
    assert not centroids.requires_grad


def test_known_seed():
    assert seed_for(32, "goat", 2) == 8774792893580202974


def test_seeds_differ_and_fit_a_generator():
    seeds = {seed_for(s, v, r) for s in range(3) for v in ("a", "b", "1", "") for r in range(12)}
    assert len(seeds) == 3 * 4 * 12
    assert all(0 <= seed < 2**63 and draws(seed) is not None for seed in seeds)
    assert np.mean([seed > 2**62 for seed in seeds]) == pytest.approx(0.5, abs=0.2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"clusters": 0},
        {"clusters": 256},
        {"restarts": 0},
        {"iterations": 0},
        {"fit_every": 0},
        {"fit_frames": 0},
        {"tolerance": -1e-4},
        {"position_weight": float("nan")},
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        ClusterConfig(**wrong)
