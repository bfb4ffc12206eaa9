import pytest
from fastapi.testclient import TestClient
from tests.tiny import frame_folder

from selfvos.web.app import create_app
from selfvos.web.settings import WebConfig


@pytest.fixture
def config(tmp_path):
    frame_folder(tmp_path / "videos" / "clip", 6)
    return WebConfig(projects=tmp_path / "projects", root=tmp_path / "videos", most_upload_bytes=10_000_000)


@pytest.fixture
def client(config):
    with TestClient(create_app(config), base_url="http://127.0.0.1:8765") as client:
        yield client


@pytest.fixture
def project(client):
    return client.post("/api/projects", json={"path": "clip"}).json()["id"]
