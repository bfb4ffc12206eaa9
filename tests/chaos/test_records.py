"""Files that the product writes for itself or is handed by programs: damaged at random, they are read or refused."""

import json
import shutil

import numpy as np
import pytest
from fastapi.testclient import TestClient
from tests.chaos.test_readers import TRIALS, damaged, read_all, survive
from tests.tiny import frame_folder, picture, truth, write_video

from selfvos import api
from selfvos.batch.ledger import Ledger, events
from selfvos.batch.manifest import read_manifest
from selfvos.data.mask_png import write_mask
from selfvos.data.points import read_points, write_points
from selfvos.data.shards import extracted, read_index, write_shards
from selfvos.data.track_reader import open_track
from selfvos.data.training_videos import find_training_videos
from selfvos.projects.project import Project
from selfvos.web.app import create_app
from selfvos.web.settings import WebConfig

pytestmark = pytest.mark.chaos


@pytest.mark.parametrize("trials", TRIALS)
@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_manifests(tmp_path, suffix, trials):
    rows = [
        {"video": "a.mp4", "mask": "a.png", "mask_frame": 3, "fps": 12.5},
        {"video": "s3://bucket/b.mp4", "name": "b", "mask": "b.png", "sha256": "ab" * 32},
        {"video": "c.mp4", "name": "größe", "mask": "c.png", "settings": ["match.top_k=5"]},
    ]
    path = tmp_path / f"m{suffix}"
    if suffix == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    else:
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist([{"settings": None, **row} for row in rows]), path)
    outcomes = survive(path, lambda: list(read_manifest(path)), trials)
    assert outcomes["refused"] > 0


@pytest.mark.parametrize("trials", TRIALS)
def test_tracks(tmp_path, trials):
    path = frame_folder(tmp_path / "clip", 3)
    write_mask(tmp_path / "first.png", truth(0))
    model = api.load("lab-patches", device="cpu")
    shot = api.Shot(video=path, masks={0: tmp_path / "first.png"})
    for _ in api.track_to(model, shot, tmp_path / "track"):
        pass
    (tmp_path / "track" / "overlay.mp4").unlink()

    def read():
        track = open_track(tmp_path / "track")
        assert track.fps > 0
        assert isinstance(track.name, str)
        assert len(track.objects) < 10**6
        read_all(track)

    survive(tmp_path / "track", read, trials)


@pytest.mark.parametrize("trials", TRIALS)
def test_projects(tmp_path, trials):
    video = frame_folder(tmp_path / "clip", 4)
    with Project.create(tmp_path / "project", video) as project:
        project.add_object("car")
        project.draw(0, truth(0))
        project.draw(2, truth(2))
        project.undo()
        project.change_object(1, name="bus")
    lock = [path for path in (tmp_path / "project").iterdir() if path.name.startswith(".")]
    for path in lock:
        path.unlink()

    def read():
        with Project.open(tmp_path / "project") as found:
            assert isinstance(found.name, str)
            assert isinstance(found.stale, tuple)
            for frame in (0, 2):
                found.mask_at(frame)
            assert len(found.frames) < 10
            next(iter(found.source))
        for path in (tmp_path / "project").iterdir():
            if path.name.startswith("."):
                path.unlink()

    survive(tmp_path / "project", read, trials)


@pytest.mark.parametrize("trials", TRIALS)
def test_shards(tmp_path, trials):
    film = write_video(tmp_path / "film.mp4", [picture(t) for t in range(2)])
    folder = tmp_path / "shards"
    write_shards([("one", film), ("two", film)], folder)

    def read():
        found, _ = find_training_videos([folder], ())
        assert len(found) < 10
        for shard in folder.glob("*.tar"):
            for member in read_index(shard):
                with extracted(shard, member) as path:
                    path.read_bytes()

    survive(folder, read, trials)


@pytest.mark.parametrize("trials", TRIALS)
def test_points(tmp_path, trials):
    frames = ["00000", "00001"]
    path = tmp_path / "points.csv"
    write_points(path, {frame: np.array([[1.5, 2.5], [np.nan, np.nan]]) for frame in frames}, [1, 2])
    survive(path, lambda: read_points(path, frames, [1, 2]), trials)


@pytest.mark.parametrize("trials", TRIALS)
def test_logs_of_batches(tmp_path, trials):
    with Ledger(tmp_path) as ledger:
        for number in range(4):
            ledger.note("started", key=f"k{number}", name=f"v{number}", attempt=1)
            ledger.note("ended", key=f"k{number}", state="done")

    def read():
        assert len(events(tmp_path)) < 20
        assert sum(Ledger(tmp_path).tried.values()) < 20

    survive(tmp_path / "log.jsonl", read, trials)


@pytest.mark.parametrize("trials", TRIALS)
def test_uploads_and_requests(tmp_path, trials):
    """No damaged upload or body of a request makes the page answer with a bug, and none is left when it is refused."""
    film = write_video(tmp_path / "film.mp4", [picture(t) for t in range(4)]).read_bytes()
    config = WebConfig(projects=tmp_path / "projects", root=tmp_path)
    rng = np.random.default_rng(11)
    bodies = [
        ("POST", "/api/projects", b'{"path": "film.mp4"}'),
        ("POST", "/api/uploads", b'{"name": "a.mp4", "bytes": 1000}'),
        ("POST", "/api/learning", b'{"projects": [], "paths": ["film.mp4"], "steps": 60, "name": "x"}'),
        ("POST", "/api/projects/p000000000000/track", b'{"start": 0, "end": 3, "quality": "fast"}'),
    ]
    with TestClient(create_app(config), base_url="http://localhost") as client:
        client.app.state.jobs.close()  # nothing is to be learned or tracked
        statuses = {"read": 0, "refused": 0}
        for number in range(trials // 4):
            content = damaged(film, rng) or b"\0"
            new = client.post("/api/uploads", json={"name": "a.mp4", "bytes": len(content)}).json()
            url = f"/api/uploads/{new['id']}"
            assert client.put(f"{url}/chunks/0", content=content).status_code == 200
            answer = client.post(f"{url}/commit")
            statuses["read" if answer.status_code == 200 else "refused"] += 1
            assert answer.status_code in (200, 400, 422), answer.text
            if answer.status_code == 200:
                for index in (0, 3):
                    picked = client.get(f"/api/projects/{answer.json()['id']}/frames/{index}.jpg")
                    assert picked.status_code in (200, 400, 422), picked.text
                client.delete(f"/api/projects/{answer.json()['id']}")
            assert not list((config.projects / "videos").glob("*"))
            method, path, body = bodies[number % len(bodies)]
            headers = {"content-type": "application/json"}
            asked = client.request(method, path, content=damaged(body, rng), headers=headers)
            assert asked.status_code in (200, 400, 422), (path, asked.text)
            shutil.rmtree(config.projects / "uploads", ignore_errors=True)
    assert sum(statuses.values()) == trials // 4
