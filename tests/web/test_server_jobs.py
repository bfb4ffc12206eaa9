import os
import signal
import threading
import time

import pytest

from selfvos.errors import ResourceError
from selfvos.web import jobs as module
from selfvos.web.jobs import Jobs


def pretend(setup, pipe, asked):
    """A worker that does what its job says, without a model."""
    from selfvos.web.worker import _Asked

    stop = _Asked(asked)
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        if job["kind"] == "wait":
            while not stop.stop(job["id"]):
                time.sleep(0.01)
            pipe.send({"job": job["id"], "kind": "cancelled"})
        elif job["kind"] == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            pipe.send({"job": job["id"], "kind": "done", "result": {"value": job["value"]}})


@pytest.fixture
def made(monkeypatch):
    monkeypatch.setattr(module, "work", pretend)
    heard = []
    jobs = Jobs({}, 3, lambda job, _: heard.append((job.id, job.state)))
    yield jobs, heard
    jobs.close()


def until(jobs, id, *states):
    end = time.monotonic() + 60
    while jobs.get(id).state not in states:
        assert time.monotonic() < end, jobs.get(id)
        time.sleep(0.01)
    return jobs.get(id)


def test_jobs_run_in_order_and_each_can_be_cancelled(made):
    jobs, heard = made
    first, second, third = jobs.add("wait", "p"), jobs.add("wait", "p"), jobs.add("give", "p", value=7)
    until(jobs, first.id, "running")
    assert jobs.get(second.id).state == "waiting"
    assert jobs.cancel(second.id).state == "cancelled"
    jobs.cancel(first.id)
    assert until(jobs, first.id, "cancelled")
    assert until(jobs, third.id, "done").result == {"value": 7}
    assert [state for id, state in heard if id == third.id] == ["running", "done"]


def test_a_late_cancel_does_not_meet_the_next_job(made):
    jobs, _ = made
    done = jobs.add("give", "p", value=1)
    until(jobs, done.id, "done")
    jobs._ask_to_stop(done.id)
    waits = jobs.add("wait", "p")
    until(jobs, waits.id, "running")
    time.sleep(0.2)
    assert jobs.get(waits.id).state == "running"
    jobs.cancel(waits.id)
    until(jobs, waits.id, "cancelled")


def test_a_worker_that_dies_fails_its_job_and_the_next_one_runs(made):
    jobs, _ = made
    dies, runs = jobs.add("die", "p"), jobs.add("give", "p", value=2)
    assert "has ended" in until(jobs, dies.id, "failed").error
    assert until(jobs, runs.id, "done").result == {"value": 2}


def test_a_worker_killed_between_jobs_is_replaced(made):
    jobs, _ = made
    until(jobs, jobs.add("give", "p", value=1).id, "done")
    jobs._process.kill()
    jobs._process.join()
    assert until(jobs, jobs.add("give", "p", value=2).id, "done").result == {"value": 2}


def test_a_full_queue_is_refused(made):
    jobs, _ = made
    running = jobs.add("wait", "p")
    until(jobs, running.id, "running")
    for _ in range(3):
        jobs.add("wait", "p")
    with pytest.raises(ResourceError, match="3 jobs are waiting"):
        jobs.add("wait", "p")


def test_close_ends_a_running_job_and_its_thread(made):
    jobs, _ = made
    until(jobs, jobs.add("wait", "p").id, "running")
    while jobs._process is None or not jobs._process.is_alive():  # it is being started
        time.sleep(0.01)
    process = jobs._process
    begin = time.monotonic()
    jobs.close()
    assert time.monotonic() - begin < 6  # a worker that is only starting is waited for, and then ended
    assert not process.is_alive()
    assert not any(thread.name == "selfvos-jobs" and thread is jobs._thread for thread in threading.enumerate())


def test_result_waits_and_forgets(made):
    jobs, _ = made
    assert jobs.result("give", "p", 60.0, value=5) == {"value": 5}
    assert jobs.all() == []
    with pytest.raises(ResourceError, match="too busy"):
        jobs.result("wait", "p", 0.3)
