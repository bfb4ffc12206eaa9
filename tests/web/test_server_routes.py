import asyncio
import io
import json
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from tests.tiny import SIDE, truth

from selfvos.web.app import create_app
from selfvos.web.codec import decode_mask, encode_mask
from selfvos.web.events import Hub


def refused(answer, status):
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert "\n" not in answer.json()["error"]
    return answer.json()["error"]


def test_a_project_is_made_listed_drawn_on_and_undone(client, project):
    url = f"/api/projects/{project}"
    made = client.get(url).json()
    assert (made["width"], made["height"], made["count"], made["name"]) == (SIDE, SIDE, 6, "clip")
    drawn = client.put(f"{url}/masks/2", content=encode_mask(truth(2))).json()
    assert drawn["keyframes"] == [2]
    assert [one["id"] for one in drawn["objects"]] == [1]
    answer = client.get(f"{url}/masks/2")
    assert answer.headers["x-mask"] == "drawn"
    assert np.array_equal(decode_mask(answer.content, (SIDE, SIDE)), truth(2))
    assert client.get(f"{url}/masks/3").headers["x-mask"] == "empty"
    assert client.post(f"{url}/undo").json()["keyframes"] == []
    assert client.post(f"{url}/redo").json()["keyframes"] == [2]
    assert client.delete(f"{url}/masks/2").json()["keyframes"] == []
    assert [one["id"] for one in client.get("/api/projects").json()] == [project]
    assert client.get(f"{url}/timeline").json()["frames"] == []


def test_objects_are_added_changed_and_removed(client, project):
    url = f"/api/projects/{project}/objects"
    assert client.post(url, json={"name": "car"}).json()["objects"][0]["name"] == "car"
    changed = client.patch(f"{url}/1", json={"colour": [1, 2, 3]}).json()["objects"][0]
    assert (changed["name"], changed["colour"]) == ("car", [1, 2, 3])
    assert client.delete(f"{url}/1").json()["objects"] == []
    refused(client.delete(f"{url}/1"), 400)
    refused(client.post(url, json={"colour": [1, 2, 300]}), 422)


def test_frames_are_pictures(client, project):
    answer = client.get(f"/api/projects/{project}/frames/3.jpg?w=160")
    assert Image.open(io.BytesIO(answer.content)).size == (SIDE, SIDE)
    refused(client.get(f"/api/projects/{project}/frames/6.jpg"), 400)


def test_the_rest_answers(client, project):
    url = f"/api/projects/{project}"
    assert client.get("/healthz").json() == {"ok": True}
    assert client.get("/api/about").json()["weights"] == "default"
    assert client.get("/api/browse").json()["entries"] == [{"name": "clip", "path": "clip", "kind": "frames"}]
    assert client.get("/api/jobs").json() == []
    assert {one["name"] for one in client.get(f"{url}/formats").json()} >= {"coco", "davis"}
    assert client.get(f"{url}/formats/coco").json()["bytes"] is None
    client.put(f"{url}/masks/0", content=encode_mask(truth(0)))
    assert client.get(f"{url}/formats/coco").json()["bytes"] > 0
    assert client.post("/api/projects/demo").json()["name"] == "cockatoo"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/nothing", None, 400),
        ("GET", "/api/projects/p000000000000", None, 400),
        ("POST", "/api/projects", {"path": "../.."}, 400),
        ("POST", "/api/projects", {"path": "none"}, 400),
        ("POST", "/api/projects", {}, 422),
        ("POST", "/api/projects", {"path": "a\0b"}, 422),
        ("GET", "/api/browse?path=/etc", None, 400),
        ("GET", "/api/jobs/j9", None, 400),
        ("DELETE", "/api/jobs/j9", None, 400),
        ("GET", "/api/exports/j9", None, 400),
        ("GET", "/api/uploads/u123", None, 400),
    ],
)
def test_errors_are_one_line_of_json(client, method, path, body, status):
    refused(client.request(method, path, json=body), status)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("track", {"start": 0, "end": 5}, 400),  # nothing was drawn
        ("track", {"start": -1, "end": 5}, 422),
        ("fill", {"start": 0, "end": 5}, 400),
        ("export", {"format": "../x"}, 422),
    ],
)
def test_what_a_project_cannot_do_is_said(client, project, path, body, status):
    refused(client.post(f"/api/projects/{project}/{path}", json=body), status)


