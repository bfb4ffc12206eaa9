"""Start the server and say where it is."""

import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import uvicorn

from selfvos.errors import ResourceError
from selfvos.web.app import create_app
from selfvos.web.settings import WebConfig


def serve(config: WebConfig, ready: Callable[[str], None], video: Path | None = None) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        config: Port 0 takes any that is free.
        ready: Called with the address to open, as soon as it answers.
        video: Begin a project with it, and show that first.

    Raises:
        ResourceError: The port is taken.
    """
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
    except OSError as error:
        listener.close()
        raise ResourceError(
            f"cannot listen on {config.host}:{config.port} ({error.strerror}); choose another --port"
        ) from error
    config = replace(config, port=listener.getsockname()[1])
    app = create_app(config)
    path = "" if video is None else f"p/{app.state.desk.create(video)}"
    server = _Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
    token = "" if config.local else f"?token={config.token}"
    server.on_stop = app.state.hub.stop
    server.on_ready = lambda: ready(f"http://{_shown(config.host)}:{config.port}/{path}{token}")
    server.run(sockets=[listener])


class _Server(uvicorn.Server):
    on_ready: Callable[[], None]
    on_stop: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.on_stop()
        await super().shutdown(sockets)


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
