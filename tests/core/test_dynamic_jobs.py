"""Dynamic jobs and metadata, one sentence at a time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.engine_bench import START, Bench, make_job

from luad.core.dynamic_jobs import merge_patch
from luad.core.events import (
    ClaimRun,
    ClaimsRefused,
    ConfigLoaded,
    DrainRequested,
    ForgetCompleted,
    InstallJob,
    RememberKey,
    RemoveJob,
    SaveRun,
    StartAttempt,
)
from luad.core.installed import JobStatus
from luad.core.model import (
    DAY,
    Creation,
    EndKind,
    Interval,
    Job,
    Once,
    Origin,
    Overlap,
    Reason,
    Retry,
    Run,
    RunState,
    Trigger,
    Wanted,
)
from luad.core.requests import (
    AnswerKey,
    ChangeRequested,
    DeleteRequested,
    MetadataRequested,
    PauseRequested,
    ResumeRequested,
    RetryRequested,
    TriggerRequested,
)
from luad.core.state import Bounds


def once_in(seconds: float, name: str = "reminder", **fields: Any) -> Job:
    return make_job(name, Once(START + int(seconds * 1_000)), **fields)


def metadata(bench: Bench, name: str = "tick") -> dict[str, Any]:
    return dict(bench.engine.entries[name].current.metadata)


def write(bench: Bench, mode: Any = "merge", *, name: str = "tick", **values: Any) -> None:
    bench.feed(MetadataRequested("w", name, values, mode))
    assert bench.reply().error is None, bench.reply()


def write_afar(bench: Bench, mode: Any = "merge", **values: Any) -> None:
    bench.feed(MetadataRequested("w", "tick", values, mode, is_remote=True))
    assert bench.reply().error is None, bench.reply()


def marks(bench: Bench) -> set[str]:
    """Return the keys that were changed over TCP, as they are stored and read again."""
    before = bench.engine.entries["tick"].overlay.remote
    bench.restart()
    assert bench.engine.entries["tick"].overlay.remote == before
    return set(before)


# --- making ------------------------------------------------------------------------------------


def test_a_dynamic_job_fires_like_any_other() -> None:
    bench = Bench()
    created = bench.create(once_in(600))
    assert (created.outcome, created.error) == ("created", None)
    bench.go_to(599.999)
    assert bench.started() == []
    bench.go_to(600)
    assert bench.starts_at() == [600]


def test_who_made_it_and_in_which_run_is_written_down() -> None:
    bench = Bench()
    bench.create(once_in(600), run_id="run_1")
    record = bench.all(InstallJob)[-1]
    assert record.creation == Creation(START, "ann", "run_1")
    assert record.origin is None


def test_loading_files_leaves_dynamic_jobs_alone() -> None:
    bench = Bench(make_job("a"))
    bench.create(once_in(600))
    bench.load(make_job("b"))
    assert set(bench.engine.entries) == {"b", "reminder"}
    bench.load()
    bench.go_to(600)
    assert [run.job_name for run in bench.started() if run.job_name == "reminder"] == ["reminder"]


def test_it_survives_a_restart_and_is_caught_up_with() -> None:
    bench = Bench()
    bench.create(once_in(600))
    bench.wall += 700_000
    bench.elapsed += 700_000
    bench.restart()
    assert bench.starts_at() == [600]
    assert bench.started()[0].trigger is Trigger.CATCHUP


def test_a_once_that_has_succeeded_leaves_the_list() -> None:
    bench = Bench()
    bench.create(once_in(60))
    bench.go_to(60)
    bench.end(bench.started()[0])
    assert "reminder" not in bench.engine.entries
    assert len(bench.all(RemoveJob)) == 1


def test_one_that_is_to_be_kept_stays_completed() -> None:
    bench = Bench()
    bench.create(once_in(60, keep=True))
    bench.go_to(60)
    bench.end(bench.started()[0])
    assert bench.engine.entries["reminder"].status is JobStatus.COMPLETED


def test_one_that_has_failed_stays_and_leaves_after_a_retry() -> None:
    bench = Bench()
    bench.create(once_in(60))
    bench.go_to(60)
    run = bench.started()[0]
    bench.end(run, EndKind.RAISED)
    assert bench.engine.entries["reminder"].consecutive_failures == 1
    bench.feed(RetryRequested("r", run))
    bench.end(bench.started()[-1])
    assert "reminder" not in bench.engine.entries


def test_running_a_once_by_hand_before_its_time_does_not_end_it() -> None:
    bench = Bench()
    bench.create(once_in(60))
    bench.feed(TriggerRequested("t", "reminder", Trigger.API))
    bench.end(bench.started()[0])
    assert bench.engine.entries["reminder"].status is JobStatus.ACTIVE


def test_a_once_for_this_very_moment_fires() -> None:
    bench = Bench()
    bench.create(once_in(0))
    bench.go_to(0.001)
    assert bench.starts_at() == [0]


def test_a_name_is_given_once() -> None:
    bench = Bench(make_job("a"))
    bench.feed(ConfigLoaded({"a": Wanted(make_job("a"), Origin("jobs.d/a.yaml", 3))}))
    bench.create(once_in(60))
    again = bench.create(once_in(90))
    assert (again.outcome, again.error) == ("refused", "name_taken")
    for if_exists in ("error", "keep", "replace"):
        of_file = bench.create(once_in(60, "a"), if_exists)  # type: ignore[arg-type]
        assert of_file.error == "file_owned"
        assert "jobs.d/a.yaml:3" in of_file.message


def test_keep_leaves_the_one_that_is_there() -> None:
    bench = Bench()
    first = bench.create(once_in(60))
    kept = bench.create(once_in(90), "keep")
    assert (kept.outcome, kept.job_id) == ("kept", first.job_id)
    bench.go_to(60)
    assert bench.starts_at() == [60]


def test_replace_begins_anew_under_the_same_id() -> None:
    bench = Bench()
    first = bench.create(once_in(60, metadata={"n": 1}))
    write(bench, name="reminder", seen=True)
    replaced = bench.create(once_in(90, metadata={"n": 2}), "replace")
    assert (replaced.outcome, replaced.job_id) == ("replaced", first.job_id)
    assert metadata(bench, "reminder") == {"n": 2}
    bench.go_to(60)
    assert bench.starts_at() == []
    bench.go_to(90)
    assert bench.starts_at() == [90]


def test_replacing_by_the_same_changes_nothing() -> None:
    bench = Bench()
    bench.create(make_job("sync", Interval(60_000)))
    bench.go_to(59)
    assert bench.create(make_job("sync", Interval(60_000)), "replace").outcome == "kept"
    bench.go_to(60)
    assert bench.starts_at() == [60]


def test_replacing_a_failed_once_by_the_same_runs_it_again_only_if_it_is_due_again() -> None:
    bench = Bench()
    bench.create(once_in(60))
    bench.go_to(60)
    bench.end(bench.started()[0], EndKind.RAISED)
    bench.create(once_in(120), "replace")
    bench.go_to(120)
    assert bench.starts_at() == [60, 120]


def test_a_once_that_was_switched_off_at_its_moment_fires_when_it_is_asked_for_again() -> None:
    bench = Bench()
    bench.create(once_in(5, enabled=False))
    bench.go_to(10)
    bench.create(once_in(5, keep=True), "replace")
    bench.go_to(10)
    assert bench.starts_at() == [5]
    bench.end(bench.started()[0])
    bench.create(once_in(5, keep=True, enabled=False), "replace")
    bench.create(once_in(5, keep=True), "replace")
    bench.go_to(20)
    assert bench.starts_at() == [5], "what it had its turn for does not come again"


def test_a_once_that_is_asked_for_again_while_it_runs_takes_nothing_from_its_run() -> None:
    bench = Bench()
    job = once_in(60, overlap=Overlap.ALLOW)
    bench.create(job)
    bench.go_to(60)
    bench.create(once_in(90), "replace")
    bench.create(job, "replace")  # all within one millisecond
    bench.go_to(60)
    first, again = bench.claims()
    assert first.id != again.id
    bench.feed(ClaimsRefused((again.id,)))  # the store has a row for that instant
    bench.end(first)
    assert bench.all(SaveRun)[-1].run.state is RunState.SUCCEEDED


def test_made_inactive_it_waits_for_somebody_to_resume_it() -> None:
    bench = Bench()
    bench.create(make_job("sync"), pause_reason="created inactive")
    bench.go_to(60)
    assert bench.started() == []
    bench.feed(ResumeRequested("r", "sync"))
    bench.go_to(120)
    assert bench.starts_at() == [120]


def test_there_may_be_so_many_and_no_more() -> None:
    bench = Bench(bounds=Bounds(100, max_dynamic_jobs=3, max_dynamic_jobs_per_user=2))
    assert bench.create(once_in(60, "a", user="ann")).error is None
    assert bench.create(once_in(60, "b", user="ann")).error is None
    assert bench.create(once_in(60, "c", user="ann")).error == "too_many_jobs"
    assert bench.create(once_in(60, "d", user="bob")).error is None
    assert bench.create(once_in(60, "e")).error == "too_many_jobs"
    bench.feed(DeleteRequested("x", "a"))
    assert bench.create(once_in(60, "c", user="ann")).error is None


def test_the_count_of_a_user_follows_changes_and_restarts() -> None:
    bench = Bench(bounds=Bounds(100, max_dynamic_jobs_per_user=1))
    bench.create(once_in(60, "a", user="ann"))
    bench.restart()
    assert bench.create(once_in(60, "b", user="ann")).error == "too_many_jobs"
    moved = once_in(60, "a", user="bob")
    revision = bench.engine.entries["a"].job.revision
    bench.feed(ChangeRequested("c", "a", moved, revision))
    assert bench.create(once_in(60, "b", user="ann")).error is None
    assert bench.create(once_in(60, "c", user="bob")).error == "too_many_jobs"


def test_a_key_is_remembered_with_what_was_made() -> None:
    bench = Bench()
    key = AnswerKey("k", "f")
    created = bench.create(once_in(60), key=key)
    assert bench.all(RememberKey) == [RememberKey(key, created.job_id, START)]
    bench.create(once_in(60), key=AnswerKey("other", "f"))
    assert len(bench.all(RememberKey)) == 1, "what was refused was not granted"


# --- files and dynamic jobs of one name ----------------------------------------------------------


def declare(bench: Bench, *jobs: Job, path: str = "jobs.d/a.yaml") -> None:
    bench.feed(ConfigLoaded({job.name: Wanted(job, Origin(path)) for job in jobs}))


def test_a_file_takes_the_name_of_a_dynamic_job_which_goes_on_when_the_file_is_gone() -> None:
    bench = Bench()
    created = bench.create(make_job("sync", Interval(60_000), metadata={"n": 1}))
    write(bench, name="sync", n=2)
    declare(bench, make_job("sync", Interval(7_000)))
    other = bench.engine.entries[created.job_id]
    assert bench.engine.entries["sync"].job.schedule == Interval(7_000)
    assert other.status is JobStatus.PAUSED
    assert other.halt is not None
    assert other.halt.reason == "name declared by jobs.d/a.yaml"
    bench.go_to(60)
    assert ("paused", 60, 60, 1) in bench.skips()
    assert bench.starts_at() == [7 * 8], "the eight late ones of the file are one"
    bench.restart()
    declare(bench, make_job("sync", Interval(7_000)))
    bench.load()
    again = bench.engine.entries["sync"]
    assert (again.job_id, again.status) == (created.job_id, JobStatus.ACTIVE)
    assert again.current.metadata == {"n": 2}
    bench.go_to(120)
    assert bench.starts_at()[-1] == 120


def test_the_name_is_taken_also_by_a_file_that_came_while_luad_was_down() -> None:
    bench = Bench()
    created = bench.create(make_job("sync", Interval(60_000)))
    bench.restart()
    bench = _restarted_with(bench, make_job("sync", Interval(7_000)))
    assert bench.engine.entries["sync"].job.schedule == Interval(7_000)
    assert bench.engine.entries[created.job_id].status is JobStatus.PAUSED


def _restarted_with(bench: Bench, *jobs: Job) -> Bench:
    load, bench.load = bench.load, lambda *_: []  # type: ignore[method-assign]
    bench.restart()
    bench.load = load  # type: ignore[method-assign]
    declare(bench, *jobs)
    return bench


def test_what_waits_of_a_job_that_lost_its_name_is_cancelled_and_what_runs_ends() -> None:
    bench = Bench(bounds=Bounds(1))
    bench.create(make_job("sync", Interval(60_000), overlap=Overlap.QUEUE))
    bench.go_to(60)
    bench.go_to(120)
    declare(bench, make_job("sync", Interval(7_000)))
    cancelled = [run for run in map(_run, bench.all(SaveRun)) if run.state is RunState.CANCELLED]
    assert [(run.scheduled_for - START, run.reason) for run in cancelled] == [
        (120_000, Reason.PAUSED)
    ]
    bench.end(bench.started()[0])
    assert bench.all(SaveRun)[-1].run.state is not RunState.CANCELLED


def _run(record: SaveRun) -> Run:
    return record.run


def test_a_job_that_lost_its_name_is_reached_by_its_id() -> None:
    bench = Bench()
    created = bench.create(make_job("sync"))
    declare(bench, make_job("sync", Interval(7_000)))
    bench.feed(ResumeRequested("r", created.job_id))
    assert bench.reply().error == "conflict"
    assert "name declared by jobs.d/a.yaml" in bench.reply().message
    write(bench, name=created.job_id, seen=True)
    assert metadata(bench, created.job_id) == {"seen": True}
    revision = bench.engine.entries[created.job_id].job.revision
    changed = make_job("sync", Interval(90_000))
    bench.feed(ChangeRequested("c", created.job_id, changed, revision))
    assert bench.reply().error is None
    assert bench.all(InstallJob)[-1].holds_name is False
    bench.feed(TriggerRequested("t", created.job_id, Trigger.API))
    assert bench.started()[-1].job_id == created.job_id
    bench.feed(DeleteRequested("d", created.job_id))
    assert set(bench.engine.entries) == {"sync"}


def test_a_pause_of_its_own_is_still_there_when_the_name_comes_back() -> None:
    bench = Bench()
    bench.create(make_job("sync"))
    bench.feed(PauseRequested("p", "sync", "mine"))
    declare(bench, make_job("sync", Interval(7_000)))
    bench.load()
    pause = bench.engine.entries["sync"].halt
    assert pause is not None
    assert pause.reason == "mine"


# --- a once that is over ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [EndKind.RAISED, EndKind.TIMED_OUT, EndKind.LOST])
def test_a_once_that_is_over_gives_its_name_to_the_next(kind: EndKind) -> None:
    bench = Bench()
    first = bench.create(once_in(60))
    bench.go_to(60)
    assert bench.create(once_in(90)).error == "name_taken", "it runs"
    bench.end(bench.started()[0], kind)
    for if_exists in ("keep", "error", "replace"):
        again = bench.create(once_in(9_000), if_exists)  # type: ignore[arg-type]
        assert (again.outcome, again.earlier_id) == ("created", first.job_id)
        assert bench.engine.entries[first.job_id].status is JobStatus.COMPLETED
        bench.feed(DeleteRequested("d", again.job_id))
    assert bench.engine.entries["reminder"].job_id == first.job_id, "it has its name back"


def test_so_does_one_that_was_missed_and_one_that_was_skipped() -> None:
    bench = Bench()
    missed = bench.create(once_in(60, "missed", catch_up_window_ms=1_000))
    paused = bench.create(once_in(60, "paused"))
    bench.feed(PauseRequested("p", "paused"))
    bench.go_to(600)
    for created, name in ((missed, "missed"), (paused, "paused")):
        assert bench.engine.entries[name].standing.over_at == bench.wall
        again = bench.create(once_in(9_000, name), "keep")
        assert (again.outcome, again.earlier_id) == ("created", created.job_id)


def test_what_is_over_does_not_count_for_quotas() -> None:
    bench = Bench(bounds=Bounds(100, max_dynamic_jobs=2, max_dynamic_jobs_per_user=1))
    for number in range(5):
        assert bench.create(once_in(0, f"a{number}", user="ann")).error is None
        bench.go_to(0.001)
        bench.end(bench.started()[-1], EndKind.RAISED)
    bench.restart()
    assert bench.create(once_in(60, "b", user="ann")).error is None
    assert bench.create(once_in(60, "c", user="ann")).error == "too_many_jobs"
    bench.feed(RetryRequested("r", bench.started()[0]))
    assert bench.create(once_in(60, "d")).error == "too_many_jobs", "it is not over now"


def test_a_once_to_be_kept_holds_its_name_and_its_place() -> None:
    bench = Bench(bounds=Bounds(100, max_dynamic_jobs=1))
    first = bench.create(once_in(60, keep=True))
    bench.go_to(60)
    bench.end(bench.started()[0])
    kept = bench.create(once_in(90, keep=True), "keep")
    assert (kept.outcome, kept.job_id) == ("kept", first.job_id)
    assert bench.create(once_in(90, "other")).error == "too_many_jobs"


def test_a_file_takes_the_name_of_what_is_over_without_a_pause() -> None:
    bench = Bench()
    first = bench.create(once_in(60))
    bench.go_to(60)
    bench.end(bench.started()[0], EndKind.RAISED)
    declare(bench, make_job("reminder", Interval(7_000)))
    assert bench.engine.entries[first.job_id].status is JobStatus.COMPLETED
    bench.feed(RetryRequested("r", bench.started()[0]))
    assert bench.started()[-1].job_id == first.job_id
    bench.end(bench.started()[-1])
    assert first.job_id not in bench.engine.entries


def test_what_is_over_and_has_lost_its_name_cannot_be_made_due_again() -> None:
    bench = Bench()
    first = bench.create(once_in(60))
    bench.go_to(60)
    bench.end(bench.started()[0], EndKind.RAISED)
    bench.create(once_in(600))
    revision = bench.engine.entries[first.job_id].job.revision
    bench.feed(ChangeRequested("c", first.job_id, once_in(700), revision))
    assert bench.reply().error == "name_taken"


def test_of_very_many_that_are_over_the_earliest_leave() -> None:
    bench = Bench(bounds=Bounds(20_000))
    bench.engine._dynamic_jobs.most_over = 2
    for number in range(4):
        bench.create(once_in(0, f"a{number}"))
        bench.go_to(0.001 + number)
        bench.end(bench.started()[-1], EndKind.RAISED)
    assert set(bench.engine.entries) == {"a2", "a3"}


# --- changing and removing -----------------------------------------------------------------------


def test_a_removed_job_never_fires_and_what_runs_ends_normally() -> None:
    bench = Bench()
    bench.create(make_job("sync"))
    bench.go_to(60)
    run = bench.started()[0]
    bench.feed(DeleteRequested("x", "sync"))
    bench.end(run)
    bench.go_to(600)
    assert bench.starts_at() == [60]
    assert bench.all(ClaimRun)[-1].run.id == run.id


def test_a_run_whose_job_was_removed_is_not_tried_again() -> None:
    bench = Bench()
    bench.create(make_job("sync", retry=Retry(5)))
    bench.go_to(60)
    run = bench.started()[0]
    bench.feed(DeleteRequested("x", "sync"))
    bench.end(run, EndKind.RAISED)
    bench.go_to(120)
    assert len(bench.all(StartAttempt)) == 1


@pytest.mark.parametrize(
    "event", [DeleteRequested("x", "a"), ChangeRequested("x", "a", make_job("a"), "")]
)
def test_what_a_file_declares_is_the_files(event: Any) -> None:
    bench = Bench()
    bench.feed(ConfigLoaded({"a": Wanted(make_job("a"), Origin("jobs.d/a.yaml", 7))}))
    bench.feed(event)
    assert bench.reply().error == "file_owned"
    assert "jobs.d/a.yaml:7" in bench.reply().message
    assert "a" in bench.engine.entries


def test_a_change_is_refused_when_another_one_came_first() -> None:
    bench = Bench()
    bench.create(make_job("sync"))
    revision = bench.engine.entries["sync"].job.revision
    bench.feed(ChangeRequested("1", "sync", make_job("sync", Interval(7_000)), revision))
    assert bench.reply().error is None
    bench.feed(ChangeRequested("2", "sync", make_job("sync", Interval(9_000)), revision))
    assert bench.reply().error == "conflict"
    bench.go_to(7)
    assert bench.starts_at() == [7]


def test_an_entity_tag_guards_every_kind_of_write() -> None:
    bench = Bench()
    bench.create(make_job("sync"))
    tag = bench.engine.entries["sync"].version
    bench.feed(MetadataRequested("1", "sync", {"a": 1}, if_match=tag))
    assert bench.reply().error is None
    revision = bench.engine.entries["sync"].job.revision
    for event in (
        MetadataRequested("2", "sync", {"a": 2}, if_match=tag),
        DeleteRequested("3", "sync", tag),
        ChangeRequested("4", "sync", make_job("sync"), revision, tag),
    ):
        bench.feed(event)
        assert bench.reply().error == "precondition_failed"


def test_runs_that_are_still_to_end_may_write_while_luad_drains() -> None:
    bench = Bench(make_job())
    bench.create(make_job("sync"))
    bench.feed(DrainRequested())
    write(bench, done=True)
    bench.feed(DeleteRequested("x", "sync"))
    assert bench.reply().error is None
    bench.feed(TriggerRequested("t", "tick", Trigger.API))
    assert bench.reply().error == "draining"


def test_what_was_over_long_ago_is_forgotten() -> None:
    bench = Bench()
    bench.create(once_in(60, "failed"))
    bench.create(once_in(60, "kept", keep=True))
    bench.create(once_in(10 * 86_400, "future"))
    bench.go_to(60)
    for run in bench.started():
        bench.end(run, EndKind.RAISED)
    bench.go_to(86_400)
    bench.feed(ForgetCompleted(bench.wall - 2 * DAY))
    assert set(bench.engine.entries) == {"failed", "kept", "future"}
    bench.feed(ForgetCompleted(bench.wall))
    assert set(bench.engine.entries) == {"kept", "future"}


# --- metadata ------------------------------------------------------------------------------------


def test_what_is_written_wins_over_what_is_declared() -> None:
    bench = Bench(make_job(metadata={"region": "emea", "n": 1}))
    write(bench, n=2, last=None)
    assert metadata(bench) == {"region": "emea", "n": 2, "last": None}
    bench.go_to(60)
    assert bench.all(StartAttempt)[-1].job.metadata == {"region": "emea", "n": 2, "last": None}


def test_until_that_key_is_declared_differently() -> None:
    bench = Bench(make_job(metadata={"region": "emea", "n": 1}))
    write(bench, n=2, region="apac", mine=True)
    bench.load(make_job(metadata={"region": "amer", "n": 1}))
    assert metadata(bench) == {"region": "amer", "n": 2, "mine": True}


def test_also_while_luad_was_down() -> None:
    bench = Bench(make_job(metadata={"n": 1}))
    write(bench, n=2, mine=True)
    bench.restart()
    assert metadata(bench) == {"n": 2, "mine": True}
    bench.load(make_job(metadata={"n": 3}))
    assert metadata(bench) == {"n": 3, "mine": True}


def test_replacing_hides_what_is_declared_and_patching_removes() -> None:
    bench = Bench(make_job(metadata={"a": 1, "b": {"c": 1, "d": 2}}))
    write(bench, "patch", b={"c": None, "e": 3})
    assert metadata(bench) == {"a": 1, "b": {"d": 2, "e": 3}}
    write(bench, "replace", only=True)
    assert metadata(bench) == {"only": True}
    write(bench, "merge", a=5)
    assert metadata(bench) == {"only": True, "a": 5}


def test_true_is_not_one() -> None:
    bench = Bench(make_job(metadata={"a": 1}))
    write(bench, a=True)
    assert metadata(bench)["a"] is True
    write(bench, a=1, b=0)
    write(bench, b=False)
    bench.restart()
    assert json.dumps(metadata(bench)) == '{"a": 1, "b": false}'
    write(bench, a=5)
    bench.load(make_job(metadata={"a": True}))
    assert metadata(bench)["a"] is True, "it is declared differently now"


def test_a_key_that_a_client_restores_over_tcp_is_changed_over_tcp() -> None:
    bench = Bench(make_job(metadata={"dry_run": False, "n": 1}))
    write(bench, dry_run=True)
    assert marks(bench) == set()
    write_afar(bench, dry_run=False)
    assert metadata(bench) == {"dry_run": False, "n": 1}
    assert marks(bench) == {"dry_run"}
    write(bench, n=2)
    write_afar(bench, n=2)
    assert marks(bench) == {"dry_run"}, "n is as a local client wrote it"
    write(bench, dry_run=False)
    assert marks(bench) == set()


@pytest.mark.parametrize(("mode", "values"), [("replace", {"n": 1}), ("patch", {"mine": None})])
def test_a_key_that_a_client_removes_over_tcp_is_changed_over_tcp(
    mode: str, values: dict[str, Any]
) -> None:
    bench = Bench(make_job(metadata={"n": 1}))
    write(bench, mine=True)
    write_afar(bench, mode, **values)
    assert metadata(bench) == {"n": 1}
    assert marks(bench) == {"mine"}
    write(bench, n=1)
    assert marks(bench) == {"mine"}
    write(bench, "patch", mine=None)
    assert marks(bench) == set()


def test_a_mark_without_a_difference_changes_no_entity_tag() -> None:
    bench = Bench(make_job(metadata={"n": 1}))
    tag = bench.engine.entries["tick"].version
    write_afar(bench, n=2)
    write_afar(bench, n=1)
    assert marks(bench) == {"n"}
    assert bench.engine.entries["tick"].version == tag


def test_the_mark_goes_when_the_file_declares_that_key_differently() -> None:
    bench = Bench(make_job(metadata={"n": 1, "m": 1}))
    write_afar(bench, n=2, m=2, new=1)
    write_afar(bench, "replace", n=1, m=1)
    bench.load(make_job(metadata={"n": 1, "m": 3}))
    assert marks(bench) == {"n", "new"}
    bench.load(make_job(metadata={"n": 2, "m": 3, "new": 5}))
    assert marks(bench) == set()


@pytest.mark.parametrize(
    ("mode", "values", "is_lifted"),
    [
        ("patch", {"env": {"OTHER": "1"}}, False),
        ("patch", {"env": {"SHELL": "/bin/sh"}}, False),
        ("patch", {"env": {"SHELL": None}}, False),
        ("patch", {"env": {}}, False),
        ("patch", {"other": 1}, False),
        ("patch", {"env": None}, True),
        ("patch", {"env": "none"}, True),
        ("merge", {"env": {"OTHER": "1"}}, True),
        ("merge", {"other": 1}, False),
        ("replace", {"other": 1}, True),
        ("replace", {}, True),
    ],
)
def test_a_local_write_lifts_the_mark_of_a_key_whose_whole_value_it_gives(
    mode: str, values: dict[str, Any], is_lifted: bool
) -> None:
    bench = Bench(make_job(metadata={"env": {"A": "1", "SHELL": "/bin/bash"}}))
    write_afar(bench, "patch", env={"SHELL": "/bin/echo"})
    write(bench, mode, **values)
    assert marks(bench) == (set() if is_lifted else {"env"})


def test_an_object_that_a_client_removed_over_tcp_is_not_mended_by_a_part_of_it() -> None:
    bench = Bench(make_job(metadata={"env": {"A": "1"}}))
    write_afar(bench, "patch", env=None)
    write(bench, "patch", env={"B": "1"})
    assert marks(bench) == {"env"}


def test_the_keys_that_clients_change_over_tcp_have_a_size() -> None:
    bench = Bench(make_job())
    long = "k" * 40_000
    write_afar(bench, **{long: 1})
    write_afar(bench, "replace")
    bench.feed(MetadataRequested("w", "tick", {long + "k": 1}, is_remote=True))
    reply = bench.reply()
    assert (reply.error, "over TCP would have 80009 bytes" in reply.message) == ("validation", True)
    assert metadata(bench) == {}
    write_afar(bench, **{long: 2})
    write(bench, "replace")
    write_afar(bench, **{long + "k": 1})


@pytest.mark.parametrize(
    ("values", "is_remote", "mark"),
    [
        (None, True, False),
        ({}, True, False),
        ({"n": 1}, True, True),
        ({"n": 1}, False, False),
    ],
)
def test_a_run_is_marked_when_its_own_metadata_came_over_tcp(
    values: Any, is_remote: bool, mark: bool
) -> None:
    bench = Bench(make_job(metadata={"n": 1}))
    bench.feed(TriggerRequested("t", "tick", Trigger.API, values, is_remote=is_remote))
    run = bench.reply().value
    assert isinstance(run, Run)
    assert run.is_remote is mark


def test_metadata_have_a_size() -> None:
    bench = Bench(make_job())
    bench.feed(MetadataRequested("w", "tick", {"a": "x" * 70_000}))
    assert bench.reply().error == "validation"
    assert metadata(bench) == {}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 5) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from("abc"), json_values, max_size=3)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["merge", "patch", "replace"]), objects), max_size=6),
    objects,
    st.booleans(),
)
@pytest.mark.slow
def test_metadata_are_what_a_plain_dict_would_be(
    writes: list[tuple[str, dict[str, Any]]], declared: dict[str, Any], is_restarted: bool
) -> None:
    bench = Bench(make_job(metadata=declared))
    model = dict(declared)
    for mode, values in writes:
        bench.feed(MetadataRequested("w", "tick", values, mode))  # type: ignore[arg-type]
        if mode == "merge":
            model |= values
        elif mode == "patch":
            model = merge_patch(model, values)
        else:
            model = dict(values)
        if is_restarted:
            bench.restart()
        assert json.dumps(metadata(bench), sort_keys=True) == json.dumps(model, sort_keys=True)
        assert bench.reply().error is None


RFC_7396 = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("target", "patch", "result"), RFC_7396)
def test_a_merge_patch_is_that_of_the_rfc(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


def test_the_user_of_a_job_stands_in_its_runs() -> None:
    bench = Bench()
    bench.create(once_in(60, user="ann"))
    bench.go_to(60)
    assert bench.started()[0].user == "ann"
    assert bench.started()[0].state is RunState.RUNNING
