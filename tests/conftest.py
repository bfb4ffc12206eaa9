"""Shape and dtype annotations of the whole package are checked while tests run."""

import os
from pathlib import Path

import pytest
import torch
from jaxtyping import install_import_hook

install_import_hook("selfvos", "beartype.beartype")

if "PYTEST_XDIST_WORKER" in os.environ:
    # One worker for each core: more threads than cores make every one of them wait.
    torch.set_num_threads(1)

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real videos beside the checkout; tests that need it skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no data at {SHARED_DATA}")
    return SHARED_DATA
