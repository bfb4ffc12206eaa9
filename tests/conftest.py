"""Shape and dtype annotations of the whole package are checked while tests run."""

from pathlib import Path

import pytest
import torch
from jaxtyping import install_import_hook

install_import_hook("selfvos", "beartype.beartype")

# Inputs are tiny: a second thread costs more than it gives, and beside other processes many times more.
torch.set_num_threads(1)

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


LONG = (
    *("tests/training/test_fit.py", "tests/recipes/", "tests/test_readme.py", "tests/test_cli.py"),
    *("tests/batch/test_workers.py", "tests/batch/test_exactly_once.py"),
    *("tests/experiments/test_ablate.py", "tests/training/test_checkpoint.py", "tests/test_story.py"),
)
"""Modules that take longest: begun first, so that no process is left with one of them when the others are done."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long modules first; `make test` hands out modules in this order."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


@pytest.fixture(scope="module")
def tiny_resnet():
    """Name of a ResNet so narrow that it learns within a test; it is listed nowhere else."""
    from selfvos.models.backbones.base import BACKBONES
    from selfvos.models.backbones.resnet import BasicBlock, ResNet, ResNetFactory

    class TinyResNet(ResNet):
        stem_channels = 8

    BACKBONES.names()  # before anything is added, so that the rest is there too
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES._things, "resnet-tiny", ResNetFactory(BasicBlock, (1, 1, 1, 1), TinyResNet))
        yield "resnet-tiny"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real videos beside the checkout; tests that need it skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no data at {SHARED_DATA}")
    return SHARED_DATA