def test_masks_of_another_size_or_none_are_refused(client, project):
    url = f"/api/projects/{project}/masks/0"
    assert "64x64" in refused(client.put(url, content=encode_mask(np.zeros((3, 4), np.uint8))), 422)
    refused(client.put(url, content=b"12345678901"), 422)
    refused(client.put(url, content=b""), 422)
    assert "more than" in refused(client.put(url, content=bytes(SIDE * SIDE * 6 + 9)), 422)
    refused(client.put(url.replace("/0", "/99"), content=encode_mask(truth(0))), 400)
    assert client.get(f"/api/projects/{project}").json()["keyframes"] == []


def test_videos_that_are_too_long_or_large_leave_nothing(config):
    for limit in ({"most_frames": 5}, {"most_pixels": 100}):
        with TestClient(create_app(replace(config, **limit)), base_url="http://localhost") as client:
            assert "more than" in refused(client.post("/api/projects", json={"path": "clip"}), 400)
            assert client.get("/api/projects").json() == []
    assert list(config.projects.iterdir()) == []


def test_clients_at_once_see_no_error_and_their_own_masks(client):
    ids = [client.post("/api/projects", json={"path": "clip"}).json()["id"] for _ in range(8)]
    wrong = []

    def work(number):
        url = f"/api/projects/{ids[number]}/masks"
        for turn in range(8):
            mask = np.zeros((SIDE, SIDE), np.uint8)
            mask[number : number + 5, turn : turn + 3] = number + 1
            put = client.put(f"{url}/{turn % 6}", content=encode_mask(mask))
            got = client.get(f"{url}/{turn % 6}")
            if put.status_code != 200 or got.content != encode_mask(mask):
                wrong.append((number, turn, put.text, got.status_code))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_events_reach_all_listeners_and_end_with_the_server():
    async def both():
        hub = Hub()
        hub.start()
        streams = [hub.listen(), hub.listen()]
        for stream in streams:
            assert await anext(stream) == ": here\n\n"
        hub.tell("changed", project="p1", revision=3)
        told = [json.loads((await anext(stream)).removeprefix("data: ")) for stream in streams]
        hub.stop()
        ends = [[text async for text in stream] for stream in streams]
        return told, ends

    told, ends = asyncio.run(both())
    assert told == [{"kind": "changed", "project": "p1", "revision": 3}] * 2
    assert ends == [[], []]


def test_the_server_loads_no_torch():
    code = "import sys, selfvos.web.app; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_objects_are_merged_and_split(client, project):
    url = f"/api/projects/{project}"
    mask = np.zeros((SIDE, SIDE), np.uint16)
    mask[:8, :8], mask[20:28, 20:28] = 1, 2
    client.put(f"{url}/masks/0", content=encode_mask(mask))
    merged = client.post(f"{url}/objects/2/merge", json={"into": 1}).json()
    assert ([one["id"] for one in merged["objects"]], merged["undo"]) == ([1], "merge object 2 into object 1")
    assert decode_mask(client.get(f"{url}/masks/0").content, (SIDE, SIDE))[24, 24] == 1
    split = client.post(f"{url}/split", json={"frame": 0, "x": 24, "y": 24}).json()
    assert [one["id"] for one in split["objects"]] == [1, 3]
    assert "itself" in refused(client.post(f"{url}/objects/1/merge", json={"into": 1}), 400)
    refused(client.post(f"{url}/objects/1/merge", json={}), 422)
    assert "no object at" in refused(client.post(f"{url}/split", json={"frame": 0, "x": -4, "y": 99}), 400)
