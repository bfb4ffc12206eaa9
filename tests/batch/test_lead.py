import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from selfvos.batch.job import Job, Outcome, track_one
from selfvos.batch.lead import Policy, Summary, lead
from selfvos.batch.ledger import events
from selfvos.batch.manifest import read_manifest
from selfvos.batch.pool import Dead, Pool, Trouble
from selfvos.batch.quarantine import reasons
from selfvos.batch.sink import open_sink
from selfvos.batch.store import open_store
from selfvos.batch.verify import verify
from selfvos.errors import DataError, OutOfSpace, ResourceError, SelfvosError, Stopped, UsageError
from selfvos.types import Watching

pytestmark = pytest.mark.parametrize("plan", ["parquet"], indirect=True)
NO_WAIT = Policy(retries=2, backoff_s=0.0)


class Scripted:
    """Workers without processes: what they say is decided by a function of the job."""

    def __init__(self, act: Callable[[Job], object], *, first_word: object = None) -> None:
        self._act, self._first = act, first_word
        self._words: dict[int, list[object]] = {}
        self.started = self.ended = 0

    def start(self):
        self.started += 1
        worker = object()
        self._words[id(worker)] = [self._first]
        return worker

    def send(self, worker, job):
        self._words[id(worker)].append(self._act(job))

    def hear(self, workers, _):
        return [(worker, self._words[id(worker)].pop(0)) for worker in workers if self._words[id(worker)]]

    def end(self, worker):
        self.ended += 1
        self._words.pop(id(worker), None)

    def close(self):
        pass


@pytest.fixture
def run(clips, plan):
    def go(act, *, workers=2, policy=NO_WAIT, **options) -> Summary:
        return lead(clips / "m.jsonl", plan, lambda: Pool(Scripted(act), workers), policy=policy, **options)

    return go


def _kinds(plan) -> list[str]:
    return [event["event"] for event in events(Path(plan.out))]


def _names(plan) -> list[str]:
    return sorted(stored.result.name for stored in open_sink(open_store(plan.out), plan.layout).finished())


def test_all_videos_are_tracked_once_and_verified(run, model, plan, clips):
    summary = run(lambda job: track_one(job, model))
    assert (summary.total, summary.done, summary.quarantined, summary.states) == (4, 4, 0, {"done": 4})
    assert summary.frames == 16
    assert _names(plan) == [f"clip{i}" for i in range(4)]
    assert verify(plan.out, clips / "m.jsonl").table() == "complete: 4 of 4 videos whole"
    kinds = _kinds(plan)
    assert (kinds[0], kinds[-1], kinds.count("started"), kinds.count("ended")) == ("begin", "end", 4, 4)
    prom = (Path(plan.out) / "metrics.prom").read_text()
    assert 'selfvos_batch_attempts_total{state="done"} 4' in prom
    assert "selfvos_batch_frames_total 16" in prom


def test_the_same_command_again_does_nothing(run, model, plan):
    run(lambda job: track_one(job, model))
    summary = run(lambda _: pytest.fail("tracked again"))
    assert (summary.done, summary.attempts) == (4, 0)


def test_a_worker_that_dies_is_replaced_and_its_video_tried_again(run, model, plan):
    died = set()

    def act(job):
        if job.row.name == "clip1" and job.attempt == 1:
            died.add(job.row.name)
            return Dead("ended by SIGKILL")
        return track_one(job, model)

    summary = run(act)
    assert died
    assert summary.states == {"done": 4, "lost": 1}
    assert summary.done == 4
    assert _names(plan) == [f"clip{i}" for i in range(4)]


def test_a_video_that_always_ends_its_worker_is_given_up(run, model, plan, clips):
    summary = run(lambda job: Dead("ended by SIGSEGV") if job.row.name == "clip2" else track_one(job, model))
    assert (summary.done, summary.quarantined, summary.states["lost"]) == (3, 1, 3)
    [about] = reasons(open_store(plan.out)).values()
    assert (about["name"], about["reason"], about["attempts"]) == ("clip2", "ended by SIGSEGV", 3)
    found = verify(plan.out, clips / "m.jsonl")
    assert not found.faulty
    assert found.quarantined == (("clip2", "ended by SIGSEGV"),)


def test_bad_data_is_given_up_at_once_and_bugs_leave_a_traceback(run, model, plan):
    def act(job):
        facts = {"key": job.row.key, "name": job.row.name, "attempt": job.attempt}
        if job.row.name == "clip0":
            return Outcome(state="refused", reason="no video", **facts)
        if job.row.name == "clip1":
            return Outcome(state="failed", reason="ZeroDivisionError", trace="Traceback ...", **facts)
        return track_one(job, model)

    summary = run(act)
    assert summary.states == {"done": 2, "refused": 1, "failed": 3}
    assert {about["name"]: about["attempts"] for about in reasons(open_store(plan.out)).values()} == {
        "clip0": 1,
        "clip1": 3,
    }
    assert [path.read_text() for path in (Path(plan.out) / "quarantine").glob("*.txt")] == ["Traceback ..."]


def test_who_removes_a_video_from_quarantine_has_it_tried_anew(run, model, plan):
    run(lambda job: Dead("gone") if job.row.name == "clip2" else track_one(job, model))
    for path in (Path(plan.out) / "quarantine").iterdir():
        path.unlink()
    summary = run(lambda job: track_one(job, model))
    assert (summary.done, summary.quarantined, summary.attempts) == (4, 0, 1)


