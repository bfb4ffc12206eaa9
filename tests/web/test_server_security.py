import os
import shutil
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tiny import picture, write_video

from selfvos.errors import MaskMismatch, SelfvosError
from selfvos.web.app import create_app
from selfvos.web.codec import decode_mask, encode_mask
from selfvos.web.desk import Desk
from selfvos.web.routes.uploads import CHUNK_BYTES


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8765", "", "[", "10.0.0.1:8765"])
def test_other_hosts_are_refused(client, host):
    answer = client.get("/api/projects", headers={"host": host})
    assert answer.status_code == 421
    assert "error" in answer.json()


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "[::1]:8765"])
def test_own_hosts_are_let_through(client, host):
    assert client.get("/api/projects", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://["},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_another_page_changes_nothing(client, method, headers):
    answer = client.request(method, "/api/projects", json={"path": "clip"}, headers=headers)
    assert answer.status_code == 403
    assert client.get("/api/projects").json() == []


def test_own_page_may_change_and_others_may_not_read(client):
    headers = {"origin": "http://127.0.0.1:8765", "sec-fetch-site": "same-origin"}
    assert client.post("/api/projects", json={"path": "clip"}, headers=headers).status_code == 200
    assert client.get("/api/projects", headers={"sec-fetch-site": "cross-site"}).status_code == 403


def test_elsewhere_a_token_is_needed_once(config):
    config = replace(config, host="0.0.0.0", token="secret")
    with TestClient(create_app(config), base_url="http://machine:1") as client:
        assert client.get("/api/projects").status_code == 401
        assert client.get("/api/projects?token=wrong").status_code == 401
        assert client.get("/api/projects", headers={"authorization": "Bearer secret"}).status_code == 200
        assert client.get("/api/projects", headers={"cookie": "selfvos_token=wrong"}).status_code == 401
        first = client.get("/api/projects?token=secret")
        assert "HttpOnly" in first.headers["set-cookie"]
        assert client.get("/api/projects").status_code == 200


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    from selfvos.web.settings import WebConfig

    base = tmp_path_factory.mktemp("fuzzed")
    (base / "outside").mkdir()
    return Desk(WebConfig(projects=base / "projects", root=base / "root"))


PARTS = st.sampled_from(["..", "/", "\\", "p0123456789ab", "outside", ".", "\0", "%2e", "~", "C:", "\n", "u" * 300])
IDS = st.one_of(st.text(max_size=40), st.lists(PARTS, max_size=8).map("".join))


@settings(max_examples=2_000, deadline=None)
@given(id=IDS)
def test_no_id_reaches_outside(desk, id):
    stays_inside(desk, id)


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None)
@given(id=IDS)
def test_none_of_many_ids_reaches_outside(desk, id):
    stays_inside(desk, id)


def stays_inside(desk, id):
    with pytest.raises(SelfvosError, match="no such project"), desk.use(id):
        pass
    with suppress(SelfvosError):
        assert desk.below_root(id).is_relative_to(desk.config.root.resolve())
    assert sorted(path.name for path in desk.config.projects.parent.iterdir()) == ["outside", "projects"]
    assert list(desk.config.projects.iterdir()) == []


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_masks_come_back_as_they_were(data):
    height, width = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    ids = data.draw(st.lists(st.integers(0, 65535), min_size=height * width, max_size=height * width))
    mask = np.array(ids, np.uint16).reshape(height, width)
    assert np.array_equal(decode_mask(encode_mask(mask), mask.shape), mask)


@settings(max_examples=500, deadline=None)
@given(data=st.binary(max_size=60))
def test_other_bytes_are_a_mask_of_that_size_or_refused(data):
    with suppress(MaskMismatch):
        assert decode_mask(data, (2, 3)).shape == (2, 3)


