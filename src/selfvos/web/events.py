"""What happens, told to every open page as server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

_WAITING = 4096
_BEAT_S = 15.0
_END: dict[str, Any] = {"kind": "end"}


class Hub:
    """Hands events to all who listen; one that does not keep up is told to look at everything anew."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[dict[str, Any]]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Belong to the running loop."""
        self._loop = asyncio.get_running_loop()

    def stop(self) -> None:
        """End all streams, so that the server need not wait for pages to go away; from the loop alone."""
        for queue in self._listeners:
            while queue.full():
                queue.get_nowait()
            queue.put_nowait(_END)

    def tell(self, kind: str, **facts: Any) -> None:
        """Tell everybody, from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell, {"kind": kind, **facts})

    def _tell(self, event: dict[str, Any]) -> None:
        for queue in self._listeners:
            if queue.full():
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait({"kind": "behind"})
            else:
                queue.put_nowait(event)

    async def listen(self) -> AsyncIterator[str]:
        """Yield events as the text of an event stream, and a comment now and then so that the line stays open."""
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_WAITING)
        self._listeners.add(queue)
        try:
            yield ": here\n\n"
            while True:
                try:
                    event = await asyncio.wait_for(queue.get(), _BEAT_S)
                    if event is _END:
                        return
                    yield f"data: {json.dumps(event)}\n\n"
                except TimeoutError:
                    yield ": here\n\n"
        finally:
            self._listeners.discard(queue)
