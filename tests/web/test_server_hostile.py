"""Uploads of strangers: no file but their own is opened, no socket, and they cost nothing but themselves."""

import io
import json
import shutil
import subprocess
import sys

import pytest
from PIL import Image
from tests.data.test_video import encode, scenery
from tests.hostile import bombs, called_port, scripts

from selfvos.data import apart_process, containers

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(not apart_process.AVAILABLE, reason="no process can be confined on this system"),
]

SERVER = """
import json, resource, sys
from pathlib import Path
from fastapi.testclient import TestClient
from selfvos.web.app import create_app
from selfvos.web.settings import WebConfig
from selfvos.data import apart_process
folder, *names = [Path(name) for name in sys.argv[1:]]
found = {}
app = create_app(WebConfig(projects=folder / "projects", root=folder))
with TestClient(app, base_url="http://localhost") as client:
    open("/dev/null").close()
    for name in names:
        content = name.read_bytes()
        new = client.post("/api/uploads", json={"name": name.name, "bytes": len(content)}).json()
        client.put(f"/api/uploads/{new['id']}/chunks/0", content=content)
        answer = client.post(f"/api/uploads/{new['id']}/commit")
        found[name.name] = [answer.status_code, answer.json().get("error", "")]
    left = [path.name for path in (folder / "projects").rglob("*.*") if path.is_file()]
apart_process._nursery.stop()
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"found": found, "left": left, "peak": used.ru_maxrss * 1024, "seconds": used.ru_utime}))
"""


def served(folder, names, *before):
    """Send files to a server in a process of its own, and return what came of them."""
    command = [*before, sys.executable, "-c", SERVER, str(folder), *map(str, names)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    return done, json.loads(done.stdout) if done.returncode == 0 else {}


def test_playlists_in_disguise_open_nothing_else(tmp_path):
    secret = encode(tmp_path / "secret.mp4", scenery(3))
    with called_port() as (port, callers):
        names = []
        for name, content in scripts(secret, port).items():
            (tmp_path / name).write_text(content)
            names.append(tmp_path / name)
        trace = tmp_path / "trace"
        traced = ("strace", "-f", "-e", "trace=openat,open,connect", "-o", str(trace))
        done, answers = served(tmp_path, names, *(traced if shutil.which("strace") else ()))
        if "ptrace" in done.stderr:
            done, answers = served(tmp_path, names)
    assert done.returncode == 0, done.stderr
    assert {status for status, _ in answers["found"].values()} == {422}
    assert all(text and "\n" not in text for _, text in answers["found"].values())
    assert answers["left"] == []
    assert callers == []
    if trace.exists():
        calls = trace.read_text().partition('"/dev/null"')[2]
        assert calls.count(".mp4") > 6
        assert str(secret) not in calls
        assert "AF_INET" not in calls


def test_bombs_are_refused_in_little_memory_and_time(tmp_path):
    done, answers = served(tmp_path, bombs(tmp_path))
    assert done.returncode == 0, done.stderr
    assert {status for status, _ in answers["found"].values()} == {422}, answers
    assert answers["left"] == []
    assert answers["peak"] < 10**9
    assert answers["seconds"] < 20


def test_the_server_decodes_nothing_itself(client, tmp_path, monkeypatch):
    content = encode(tmp_path / "whole.mp4", scenery(6)).read_bytes()
    half = encode(tmp_path / "half.mp4", scenery(60), movflags="+faststart").read_bytes()

    def refuse(*arguments, **_):
        raise AssertionError(f"the server opened {arguments}")

    monkeypatch.setattr(containers.av, "open", refuse)
    monkeypatch.setattr("selfvos.data.source.open_image", refuse)
    made = uploaded(client, "whole.mp4", content)
    picture = client.get(f"/api/projects/{made['id']}/frames/3.jpg?w=160")
    assert Image.open(io.BytesIO(picture.content)).size == (made["width"], made["height"])
    folder = client.post("/api/projects", json={"path": "clip"}).json()
    assert client.get(f"/api/projects/{folder['id']}/frames/5.jpg").status_code == 200
    broken = uploaded(client, "half.mp4", half[: len(half) // 2])
    assert client.get(f"/api/projects/{broken['id']}/frames/0.jpg").status_code == 200
    beyond = client.get(f"/api/projects/{broken['id']}/frames/{broken['count'] - 1}.jpg")
    assert (beyond.status_code, "no frame 59: it has" in beyond.json()["error"]) == (400, True)


def test_a_video_that_ends_its_reader_harms_no_other(client, project, monkeypatch):
    first = client.get(f"/api/projects/{project}/frames/0.jpg")
    assert first.status_code == 200
    desk = client.app.state.desk
    with desk.use(project) as one:
        readers = [one.frames._coming.gi_frame.f_locals["reader"], *one.project.source._idle]
        for reader in readers:
            reader.end()  # as a crash of the decoder does
    assert client.get(f"/api/projects/{project}/frames/1.jpg").status_code == 422
    other = client.post("/api/projects", json={"path": "clip"}).json()["id"]
    assert client.get(f"/api/projects/{other}/frames/1.jpg").status_code == 200
    assert client.get(f"/api/projects/{project}/frames/5.jpg").status_code == 200


def uploaded(client, name, content):
    new = client.post("/api/uploads", json={"name": name, "bytes": len(content)}).json()
    url = f"/api/uploads/{new['id']}"
    assert client.put(f"{url}/chunks/0", content=content).status_code == 200
    answer = client.post(f"{url}/commit?name={name}")
    assert answer.status_code == 200, answer.text
    return answer.json()
