"""How the server runs."""

import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from selfvos.errors import UsageError

LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, kw_only=True)
class WebConfig:
    """Where the server listens, what it may read, and how much it takes."""

    projects: Path
    """Folder that all projects lie in; their folders get generated names."""
    root: Path
    """Videos are opened from below this folder alone, besides those that are uploaded."""
    host: str = "127.0.0.1"
    port: int = 8765
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    """What a browser has to show where `host` is not this machine alone."""
    weights: str = "default"
    device: str = "auto"
    most_upload_bytes: int = 8 * 2**30
    """A larger upload is refused."""
    most_stored_bytes: int = 100 * 10**9
    """Uploads that are kept take no more than this together; more are refused."""
    most_frames: int = 500_000
    """A longer video is refused."""
    most_pixels: int = 2**26
    """A video of larger frames is refused."""
    most_jobs: int = 64
    """Jobs that wait at once; more are refused."""

    def __post_init__(self) -> None:
        if not 0 <= self.port < 65536:
            raise UsageError(f"port must be in 0..65535, got {self.port}")
        if self.most_stored_bytes < 0:
            raise UsageError(f"uploads cannot take {self.most_stored_bytes} bytes; give 0 or more")

    @property
    def local(self) -> bool:
        """Whether the server can be reached from this machine alone."""
        return self.host in LOCAL


def projects_folder() -> Path:
    """Return where projects lie if nobody says: in the user's folder for data."""
    home = Path.home() if "HOME" in os.environ or os.name == "nt" else Path.cwd()
    return Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "selfvos" / "projects"
