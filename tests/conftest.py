"""Shape and dtype annotations of the whole package are checked while tests run."""

from pathlib import Path

import pytest
from jaxtyping import install_import_hook

install_import_hook("selfvos", "beartype.beartype")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real videos beside the checkout; tests that need it skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no data at {SHARED_DATA}")
    return SHARED_DATA