def test_an_upload_goes_on_where_it_broke_off(client, config, tmp_path):
    content = write_video(tmp_path / "film.mp4", [picture(t) for t in range(4)]).read_bytes()
    new = client.post("/api/uploads", json={"name": "../../Film.MP4", "bytes": len(content)}).json()
    url = f"/api/uploads/{new['id']}"
    assert client.put(f"{url}/chunks/0", content=content[:-1]).status_code == 422
    assert client.put(f"{url}/chunks/0", content=content + b"x").status_code == 422
    (config.projects / "uploads" / new["id"] / ".0-abcdef.tmp.piece").write_bytes(b"half")
    assert client.get(url).json()["have"] == []
    assert client.post(f"{url}/commit").status_code == 422
    assert client.put(f"{url}/chunks/1", content=b"x").status_code == 400
    for _ in range(2):
        assert client.put(f"{url}/chunks/0", content=content).status_code == 200
    assert client.get(url).json()["have"] == [0]
    made = client.post(f"{url}/commit?name=../Film.MP4").json()
    assert (made["name"], made["count"], made["video"]) == ("Film", 4, f"{new['id']}.mp4")
    assert list((config.projects / "uploads").iterdir()) == []


def announce(client, bytes):
    return client.post("/api/uploads", json={"name": "a.mp4", "bytes": bytes})


def test_uploads_take_no_more_than_they_may_and_projects_give_room_back(config, tmp_path):
    content = write_video(tmp_path / "film.mp4", [picture(t) for t in range(4)]).read_bytes()
    small = replace(config, most_stored_bytes=2 * len(content) + 10)
    with TestClient(create_app(small), base_url="http://127.0.0.1:8765") as client:
        first = announce(client, len(content)).json()["id"]
        client.put(f"/api/uploads/{first}/chunks/0", content=content)
        project = client.post(f"/api/uploads/{first}/commit").json()["id"]
        assert announce(client, len(content)).status_code == 200  # begun, so its room is taken
        answer = announce(client, 11)
        assert answer.status_code == 503
        assert "--max-storage" in answer.json()["error"]
        assert client.delete(f"/api/projects/{project}").json() == []
        assert list((config.projects / "videos").iterdir()) == []
        assert announce(client, 11).status_code == 200
        for upload in (config.projects / "uploads").iterdir():  # and what was given up does so after a week
            os.utime(upload, (1, 1))
        assert announce(client, 2 * len(content)).status_code == 200


def test_an_upload_that_the_disk_has_no_room_for_is_refused_before_it_comes(client, config, monkeypatch):
    used = shutil.disk_usage(config.projects)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: used._replace(free=2**28 + 1_000_000))
    assert announce(client, 500_000).status_code == 200
    answer = announce(client, 500_000)
    assert answer.status_code == 503
    assert "make some room" in answer.json()["error"]


def test_a_project_is_removed_but_not_while_it_is_worked_on_nor_a_video_of_others(client, config, project):
    other = client.post("/api/projects", json={"path": "clip"}).json()["id"]
    jobs = client.app.state.jobs
    jobs.busy = lambda id: id == project
    assert client.delete(f"/api/projects/{project}").status_code == 400
    del jobs.busy
    assert [one["id"] for one in client.delete(f"/api/projects/{project}").json()] == [other]
    assert (config.root / "clip").is_dir()
    assert client.get(f"/api/projects/{project}").status_code == 400
    assert client.delete("/api/projects/..%2f..").status_code in {400, 404, 405}


def test_uploads_that_cannot_be_are_refused(client, config):
    assert client.post("/api/uploads", json={"name": "a.mp4", "bytes": 10_000_001}).status_code == 422
    assert client.post("/api/uploads", json={"name": "a.mp4", "bytes": 0}).status_code == 422
    assert client.post("/api/uploads", json={"name": "a.m/../p4", "bytes": 5}).status_code == 422
    id = client.post("/api/uploads", json={"name": "a.mp4", "bytes": 5}).json()["id"]
    client.put(f"/api/uploads/{id}/chunks/0", content=b"12345")
    assert client.post(f"/api/uploads/{id}/commit").status_code in {400, 422}
    assert client.get("/api/projects").json() == []
    assert list((config.projects / "videos").iterdir()) == []
    assert CHUNK_BYTES == 8 * 2**20
