"""The process that has the model: takes jobs one after the other, and says what comes of them."""

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from selfvos.errors import SelfvosError, Stopped
from selfvos.web.codec import encode_mask


def work(setup: dict[str, Any], pipe: Any, asked: Any) -> None:
    """Do jobs until the server closes its end, or is gone.

    Args:
        setup: ``weights`` and ``device``.
        pipe: Jobs come, each a dictionary with its `id` and `kind`; events go, each with its `job` and `kind`.
        asked: Ids of jobs that are to stop come.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the server ends this process
    bench = _Bench(setup, pipe, _Asked(asked))
    with suppress(EOFError, BrokenPipeError):
        while True:
            job = pipe.recv()
            pipe.send({"job": job["id"], **_outcome(bench, job)})


def _outcome(bench: "_Bench", job: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"kind": "done", "result": bench.do(job)}
    except Stopped:
        return {"kind": "cancelled"}
    except SelfvosError as error:
        return {"kind": "failed", "error": str(error)}
    except BrokenPipeError:
        raise
    except Exception as error:
        return {"kind": "failed", "error": f"{type(error).__name__}: {error} (a bug)"}


class _Asked:
    """The jobs that the server wants to stop."""

    def __init__(self, pipe: Any) -> None:
        self._pipe, self._ids = pipe, set[str]()

    def stop(self, job: str) -> bool:
        """Say whether a job is to stop; all are when the server is gone."""
        try:
            while self._pipe.poll():
                self._ids.add(self._pipe.recv())
        except (EOFError, OSError):
            return True
        return job in self._ids


class _Bench:
    """The model, loaded when it is first needed, and what can be done with it."""

    def __init__(self, setup: dict[str, Any], pipe: Any, asked: _Asked) -> None:
        self._setup, self._pipe, self._asked = setup, pipe, asked
        self._model: Any = None
        self._weights = ""

    def do(self, job: dict[str, Any]) -> dict[str, Any]:
        kinds: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "track": self._track,
            "learn": self._learn,
            "outline": self._outline,
            "export": self._export,
            "size": self._size,
            "matches": self._matches,
        }
        return kinds[job["kind"]](job)

    def _track(self, job: dict[str, Any]) -> dict[str, Any]:
        from selfvos import api

        watch = _Told(job["id"], self._pipe, self._asked)
        begin, count = time.monotonic(), 0
        for index in api.track_project(
            self._loaded(job["weights"]), job["folder"], job["runs"], job["quality"], watch=watch
        ):
            count += 1
            self._pipe.send({"job": job["id"], "kind": "frame", "index": index})
        return {"frames": count, "seconds_a_frame": round((time.monotonic() - begin) / max(1, count), 3)}

    def _outline(self, job: dict[str, Any]) -> dict[str, Any]:
        from selfvos import api

        found = api.outline_in_project(job["folder"], job["frame"], job["region"])
        return {"mask": encode_mask(found.astype("uint16") * job["object"])}

    def _matches(self, job: dict[str, Any]) -> dict[str, Any]:
        from selfvos import api

        watch = _Told(job["id"], self._pipe, self._asked)
        found = api.matches_in_project(
            self._loaded(job["weights"]), job["folder"], job["place"], job["quality"], watch=watch
        )
        return {"file": str(found.save(job["out"])), **found.to_dict()}

    def _export(self, job: dict[str, Any]) -> dict[str, Any]:
        from selfvos import api

        watch = _Told(job["id"], self._pipe, self._asked)
        made = api.export_project(job["folder"], job["format"], job["out"], soft=job["soft"], watch=watch)
        return {"file": str(made)}

    def _size(self, job: dict[str, Any]) -> dict[str, Any]:
        from selfvos import api

        count, why = api.export_size(job["folder"], job["format"])
        return {"bytes": count, "why": why}

    def _learn(self, job: dict[str, Any]) -> dict[str, Any]:
        from selfvos import api

        plan = api.LearningPlan(videos=job["videos"], steps=job["steps"])
        model = api.load(self._setup["weights"], device=self._setup["device"])  # one of its own: it is changed
        api.learn_from(model, plan, job["out"], watch=_Told(job["id"], self._pipe, self._asked))
        return {}

    def _loaded(self, weights: str) -> Any:
        """Return the model; the one that was used last is kept."""
        if self._model is None or weights != self._weights:
            from selfvos import api

            self._model = None
            self._model = api.load(weights or self._setup["weights"], device=self._setup["device"])
            self._weights = weights
        return self._model


class _Told:
    """A watch whose progress goes to the server, and which the server can stop."""

    def __init__(self, job: str, pipe: Any, asked: _Asked) -> None:
        self._job, self._pipe, self._asked = job, pipe, asked
        self._stage, self._begin = "", (0.0, 0)

    def tell(self, stage: str, done: int, total: int | None, **facts: float) -> None:
        now = time.monotonic()
        if stage != self._stage:  # counted from the first step on, which has loading behind it, and may not be number 1
            self._stage, self._begin = stage, (now, done)
        since, first = self._begin
        left = (now - since) / (done - first) * (total - done) if done > first and total else None
        event = {"job": self._job, "kind": "progress", "stage": stage, "done": done, "total": total}
        self._pipe.send({**event, "seconds_left": left, "numbers": facts})

    def stopped(self) -> bool:
        return self._asked.stop(self._job)
