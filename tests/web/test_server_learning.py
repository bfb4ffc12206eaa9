"""Learning on the page: begun, watched, stopped, gone on with, and tracked with."""

import time

import pytest
import torch
from fastapi.testclient import TestClient
from tests.tiny import frame_folder, truth

from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.models.weights import WeightsNotes, load_weights, save_weights
from selfvos.models.weights_notes import Quality
from selfvos.web import jobs
from selfvos.web.app import create_app
from selfvos.web.codec import encode_mask
from selfvos.web.learned import LearnedShelf, Learning
from selfvos.web.settings import WebConfig

WAY = {"feature": {"stage": "layer3"}, "refine": {"rounds": 0}, "frame": {"short_side_px": 64, "precision": "float32"}}


def small_work(setup, pipe, asked):
    """The worker, whose clips and pictures are small: a step takes milliseconds."""
    from selfvos.api import project_learning
    from selfvos.web.worker import work

    whole = project_learning.adaptation
    small = ["clips.crop_px=64", "warmup.batch_clips=1"]
    project_learning.adaptation = lambda model, sets: whole(model, [*sets, *small])
    project_learning._CLUSTERED = ("max_videos=1", "max_frames=4", "short_side_px=64", "clusters.clusters=3")
    work(setup, pipe, asked)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    model = Segmenter(SegmenterConfig(backbone="resnet18", last_stage=3, mask_path="none"))
    quality = {name: Quality(track=WAY, accuracy=80.0) for name in ("fast", "balanced", "best")}
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(path, model, notes=WeightsNotes(track=WAY, quality=quality))
    return path


@pytest.fixture
def page(tmp_path, weights, monkeypatch):
    monkeypatch.setattr(jobs, "work", small_work)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    frame_folder(tmp_path / "videos" / "clip", 12)
    config = WebConfig(projects=tmp_path / "projects", root=tmp_path / "videos", weights=str(weights), device="cpu")
    with TestClient(create_app(config), base_url="http://127.0.0.1:8765") as client:
        yield client


def until(page, id, *, done=0, states=("done", "stopped")):
    end = time.monotonic() + 240
    while time.monotonic() < end:
        found = page.get(f"/api/learning/{id}").json()
        # A step may be in the curve before the job tells of it, after what it told of the videos.
        told = found["job"] and found["job"]["done"] >= done and "loss" in found["job"]["numbers"]
        if found["state"] in states or (done and told and found["curve"]):
            return found
        time.sleep(0.05)
    raise AssertionError(found)


def test_learning_is_stopped_goes_on_and_its_weights_track(page, weights):
    project = page.post("/api/projects", json={"path": "clip"}).json()["id"]
    begun = page.post("/api/learning", json={"projects": [project], "paths": ["clip"], "steps": 24}).json()
    assert (begun["name"], begun["videos"]) == ("clip", ["clip"])  # the same video twice is one
    id = begun["id"]
    refused = page.post(f"/api/projects/{project}/track", json={"start": 0, "end": 3, "weights": id})
    assert refused.status_code == 400
    assert "has not learned to the end" in refused.json()["error"] or "nothing was drawn" in refused.json()["error"]
    live = until(page, id, done=1)
    assert live["state"] == "running"
    assert "loss" in live["job"]["numbers"]
    assert page.delete(f"/api/learning/{id}").status_code == 400
    page.delete(f"/api/jobs/{live['job']['id']}")
    before = until(page, id, states=("stopped",))["curve"]
    assert 0 < len(before) < 24
    assert page.post(f"/api/learning/{id}/continue").status_code == 200
    assert until(page, id, states=("done",))["curve"][: len(before)] == before
    found = until(page, id, states=("done",))
    assert [point["step"] for point in found["curve"]] == list(range(1, 25))
    assert found["pictures"] == ["000000.png", "000020.png", "000024.png"]
    assert page.get(f"/api/learning/{id}/pictures/000024.png").content.startswith(b"\x89PNG")
    notes = load_weights(page.app.state.learned.weights(id))[1].notes
    assert notes.quality == {name: Quality(track=WAY) for name in ("fast", "balanced", "best")}
    page.put(f"/api/projects/{project}/masks/0", content=encode_mask(truth(0)))
    span = {"start": 0, "end": 3, "weights": id, "quality": "fast"}
    job = page.post(f"/api/projects/{project}/track", json=span).json()
    while (state := page.get(f"/api/jobs/{job['id']}").json())["state"] in ("waiting", "running"):
        time.sleep(0.05)
    assert (state["state"], state["done"]) == ("done", 4), state
    assert page.post(f"/api/learning/{id}/continue").status_code == 400
    assert page.delete(f"/api/learning/{id}").json() == []


def test_nothing_to_learn_from_and_nothing_outside_the_root(page):
    assert page.post("/api/learning", json={}).status_code == 400
    answer = page.post("/api/learning", json={"paths": ["../../etc"]})
    assert answer.status_code == 400
    assert "below" in answer.json()["error"]
    assert page.post("/api/learning", json={"paths": ["gone.mp4"]}).status_code == 400
    assert page.post("/api/learning", json={"projects": ["p../.."]}).status_code == 400


@pytest.mark.parametrize("id", ["r000000000000", "%2e%2e", "r../../../etc", "p000000000000", "r" + "0" * 13])
def test_no_id_reaches_outside(page, id):
    for path in (f"/api/learning/{id}", f"/api/learning/{id}/pictures/000000.png"):
        assert page.get(path).status_code in (400, 404), path


def test_a_shelf_reads_what_a_crash_left(tmp_path):
    shelf = LearnedShelf(tmp_path)
    assert shelf.ids() == []
    id = shelf.create(Learning(name="n", videos=["/v"], names=["v"], steps=9))
    assert shelf.curve(id) == []
    run = shelf.folder(id) / "run"
    run.mkdir()
    lines = "".join(f'{{"step": {step}, "loss": {step / 2}}}\n' for step in range(1, 1001))
    (run / "metrics.jsonl").write_text(lines + '{"step": 1001, "loss": NaN}\n{"step": 10')
    curve = shelf.curve(id)
    assert 300 < len(curve) <= 400
    assert curve[-1]["step"] >= 997
    assert [point["step"] for point in curve] == sorted(point["step"] for point in curve)
    assert not shelf.finished(id)
    shelf.remove(id)
    assert shelf.ids() == []
