"""The process that has the model: takes jobs one after the other, and says what comes of them."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from selfvos.errors import SelfvosError, Stopped
from selfvos.web.codec import encode_mask


def work(setup: dict[str, Any], inbox: Any, outbox: Any, cancelled: Any) -> None:
    """Do jobs until None comes.

    Args:
        setup: ``weights`` and ``device``.
        inbox: Jobs, each a dictionary with its `id` and `kind`.
        outbox: Events, each with its `job` and `kind`.
        cancelled: Set when the job at hand is to stop.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the server ends this process
    threading.Thread(target=_end_with_server, daemon=True).start()
    bench = _Bench(setup, outbox, cancelled)
    while (job := inbox.get()) is not None:
        try:
            result = bench.do(job)
            outbox.put({"job": job["id"], "kind": "done", "result": result})
        except Stopped:
            outbox.put({"job": job["id"], "kind": "cancelled"})
        except SelfvosError as error:
            outbox.put({"job": job["id"], "kind": "failed", "error": str(error)})
        except Exception as error:
            outbox.put({"job": job["id"], "kind": "failed", "error": f"{type(error).__name__}: {error} (a bug)"})


def _end_with_server() -> None:
    """End at once when the server is gone, killed perhaps: nobody could stop this process, and files are whole."""
    server = multiprocessing.parent_process()
    if server is not None:
        server.join()
        os._exit(1)


class _Bench:
    """The model, loaded when it is first needed, and what can be done with it."""

    def __init__(self, setup: dict[str, Any], outbox: Any, cancelled: Any) -> None:
        self._setup, self._outbox, self._cancelled = setup, outbox, cancelled
        self._model: Any = None

    def do(self, job: dict[str, Any]) -> dict[str, Any]:
        kinds: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "track": self._track,
            "outline": self._outline,
            "export": self._export,
            "size": self._size,
        }
        return kinds[job["kind"]](job)

    def _track(self, job: dict[str, Any]) -> dict[str, Any]:
        from selfvos import api

        watch = _Told(job["id"], self._outbox, self._cancelled)
        begin, count = time.monotonic(), 0
        for index in api.track_project(self._loaded(), job["folder"], job["runs"], job["quality"], watch=watch):
            count += 1
            self._outbox.put({"job": job["id"], "kind": "frame", "index": index})
        return {"frames": count, "seconds_a_frame": round((time.monotonic() - begin) / max(1, count), 3)}

    def _outline(self, job: dict[str, Any]) -> dict[str, Any]:
        from selfvos import api

        found = api.outline_in_project(job["folder"], job["frame"], job["region"])
        return {"mask": encode_mask(found.astype("uint16") * job["object"])}

    def _export(self, job: dict[str, Any]) -> dict[str, Any]:
        from selfvos import api

        watch = _Told(job["id"], self._outbox, self._cancelled)
        return {"file": str(api.export_project(job["folder"], job["format"], job["out"], watch=watch))}

    def _size(self, job: dict[str, Any]) -> dict[str, Any]:
        from selfvos import api

        count, why = api.export_size(job["folder"], job["format"])
        return {"bytes": count, "why": why}

    def _loaded(self) -> Any:
        if self._model is None:
            from selfvos import api

            self._model = api.load(self._setup["weights"], device=self._setup["device"])
        return self._model


class _Told:
    """A watch whose progress goes to the server, and which the server can stop."""

    def __init__(self, job: str, outbox: Any, cancelled: Any) -> None:
        self._job, self._outbox, self._cancelled = job, outbox, cancelled
        self._begin = time.monotonic()

    def tell(self, stage: str, done: int, total: int | None, **_: float) -> None:
        left = (time.monotonic() - self._begin) / done * (total - done) if done and total else None
        event = {"job": self._job, "kind": "progress", "stage": stage, "done": done, "total": total}
        self._outbox.put({**event, "seconds_left": left})

    def stopped(self) -> bool:
        return self._cancelled.is_set()
