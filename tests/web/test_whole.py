"""The whole of it: a real network behind the server, from the first drawing to the file that is fetched."""

import time

import numpy as np
import pytest
from starlette.testclient import TestClient

from selfvos.data.video_writer import VideoWriter
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.models.weights import WeightsNotes, save_weights
from selfvos.models.weights_notes import Quality
from selfvos.web.app import create_app
from selfvos.web.codec import decode_mask, encode_mask
from selfvos.web.settings import WebConfig

COUNT, SIZE = 12, (48, 64)


def picture(t):
    rgb = np.full((*SIZE, 3), (40, 120, 60), np.uint8)
    rgb[12:24, 4 + 3 * t : 20 + 3 * t] = (230, 120, 40)  # halves that can be told apart
    rgb[24:36, 4 + 3 * t : 20 + 3 * t] = (230, 40, 40)
    return rgb


def truth(t):
    mask = np.zeros(SIZE, np.uint8)
    mask[12:36, 4 + 3 * t : 20 + 3 * t] = 1
    return mask


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "square.mp4"
    with VideoWriter(path, fps=12.0, crf=5) as writer:
        for t in range(COUNT):
            writer.write(picture(t))
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "colour.safetensors"
    model = Segmenter(SegmenterConfig(backbone="lab-patches", mask_path="none"))
    way = {"refine": {"rounds": 0}, "frame": {"short_side_px": 48, "precision": "float32"}}
    quality = {name: Quality(track=way) for name in ("fast", "balanced", "best")}
    save_weights(path, model, notes=WeightsNotes(track=way, quality=quality))
    return path


@pytest.fixture(scope="module")
def config(clip, weights, tmp_path_factory):
    return WebConfig(projects=tmp_path_factory.mktemp("projects"), root=clip.parent, weights=str(weights), device="cpu")


@pytest.fixture(scope="module")
def page(config):
    with TestClient(create_app(config), base_url="http://127.0.0.1:8765") as client:
        yield client


@pytest.fixture
def project(page, clip):
    return page.post("/api/projects", json={"path": clip.name}).json()["id"]


def put(page, project, frame, mask):
    answer = page.put(f"/api/projects/{project}/masks/{frame}", content=encode_mask(mask))
    assert answer.status_code == 200, answer.text
    return answer.json()


def get(page, project, frame):
    answer = page.get(f"/api/projects/{project}/masks/{frame}")
    return decode_mask(answer.content, SIZE), answer.headers["x-mask"]


def ended(page, job):
    for _ in range(600):
        found = page.get(f"/api/jobs/{job['id']}").json()
        if found["state"] not in ("waiting", "running"):
            return found
        time.sleep(0.1)
    raise AssertionError(found)


def test_a_video_is_tracked_corrected_and_exported(page, project):
    put(page, project, 0, truth(0))
    job = page.post(f"/api/projects/{project}/track", json={"start": 0, "end": COUNT - 1, "quality": "fast"}).json()
    found = ended(page, job)
    assert (found["state"], found["done"]) == ("done", COUNT), found
    assert page.get(f"/api/projects/{project}").json()["tracked"] == [[0, COUNT - 1]]
    before = [get(page, project, t)[0] for t in range(COUNT)]
    half = truth(8)
    half[:24] = 0
    assert put(page, project, 8, half)["stale"] == [[9, COUNT - 1]]
    job = page.post(f"/api/projects/{project}/track", json={"start": 8, "end": COUNT - 1, "quality": "fast"}).json()
    assert ended(page, job)["done"] == COUNT - 8
    after = [get(page, project, t)[0] for t in range(COUNT)]
    changed = [t for t in range(COUNT) if (before[t] != after[t]).any()]
    assert changed[0] == 8
    timeline = page.get(f"/api/projects/{project}/timeline").json()
    assert timeline["frames"] == list(range(COUNT))
    assert min(timeline["confidence"]["1"]) > 0.5
    job = page.post(f"/api/projects/{project}/export", json={"format": "csv"}).json()
    assert ended(page, job)["state"] == "done"
    text = page.get(f"/api/exports/{job['id']}").text
    assert len(text.splitlines()) == COUNT + 1
    size = page.get(f"/api/projects/{project}/formats/csv").json()
    assert size["bytes"] == pytest.approx(len(text), rel=0.3)


def test_a_rough_outline_snaps_to_the_edges(page, project):
    rough = np.zeros(SIZE, np.uint8)
    rough[10:38, 2:22] = 1
    answer = page.post(f"/api/projects/{project}/outline/0?object=1", content=encode_mask(rough))
    assert answer.status_code == 200, answer.text
    found, wanted = decode_mask(answer.content, SIZE) == 1, truth(0) == 1
    rough_fit = (wanted & (rough == 1)).sum() / (wanted | (rough == 1)).sum()
    assert (found & wanted).sum() / (found | wanted).sum() > rough_fit


def test_a_job_that_waits_is_cancelled_and_one_that_fails_says_why(page, project):
    answer = page.post(f"/api/projects/{project}/track", json={"start": 0, "end": 5})
    assert answer.status_code == 400
    assert "nothing was drawn on frame 0" in answer.json()["error"]
    put(page, project, 0, truth(0))
    first, second = (
        page.post(f"/api/projects/{project}/track", json={"start": 0, "end": COUNT - 1}).json() for _ in range(2)
    )
    assert page.delete(f"/api/jobs/{second['id']}").json()["state"] == "cancelled"
    assert ended(page, first)["state"] == "done"
    assert page.get("/api/jobs/j999").status_code == 400