def test_a_worker_that_is_spent_is_replaced(clips, plan, model):
    def act(job):
        outcome = track_one(job, model)
        return replace(outcome, spent=True) if job.row.name == "clip0" else outcome

    hands = Scripted(act)
    lead(clips / "m.jsonl", plan, lambda: Pool(hands, 1), policy=NO_WAIT)
    assert (hands.started, hands.ended) == (2, 2)


def test_a_worker_that_does_not_answer_is_cut_off(run, model, monkeypatch):
    monkeypatch.setattr("selfvos.batch.pool._GRACE_S", -3600.0)  # every job is over its time at once

    class Silent(Scripted):
        def send(self, worker, job):
            pass

    with Pool(Silent(lambda _: None), 1) as pool:
        pool.wait(0.0)
        from selfvos.batch.job import Plan
        from selfvos.batch.manifest import Row

        pool.submit(Job(Row(name="a", video="a"), Plan(out="x", limit_s=3600.0)))
        [outcome] = pool.wait(0.0)
    assert outcome.state == "timeout"
    assert "did not answer" in outcome.reason


def test_an_attempt_that_the_batch_did_not_survive_counts(run, model, plan):
    """A video that takes the whole machine down must not do so for ever."""

    def act(job):
        if job.row.name == "clip3":
            raise KeyboardInterrupt  # the leading process itself ends
        return track_one(job, model)

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            run(act, workers=1)
    summary = run(act, workers=1)
    assert (summary.done, summary.quarantined) == (3, 1)
    [about] = reasons(open_store(plan.out)).values()
    assert "begun 3 times" in about["reason"]


def test_a_stop_keeps_what_is_finished_and_is_no_attempt(run, model, plan):
    done = []

    def act(job):
        done.append(job.row.name)
        return track_one(job, model)

    for _ in range(4):
        with pytest.raises(Stopped):
            run(act, workers=1, watch=Watching(None, lambda: bool(done)))
        done.clear()
    assert run(act, workers=1).done == 4


def test_a_full_disk_stops_the_batch_and_blames_no_video(run, model, plan):
    def full(job):
        return Outcome(key=job.row.key, name=job.row.name, attempt=job.attempt, state="full", reason="disk full")

    for _ in range(4):
        with pytest.raises(OutOfSpace, match="same command again"):
            run(full)
    assert run(lambda job: track_one(job, model)).done == 4


def test_weights_that_no_worker_can_load_end_the_batch_with_the_reason(clips, plan):
    engine = lambda: Pool(Scripted(lambda _: None, first_word=Trouble("no weights called 'x'", 2)), 2)  # noqa: E731
    with pytest.raises(SelfvosError, match="no weights called") as error:
        lead(clips / "m.jsonl", plan, engine)
    assert error.value.exit_status == 2


def test_workers_that_die_while_they_load_end_the_batch(clips, plan):
    engine = lambda: Pool(Scripted(lambda _: None, first_word=Dead("out of memory")), 1)  # noqa: E731
    with pytest.raises(ResourceError, match="3 workers in a row ended while they loaded"):
        lead(clips / "m.jsonl", plan, engine)


def test_a_machine_that_goes_away_with_all_its_loading_workers_does_not_end_the_batch(clips, plan, model):
    class Gone(Scripted):
        def start(self):
            worker = super().start()
            self._words[id(worker)] = [Dead("the machine went away") if self.started <= 8 else None]
            return worker

    hands = Gone(lambda job: track_one(job, model))
    assert lead(clips / "m.jsonl", plan, lambda: Pool(hands, 4)).done == 4
    assert hands.started == 12


def test_another_batch_in_the_same_place_is_refused(run, model, plan, clips):
    run(lambda job: track_one(job, model))
    other = replace(plan, settings=("match.top_k=5",))
    with pytest.raises(UsageError, match="holds a batch with another settings"):
        lead(clips / "m.jsonl", other, lambda: pytest.fail("started workers"))


def test_a_row_that_changed_after_its_video_was_tracked_is_told(run, model, plan, clips, tmp_path):
    run(lambda job: track_one(job, model))
    rows = [replace(row, mask_frame=1) for row in read_manifest(clips / "m.jsonl")]
    from selfvos.batch.manifest import write_manifest

    write_manifest(tmp_path / "changed.jsonl", rows)
    with pytest.raises(DataError, match="the row of clip0 was changed"):
        lead(tmp_path / "changed.jsonl", plan, lambda: pytest.fail("started workers"))


def test_two_leaders_do_not_work_in_one_place(run, model, plan, clips):
    def act(job):
        with pytest.raises(UsageError, match="another process works on"):
            lead(clips / "m.jsonl", plan, lambda: pytest.fail("started workers"))
        return track_one(job, model)

    assert run(act).done == 4


def test_a_log_that_a_kill_tore_is_read_on(run, model, plan):
    run(lambda job: track_one(job, model))
    log = Path(plan.out) / "log.jsonl"
    log.write_bytes(log.read_bytes()[:-10])
    run(lambda job: track_one(job, model))
    lines = log.read_text().splitlines()
    assert json.loads(lines[-1])["event"] == "end"
    assert len(events(Path(plan.out))) == len(lines) - 1


def test_an_empty_manifest_is_refused(plan, tmp_path):
    (tmp_path / "m.jsonl").write_text("\n")
    with pytest.raises(DataError, match="has no row"):
        lead(tmp_path / "m.jsonl", plan, lambda: pytest.fail("started workers"))
