import pytest
from tests.tiny import frame_folder

from selfvos.projects.project import Project


@pytest.fixture
def project(tmp_path):
    video = frame_folder(tmp_path / "clip", 10)
    with Project.create(tmp_path / "project", video) as project:
        yield project
