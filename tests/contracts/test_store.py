"""The contract of every store.

`support.stores` names the stores.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.stores import STORES

from luad.clock import Now
from luad.core.events import (
    ClaimRun,
    ExtendSkip,
    InstallJob,
    RecordSkip,
    RemoveJob,
    Restored,
    SaveProgress,
    SaveRun,
    StoredJob,
)
from luad.core.installed import Pause
from luad.core.model import (
    DAY,
    HOUR,
    OPEN_STATES,
    Ending,
    EndKind,
    Interval,
    Job,
    Origin,
    ProcessIdentity,
    Reason,
    Run,
    RunError,
    RunState,
    Skip,
    Trigger,
)
from luad.errors import ConflictError, NotFoundError, UsageError
from luad.store import Attempt, Pruned, RunFilter, RunRow, Store, columns, log_chunks
from luad.store.run_stats import Group

NOW = 1_800_000_000_000


@dataclass
class HandClock:
    """A clock that stands until somebody moves it; or each look at it takes *look_ms*."""

    wall: int = NOW
    elapsed: int = 0
    look_ms: int = 0

    def now(self) -> Now:
        self.elapsed += self.look_ms
        return Now(self.wall, self.elapsed)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(params=STORES.values(), ids=STORES.keys())
def reopen(request: pytest.FixtureRequest, tmp_path: Path, clock: HandClock) -> Callable[[], Store]:
    return lambda: request.param(tmp_path, clock)


@pytest.fixture
async def store(reopen: Callable[[], Store]) -> AsyncIterator[Store]:
    opened = reopen()
    yield opened
    opened.close()


def make_run(number: int = 1, job: str = "backup", **changes: Any) -> Run:
    run = Run(
        id=f"run_{number:026d}",
        job_name=job,
        job_id=f"job_{job}",
        revision="r1",
        trigger=Trigger.SCHEDULE,
        scheduled_for=NOW + number,
        fire_at=NOW + number,
        claimed_at=NOW + number,
    )
    return replace(run, **changes)


def ended(run: Run, state: RunState = RunState.SUCCEEDED, **changes: Any) -> Run:
    at = run.claimed_at + 700
    ending = Ending(EndKind.RETURNED, at, exit_code=0, result_json="null")
    return replace(
        run, state=state, started_at=run.claimed_at + 5, ended_at=at, ending=ending, **changes
    )


def make_job(name: str = "backup", **changes: Any) -> Job:
    definition = {"name": name, "handler": "m:f", "schedule": {"type": "interval", "seconds": 60}}
    job = Job(name, "m:f", Interval(60_000), revision="r1", definition=definition)
    return replace(job, **changes)


def install(name: str = "backup", **changes: Any) -> InstallJob:
    return InstallJob(f"job_{name}", make_job(name, **changes), Origin(f"jobs.d/{name}.yaml"), NOW)


def skip_at(last: int, *, first: int | None = None, count: int = 1) -> Skip:
    first = last if first is None else first
    return Skip(RunState.SKIPPED, Reason.PAUSED, NOW + first, NOW + last, count)


def resume_run(number: int, due: int, at: int) -> Run:
    run = make_run(number)
    return replace(run, trigger=Trigger.RESUME, scheduled_for=NOW + due, claimed_at=NOW + at)


def record_skip(number: int, skip: Skip, job: str = "backup") -> RecordSkip:
    return RecordSkip(f"run_{number:026d}", job, f"job_{job}", "r1", skip, NOW + number)


async def history(store: Store, wanted: RunFilter | None = None) -> list[RunRow]:
    """All rows, by small pages."""
    rows: list[RunRow] = []
    cursor: str | None = None
    while True:
        page, cursor = await store.runs(wanted or RunFilter(), limit=7, cursor=cursor)
        rows += page
        if cursor is None:
            return rows


# --- what start-up needs -----------------------------------------------------------------------


async def test_a_fresh_store_remembers_nothing(store: Store) -> None:
    assert store.restore() == Restored()
    assert await store.runs() == ([], None)


async def test_an_installed_job_comes_back_whole(
    store: Store, reopen: Callable[[], Store], clock: HandClock
) -> None:
    pause = Pause(NOW, "Q4 numbers", "ann", NOW + DAY)
    progress = SaveProgress("job_backup", NOW - 5, NOW + 60_000, 3, pause)
    await store.apply([install(), progress])
    store.close()
    again = reopen()
    assert again.restore() == Restored(
        jobs=(
            StoredJob(
                job_id="job_backup",
                name="backup",
                definition=columns.to_json(make_job().definition),
                revision="r1",
                origin=Origin("jobs.d/backup.yaml"),
                installed_at=NOW,
                progress=progress,
            ),
        ),
        last_seen=clock.wall,
    )
    again.close()


async def test_a_new_revision_keeps_the_progress_and_the_first_installation(store: Store) -> None:
    progress = SaveProgress("job_backup", NOW - 5, NOW + 60_000, 3, None)
    await store.apply([install(), progress])
    later = InstallJob("job_backup", make_job(revision="r2"), None, NOW + DAY)
    await store.apply([later])
    (job,) = store.restore().jobs
    assert (job.revision, job.origin, job.installed_at) == ("r2", None, NOW)
    assert job.progress == progress


async def test_a_job_without_progress_begins_where_it_was_installed(store: Store) -> None:
    await store.apply([install()])
    (job,) = store.restore().jobs
    assert job.progress == SaveProgress("job_backup", NOW, NOW, 0, None)


async def test_records_about_jobs_are_written_in_order(store: Store) -> None:
    gone = RemoveJob("job_backup", "backup", NOW)
    progress = SaveProgress("job_backup", 1, 2, 3, None)
    await store.apply([install(), progress, gone, install(revision="r9")])
    (job,) = store.restore().jobs
    assert job.revision == "r9"
    assert job.progress == SaveProgress("job_backup", NOW, NOW, 0, None)
    await store.apply([gone])
    assert store.restore().jobs == ()


async def test_a_name_belongs_to_the_job_that_took_it_last(store: Store) -> None:
    def named(job_id: str) -> InstallJob:
        return InstallJob(job_id, make_job(), None, NOW)

    await store.apply([named("job_1")])
    await store.apply([named("job_2"), named("job_3")])
    assert [job.job_id for job in store.restore().jobs] == ["job_3"]


async def test_open_runs_come_back_and_others_do_not(store: Store) -> None:
    identity = ProcessIdentity(4711, 123_456, "b007-1d")
    running = make_run(1, state=RunState.RUNNING, started_at=NOW, identity=identity)
    retrying = make_run(2, state=RunState.RETRYING, retry_at=NOW + HOUR, attempt=2)
    queued = make_run(3, metadata={"only": ["this", 1]})
    over = make_run(4)
    await store.apply([ClaimRun(make_run(number)) for number in (1, 2, 4)] + [ClaimRun(queued)])
    await store.apply([SaveRun(running), SaveRun(retrying), SaveRun(ended(over))])
    assert store.restore().open_runs == (running, retrying, queued)


async def test_the_last_sign_of_life_is_kept(
    store: Store, reopen: Callable[[], Store], clock: HandClock
) -> None:
    await store.apply([install()])
    clock.wall += HOUR
    await store.apply([install()])
    store.close()
    again = reopen()
    assert again.restore().last_seen == NOW + HOUR
    again.note_alive(NOW - DAY)  # the clock was wrong, and has been put right
    again.close()
    third = reopen()
    assert third.restore().last_seen == NOW - DAY
    third.close()


# --- claims ------------------------------------------------------------------------------------


async def test_an_occurrence_is_claimed_once(store: Store) -> None:
    first, second = make_run(1), make_run(2, scheduled_for=NOW + 1)
    assert await store.apply([ClaimRun(first)]) == ()
    assert await store.apply([ClaimRun(second), ClaimRun(make_run(3))]) == (second.id,)
    assert {row.run.id for row in await history(store)} == {first.id, make_run(3).id}


async def test_a_refused_run_leaves_no_trace(store: Store) -> None:
    await store.apply([ClaimRun(make_run(1))])
    refused = make_run(2, scheduled_for=NOW + 1)
    await store.apply([ClaimRun(refused), SaveRun(ended(refused, attempt=2))])
    assert [row.run for row in await history(store)] == [make_run(1)]


async def test_a_claim_that_is_repeated_is_not_refused(store: Store) -> None:
    claims = [ClaimRun(make_run(number)) for number in range(1, 4)]
    await store.apply(claims)
    assert await store.apply([*claims, ClaimRun(make_run(4))]) == ()


async def test_a_claim_with_the_id_of_a_run_that_is_over_is_refused(store: Store) -> None:
    """Where every boot begins in 1970, an occurrence gets the id that it had in an earlier life."""
    claim = ClaimRun(make_run(1))
    await store.apply([claim, SaveRun(ended(make_run(1)))])
    assert await store.apply([claim, ClaimRun(make_run(2))]) == (make_run(1).id,)
    assert (await store.run(make_run(1).id)).run == ended(make_run(1))


async def test_the_same_instant_of_another_job_is_another_occurrence(store: Store) -> None:
    claims = [ClaimRun(make_run(1)), ClaimRun(make_run(2, job="other", scheduled_for=NOW + 1))]
    assert await store.apply(claims) == ()


async def test_catch_up_and_schedule_share_their_occurrences(store: Store) -> None:
    await store.apply([ClaimRun(make_run(1))])
    late = make_run(2, scheduled_for=NOW + 1, trigger=Trigger.CATCHUP)
    assert await store.apply([ClaimRun(late)]) == (late.id,)


@pytest.mark.parametrize("trigger", [Trigger.MANUAL, Trigger.API, Trigger.RETRY])
async def test_runs_by_hand_take_no_occurrence(store: Store, trigger: Trigger) -> None:
    runs = [make_run(number, scheduled_for=NOW, trigger=trigger) for number in (1, 2)]
    scheduled = make_run(3, scheduled_for=NOW)
    assert await store.apply([ClaimRun(run) for run in [*runs, scheduled]]) == ()
    assert len(await history(store)) == 3


async def test_a_skipped_occurrence_cannot_be_claimed(store: Store) -> None:
    await store.apply([record_skip(1, skip_at(9, first=2, count=8))])
    late = make_run(2, scheduled_for=NOW + 9)
    assert await store.apply([ClaimRun(late)]) == (late.id,)


async def test_a_claimed_occurrence_is_not_skipped_as_well(store: Store) -> None:
    await store.apply([ClaimRun(make_run(1))])
    batch = [record_skip(2, skip_at(1)), record_skip(3, skip_at(5)), ClaimRun(make_run(7))]
    assert await store.apply(batch) == (make_run(2).id,)
    assert await store.apply(batch[1:]) == ()  # a repetition
    assert {row.run.id for row in await history(store)} == {make_run(n).id for n in (1, 3, 7)}


def test_of_two_that_claim_at_once_one_wins(reopen: Callable[[], Store]) -> None:
    store = reopen()
    barrier = threading.Barrier(2)
    won: list[set[int]] = [set(), set()]

    async def claim(side: int) -> None:
        barrier.wait()
        for number in range(100):
            run = make_run(1_000 * (side + 1) + number, scheduled_for=NOW + number)
            if await store.apply([ClaimRun(run)]) == ():
                won[side].add(number)

    threads = [threading.Thread(target=asyncio.run, args=(claim(side),)) for side in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    assert won[0] | won[1] == set(range(100))
    assert not won[0] & won[1]


# --- the life of a run -------------------------------------------------------------------------


async def test_a_run_is_saved_as_it_is(store: Store) -> None:
    run = make_run(1, metadata={"region": "emea"}, missed_count=4, trigger=Trigger.CATCHUP)
    error = RunError("ValueError", "no — really", "Traceback ...\n  line 1\n")
    over = replace(
        run,
        state=RunState.FAILED,
        revision="r2",
        started_at=NOW + 5,
        ended_at=NOW + 99,
        identity=ProcessIdentity(7, 8, "boot"),
        ending=Ending(EndKind.RAISED, NOW + 99, 1, None, error, None, dropped_bytes=10_000),
    )
    over = replace(over, ending=replace(over.ending, result_omitted="a set", is_retryable=False))
    await store.apply([ClaimRun(run), SaveRun(over)])
    assert await store.run(run.id) == RunRow(over)


@pytest.mark.parametrize("state", [state for state in RunState if state not in OPEN_STATES])
async def test_what_is_over_is_over(store: Store, state: RunState) -> None:
    over = ended(make_run(1), state)
    await store.apply([ClaimRun(make_run(1)), SaveRun(over)])
    await store.apply([SaveRun(replace(over, state=RunState.RUNNING, attempt=2))])
    await store.apply([SaveRun(replace(over, state=RunState.SUCCEEDED, reason=Reason.REPLACED))])
    assert (await store.run(over.id)).run == over


async def test_a_late_result_of_an_earlier_attempt_is_fenced_off(store: Store) -> None:
    second = make_run(1, state=RunState.RUNNING, attempt=2)
    await store.apply([ClaimRun(make_run(1)), SaveRun(second)])
    await store.apply([SaveRun(ended(make_run(1)))])
    assert (await store.run(second.id)).run == second


async def test_the_states_of_one_run_may_come_in_one_batch(store: Store) -> None:
    run = make_run(1)
    running = replace(run, state=RunState.RUNNING)
    await store.apply([ClaimRun(run), SaveRun(running), SaveRun(ended(run)), SaveRun(running)])
    assert (await store.run(run.id)).run == ended(run)


async def test_skipped_rows_tell_how_many_they_stand_for(store: Store) -> None:
    await store.apply([record_skip(1, skip_at(2))])
    grown = replace(skip_at(60, first=2, count=59), is_count_capped=True)
    await store.apply([ExtendSkip(make_run(1).id, grown)])
    (row,) = await history(store)
    assert (row.first_scheduled_for, row.count, row.is_count_capped) == (NOW + 2, 59, True)
    assert (row.run.state, row.run.reason) == (RunState.SKIPPED, Reason.PAUSED)
    assert row.run.scheduled_for == NOW + 60
    late = make_run(5, scheduled_for=NOW + 60)
    assert await store.apply([ClaimRun(late)]) == (late.id,)


async def test_a_skipped_row_does_not_grow_over_a_run(store: Store) -> None:
    await store.apply([record_skip(1, skip_at(2)), ClaimRun(make_run(60))])
    await store.apply([ExtendSkip(make_run(1).id, skip_at(60, first=2, count=59))])
    assert (await store.run(make_run(1).id)).count == 1


async def test_extending_touches_no_run(store: Store) -> None:
    await store.apply([ClaimRun(make_run(1))])
    await store.apply([ExtendSkip(make_run(1).id, skip_at(60))])
    assert (await store.run(make_run(1).id)) == RunRow(make_run(1))


async def test_the_only_attempt_is_told_by_the_run(store: Store) -> None:
    run = make_run(1)
    await store.apply([ClaimRun(run)])
    assert await store.attempts(run.id) == []
    over = ended(run)
    await store.apply([SaveRun(over)])
    assert await store.attempts(run.id) == [
        Attempt(run.id, 1, over.started_at, over.ended_at, kind=EndKind.RETURNED, exit_code=0)
    ]


@pytest.mark.parametrize("in_one_batch", [False, True])
async def test_every_attempt_is_remembered(
    store: Store, clock: HandClock, *, in_one_batch: bool
) -> None:
    run = make_run(1, started_at=NOW + 10)
    failure = Ending(EndKind.RAISED, NOW + 20, 1, error=RunError("KeyError", "'x'"))
    waiting = replace(run, state=RunState.RETRYING, ending=failure, retry_at=NOW + 80)
    clock.wall = NOW + 81
    again = replace(waiting, state=RunState.RUNNING, attempt=2, retry_at=None)
    started = replace(again, identity=ProcessIdentity(9, 9, "boot"))
    success = Ending(EndKind.RETURNED, NOW + 99, 0)
    over = replace(started, state=RunState.SUCCEEDED, ending=success, ended_at=NOW + 99)
    await store.apply([ClaimRun(make_run(1)), SaveRun(waiting)])
    second = [SaveRun(again), SaveRun(started), SaveRun(over)]
    for batch in [second] if in_one_batch else [second[:2], second[2:]]:
        await store.apply(batch)
    assert await store.attempts(run.id) == [
        Attempt(run.id, 1, NOW + 10, NOW + 20, None, EndKind.RAISED, 1, error=failure.error),
        Attempt(run.id, 2, NOW + 81, NOW + 99, 9, EndKind.RETURNED, 0),
    ]


async def test_cancelling_a_wait_is_no_attempt(store: Store) -> None:
    failure = Ending(EndKind.RAISED, NOW + 20, 1)
    waiting = make_run(1, state=RunState.RETRYING, ending=failure, retry_at=NOW + 80)
    queued = replace(waiting, state=RunState.QUEUED, attempt=2, retry_at=None)
    over = replace(queued, state=RunState.CANCELLED, ended_at=NOW + 90, reason=Reason.REQUESTED)
    await store.apply([ClaimRun(make_run(1)), SaveRun(waiting), SaveRun(queued), SaveRun(over)])
    assert [each.attempt for each in await store.attempts(over.id)] == [1]


# --- batches -----------------------------------------------------------------------------------


async def test_a_batch_is_written_whole_or_not_at_all(store: Store) -> None:
    broken = make_run(2, metadata={"not": object()})
    with pytest.raises(TypeError):
        await store.apply([ClaimRun(make_run(1)), ClaimRun(broken)])
    assert await history(store) == []


async def test_a_broken_batch_spoils_no_other(store: Store) -> None:
    broken = make_run(1_000, metadata={"not": object()})
    batches = [[ClaimRun(make_run(number))] for number in range(1, 30)]
    batches[13] = [ClaimRun(broken)]
    outcomes = await asyncio.gather(
        *(store.apply(batch) for batch in batches), return_exceptions=True
    )
    assert [type(each) for each in outcomes] == [
        TypeError if number == 13 else tuple for number in range(29)
    ]
    assert len(await history(store)) == 28


async def test_nobody_waiting_any_more_changes_nothing(store: Store) -> None:
    waiting = asyncio.ensure_future(store.apply([ClaimRun(make_run(1))]))
    await asyncio.sleep(0)  # it has been handed over
    waiting.cancel()
    await store.apply([ClaimRun(make_run(2))])
    assert len(await history(store)) == 2


# --- whatever people and handlers come up with -------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
any_text = st.text(st.characters(exclude_categories=()), max_size=20)
numbers = itertools.count()
any_int = st.integers(-(2**70), 2**70)


@settings(max_examples=60, deadline=None)
@given(text=any_text, number=any_int, metadata=st.dictionaries(any_text, json_values, max_size=3))
def test_nothing_in_a_run_keeps_it_from_being_stored(
    shared_store: Store, text: str, number: int, metadata: dict[str, Any]
) -> None:
    async def try_it() -> None:
        error = RunError(text, text, text)
        ending = Ending(EndKind.RAISED, number, number, number, error, text, True, number, text)
        new_id = f"run_{next(numbers)}{text}"
        run = make_run(1, id=new_id, metadata=metadata, trigger=Trigger.MANUAL)
        over = replace(run, state=RunState.FAILED, ending=ending, ended_at=number)
        skip = Skip(RunState.MISSED, Reason.DOWNTIME, number, number, number)
        await shared_store.apply([ClaimRun(run), SaveRun(over)])
        await shared_store.apply([RecordSkip(f"skip_{text}", text, text, text, skip, number)])
        await shared_store.append_logs(run.id, [{text: text, "n": metadata, "ts": number}])
        await shared_store.read_logs(run.id)
        row = await shared_store.run(run.id)
        assert row.run.ending is not None
        if text.isprintable() and abs(number) < 2**63:
            assert (row.run.ending, row.run.ended_at) == (ending, number)

    asyncio.run(try_it())


@settings(max_examples=60, deadline=None)
@given(metadata=st.dictionaries(any_text, json_values, max_size=3))
def test_json_comes_back_as_it_was_but_for_what_json_cannot_say(
    shared_store: Store, metadata: dict[str, Any]
) -> None:
    job = make_job(definition=metadata)

    async def try_it() -> None:
        await shared_store.apply([InstallJob("job_backup", job, Origin("a"), NOW)])

    asyncio.run(try_it())
    (stored,) = shared_store.restore().jobs
    assert json.loads(stored.definition) == _without_nan(metadata)


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):  # noqa: PLR0124 - how NaN is told
        return None
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_nan(each) for each in value]
    return value


@pytest.fixture(scope="module", params=STORES.values(), ids=STORES.keys())
def shared_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    opened = request.param(tmp_path_factory.mktemp("shared"), HandClock())
    opened.restore()
    yield opened
    opened.close()


# --- the history -------------------------------------------------------------------------------


def mixed_rows() -> list[Run]:
    """Rows of every kind, several at one instant."""
    states = list(RunState)
    triggers = list(Trigger)
    return [
        make_run(
            number,
            job=f"job-{number % 3}",
            trigger=triggers[number % 7 % len(triggers)],
            claimed_at=NOW + number // 4,
            state=states[number * 7 % len(states)],
        )
        for number in range(1, 90)
    ]


FILTERS = [
    RunFilter(),
    RunFilter(job="job-1"),
    RunFilter(job_id="job_job-2"),
    RunFilter(job="job-1", job_id="job_job-2"),
    RunFilter(job="unheard-of"),
    RunFilter(statuses=frozenset({RunState.FAILED, RunState.LOST})),
    RunFilter(job="job-0", statuses=frozenset({RunState.SUCCEEDED})),
    RunFilter(triggers=frozenset({Trigger.MANUAL, Trigger.API})),
    RunFilter(triggers=frozenset({Trigger.SCHEDULE, Trigger.API})),
    RunFilter(triggers=frozenset({Trigger.RETRY}), statuses=frozenset({RunState.SKIPPED})),
    RunFilter(since=NOW + 5, until=NOW + 12),
    RunFilter(job="job-2", since=NOW + 5, until=NOW + 12, statuses=frozenset(OPEN_STATES)),
]


def _is_wanted(run: Run, wanted: RunFilter) -> bool:
    return (
        (wanted.job is None or run.job_name == wanted.job)
        and (wanted.job_id is None or run.job_id == wanted.job_id)
        and (not wanted.statuses or run.state in wanted.statuses)
        and (not wanted.triggers or run.trigger in wanted.triggers)
        and (wanted.since is None or run.claimed_at >= wanted.since)
        and (wanted.until is None or run.claimed_at < wanted.until)
    )


@pytest.mark.parametrize("wanted", FILTERS, ids=map(str, range(len(FILTERS))))
async def test_pages_show_what_is_wanted_newest_first(store: Store, wanted: RunFilter) -> None:
    rows = mixed_rows()
    await store.apply([install(f"job-{number}") for number in range(3)])
    await store.apply([ClaimRun(run) for run in rows])
    expected = [run for run in rows if _is_wanted(run, wanted)]
    expected.sort(key=lambda run: (run.claimed_at, run.id), reverse=True)
    assert [row.run for row in await history(store, wanted)] == expected


async def test_a_cursor_is_not_moved_by_what_comes_later(store: Store) -> None:
    await store.apply([ClaimRun(make_run(number)) for number in range(1, 11)])
    first, cursor = await store.runs(limit=4)
    await store.apply([ClaimRun(make_run(number)) for number in range(11, 20)])
    second, _ = await store.runs(limit=4, cursor=cursor)
    assert [row.run.id for row in first + second] == [make_run(n).id for n in range(10, 2, -1)]


async def test_the_history_of_a_name_spans_the_jobs_that_had_it(store: Store) -> None:
    await store.apply([install(), ClaimRun(make_run(1))])
    await store.apply([RemoveJob("job_backup", "backup", NOW)])
    await store.apply([InstallJob("job_second", make_job(), None, NOW)])
    await store.apply([ClaimRun(make_run(2, job_id="job_second"))])
    rows = await history(store, RunFilter(job="backup"))
    assert [row.run.id for row in rows] == [make_run(2).id, make_run(1).id]


@pytest.mark.parametrize(
    "cursor", ["", "x", "é", "[]", "WzFd", "W251bGwsMV0", "WzFlOTk5LCJhIl0", "a" * 5_000]
)
async def test_a_cursor_of_somebody_else_is_a_mistake(store: Store, cursor: str) -> None:
    with pytest.raises(UsageError, match="cursor"):
        await store.runs(cursor=cursor)


async def test_a_run_is_found_by_the_beginning_of_its_id(store: Store) -> None:
    known = make_run(1, id="run_01KAPQ0000000000000000000A")
    other = make_run(2, id="run_01KAPR0000000000000000000A")
    await store.apply([ClaimRun(known), ClaimRun(other)])
    for name in (known.id, "run_01KAPQ", "run_01kapq", "01KAPQ", "01kapq00"):
        assert (await store.run(name)).run == known
    with pytest.raises(ConflictError, match=r"several runs") as raised:
        await store.run("run_01KAP")
    assert raised.value.code == "ambiguous"
    for name in ("run_01KAPX", "run_", "", "%", "run_\udc80", "\x00"):
        with pytest.raises(NotFoundError):
            await store.run(name)


async def test_the_last_run_and_the_last_failed_one(store: Store) -> None:
    with pytest.raises(NotFoundError):
        await store.run("@last")
    await store.apply([install(), install("other")])
    await store.apply([ClaimRun(make_run(number)) for number in (1, 2, 3)])
    await store.apply([ClaimRun(make_run(4, job="other"))])
    await store.apply([SaveRun(ended(make_run(2), RunState.TIMED_OUT))])
    await store.apply([record_skip(9, skip_at(9))])
    assert (await store.run("@last")).run.id == make_run(4).id
    assert (await store.run("@last", job="backup")).run.id == make_run(3).id
    assert (await store.run("@last-failed")).run.id == make_run(2).id
    with pytest.raises(NotFoundError, match="of other"):
        await store.run("@last-failed", job="other")


async def test_the_newest_run_of_each_job_whatever_was_skipped_since(store: Store) -> None:
    await store.apply([install(), install("other"), install("idle")])
    await store.apply([ClaimRun(make_run(number)) for number in (1, 2)])
    await store.apply([ClaimRun(make_run(3, job="other"))])
    await store.apply([record_skip(9, skip_at(9)), record_skip(10, skip_at(10), job="idle")])
    lasts = await store.last_runs(["job_backup", "job_other", "job_idle", "job_unheard-of"])
    assert lasts == {
        "job_backup": (make_run(2).id, "queued", None, None, None),
        "job_other": (make_run(3).id, "queued", None, None, None),
    }


async def test_strips_show_the_last_rows_oldest_first(store: Store) -> None:
    await store.apply([install(), install("other"), install("idle")])
    await store.apply([ClaimRun(make_run(number)) for number in range(1, 31)])
    await store.apply([record_skip(40, skip_at(40), job="other")])
    ids = ["job_backup", "job_other", "job_idle", "job_unheard-of"]
    run = ended(make_run(30))
    await store.apply([SaveRun(run)])
    strips = await store.recent_runs(ids, 20)
    assert strips.keys() == {"job_backup", "job_other"}
    expected = [(make_run(n).id, "queued", None, None, None) for n in range(11, 30)]
    assert list(strips["job_backup"][:-1]) == expected
    assert strips["job_backup"][-1] == (run.id, "succeeded", run.started_at, run.ended_at, None)
    assert strips["job_other"][0].reason == "paused"
    assert await store.recent_runs(ids, 2) == {
        "job_backup": strips["job_backup"][-2:],
        "job_other": strips["job_other"],
    }


async def test_the_outcomes_of_each_hour_are_counted(store: Store) -> None:
    await store.apply([install()])
    hours = [NOW // HOUR * HOUR - number * HOUR for number in range(1, 4)]
    runs = [make_run(n, claimed_at=hours[n % 3] + n, scheduled_for=n) for n in range(1, 10)]
    await store.apply([ClaimRun(run) for run in runs])
    await store.apply([SaveRun(ended(run, RunState.FAILED)) for run in runs[:4]])
    for _ in range(3):  # with kept hours too
        found = await store.history.stats_since(hours[2], NOW, Group.HOUR)
        assert found.is_complete
        assert {at: dict(each.counts) for at, each in found.groups.items()} == {
            hours[0]: {"queued": 2, "failed": 1},
            hours[1]: {"queued": 1, "failed": 2},
            hours[2]: {"queued": 2, "failed": 1},
        }
    found = await store.history.stats_since(hours[1] + 2, NOW, Group.STATUS)
    assert dict(found.total.counts) == {"queued": 3, "failed": 2}


async def test_revisions_are_remembered_the_latest_first(store: Store) -> None:
    for at, revision in enumerate(["a", "b", "a"]):
        job = make_job(revision=revision, definition={"is": revision})
        await store.apply([InstallJob("job_backup", job, None, NOW + at)])
    found = [
        (each.revision, each.definition, each.first_seen_at, each.last_installed_at)
        for each in await store.job_revisions("job_backup")
    ]
    assert found == [("a", {"is": "a"}, NOW, NOW + 2), ("b", {"is": "b"}, NOW + 1, NOW + 1)]


async def test_numbers(store: Store) -> None:
    await store.apply([install()])
    await store.apply([ClaimRun(make_run(number)) for number in range(1, 6)])
    await store.apply([SaveRun(ended(make_run(1)))])
    assert await store.run_count() == 5
    counts = await store.counts()
    assert counts.keys() == set(RunState)
    assert (counts[RunState.QUEUED], counts[RunState.SUCCEEDED]) == (4, 1)
    assert (store.is_writable, store.last_error) == (True, "")
    assert store.size_bytes() > 0


async def test_a_count_that_took_long_serves_for_a_while(store: Store, clock: HandClock) -> None:
    await store.apply([ClaimRun(make_run(1))])
    clock.look_ms = 10
    assert await store.run_count() == 1
    await store.apply([ClaimRun(make_run(2))])
    assert await store.run_count() == 1
    clock.elapsed += 1_000
    assert await store.run_count() == 2


# --- logs --------------------------------------------------------------------------------------


def lines(*texts: str, level: str = "info") -> list[dict[str, Any]]:
    return [{"ts": NOW, "level": level, "message": text} for text in texts]


async def test_lines_keep_their_order_and_their_numbers(store: Store) -> None:
    run = make_run(1)
    await store.apply([ClaimRun(run)])
    await store.append_logs(run.id, lines("a", "b"))
    await store.append_logs(run.id, [])
    await store.append_logs(run.id, lines("c — \n\udc80"))
    found = await store.read_logs(run.id)
    assert [(each.seq, each.line["message"]) for each in found] == [
        (1, "a"),
        (2, "b"),
        (3, "c — \n\udc80"),
    ]


async def test_the_lines_of_many_runs_are_written_at_once(store: Store) -> None:
    made = [make_run(number) for number in range(1, 21)]
    await store.apply([ClaimRun(each) for each in made])
    for part in ("a", "b"):
        found = [(each.id, lines(f"{part} of {each.id}", "more")) for each in made]
        await store.append_logs_of([*found, ("run_unknown", lines("of no run"))])
    for each in made:
        kept = await store.read_logs(each.id)
        assert [line.seq for line in kept] == [1, 2, 3, 4]
        texts = [line.line["message"] for line in kept]
        assert texts == [f"a of {each.id}", "more", f"b of {each.id}", "more"]
    assert await store.read_logs("run_unknown") == []


async def test_a_part_of_a_log_can_be_asked_for(store: Store) -> None:
    run = make_run(1)
    await store.apply([ClaimRun(run)])
    for start in range(0, 30, 3):
        texts = [str(number) for number in range(start, start + 3)]
        await store.append_logs(run.id, lines(*texts, level="error" if start == 9 else "info"))

    async def seqs(**wanted: Any) -> list[int]:
        return [each.seq for each in await store.read_logs(run.id, **wanted)]

    assert await seqs() == list(range(1, 31))
    assert await seqs(tail=4) == [27, 28, 29, 30]
    assert await seqs(tail=0) == []
    assert await seqs(tail=500) == list(range(1, 31))
    assert await seqs(after_seq=28) == [29, 30]
    assert await seqs(after_seq=30) == []
    assert await seqs(after_seq=5, tail=2) == [29, 30]
    assert await seqs(level="warning") == [10, 11, 12]
    assert await seqs(level="error", tail=2) == [11, 12]
    assert await seqs(level="debug", tail=1) == [30]


async def test_much_at_once_is_kept_whole(store: Store) -> None:
    run = make_run(1)
    await store.apply([ClaimRun(run)])
    many = lines(*("x" * 1_000 for _ in range(500)))
    await store.append_logs(run.id, many)
    assert [each.line for each in await store.read_logs(run.id)] == many
    assert [each.seq for each in await store.read_logs(run.id, tail=3)] == [498, 499, 500]


async def test_lines_of_a_run_without_a_row_are_dropped(store: Store) -> None:
    await store.append_logs("run_unheard-of", lines("a"))
    assert await store.read_logs("run_unheard-of") == []


async def test_the_last_lines_of_several_runs_come_run_after_run(store: Store) -> None:
    await store.apply([install(), install("other")])
    for number, job in enumerate(["backup", "other", "backup"], start=1):
        run = make_run(number, job=job)
        await store.apply([ClaimRun(run)])
        await store.append_logs(run.id, lines(f"{number}a", f"{number}b"))

    async def texts(wanted: RunFilter, tail: int) -> list[str]:
        found = await store.read_runs_logs(wanted, tail=tail)
        return [each.line["message"] for each in found]

    assert await texts(RunFilter(), 100) == ["1a", "1b", "2a", "2b", "3a", "3b"]
    assert await texts(RunFilter(job="backup"), 3) == ["1b", "3a", "3b"]


async def test_the_last_lines_are_found_behind_many_runs_that_have_none(store: Store) -> None:
    runs = [make_run(number) for number in range(1, log_chunks.FIRST_LOOKED_AT + 400)]
    await store.apply([install(), *map(ClaimRun, runs)])
    for run in (runs[0], runs[3], runs[-1]):
        await store.append_logs(run.id, lines(run.id))
    found = await store.read_runs_logs(RunFilter(), tail=2)
    assert [each.run_id for each in found] == [runs[3].id, runs[-1].id]
    found = await store.read_runs_logs(RunFilter(), tail=9)
    assert [each.run_id for each in found] == [runs[0].id, runs[3].id, runs[-1].id]


# --- retention ---------------------------------------------------------------------------------


async def prune(store: Store, now: int = NOW, **changes: int) -> list[Pruned]:
    limits = {"history_ms": 30 * DAY, "runs_per_job": 1_000, "logs_ms": 14 * DAY} | changes
    slices: list[Pruned] = []
    while not slices or not slices[-1].is_done:
        slices.append(await store.prune(now, **limits))
    return slices


async def fill(store: Store, ages: list[int], job: str = "backup", first: int = 1) -> list[Run]:
    """Runs that ended, one for each age."""
    at = [NOW - age for age in ages]
    runs = [
        ended(make_run(n, job, claimed_at=each, scheduled_for=each))
        for n, each in enumerate(at, start=first)
    ]
    await store.apply([install(job)])
    await store.apply([ClaimRun(replace(run, state=RunState.QUEUED)) for run in runs])
    await store.apply([SaveRun(run) for run in runs])
    return runs


async def kept(store: Store) -> set[str]:
    return {row.run.id for row in await history(store)}


async def test_old_rows_go_in_slices_and_young_ones_stay(store: Store) -> None:
    runs = await fill(store, [day * DAY for day in range(60, 0, -1)])
    slices = await prune(store, slice_size=10)
    assert all(each.runs <= 10 for each in slices)
    assert sum(each.runs for each in slices) == 30
    assert await kept(store) == {run.id for run in runs[30:]}
    assert sum(each.runs for each in await prune(store)) == 0


async def test_a_slice_ends_when_its_time_is_over(store: Store, clock: HandClock) -> None:
    await fill(store, [40 * DAY + n for n in range(300)])
    assert max(each.runs for each in await prune(store)) == 299
    await fill(store, [40 * DAY + n for n in range(300)], job="other", first=1_000)
    clock.look_ms = 1_000
    slices = await prune(store)
    assert sum(each.runs for each in slices) == 299
    assert max(each.runs for each in slices) == 1  # where a look takes a second, a row does


async def test_a_job_keeps_so_many_rows(store: Store) -> None:
    mine = await fill(store, [20 * DAY - n for n in range(50)])
    others = await fill(store, [20 * DAY - n for n in range(8)], job="other", first=100)
    await prune(store, runs_per_job=10, slice_size=7)
    assert await kept(store) == {run.id for run in [*mine[40:], *others]}


async def test_the_newest_row_of_a_job_stays_however_old(store: Store) -> None:
    runs = await fill(store, [90 * DAY, 80 * DAY])
    await prune(store)
    assert await kept(store) == {runs[1].id}


async def test_a_job_that_is_gone_keeps_no_row_for_ever(store: Store) -> None:
    await fill(store, [90 * DAY, 80 * DAY], "gone")
    young = await fill(store, [90 * DAY, 2 * DAY], "young", first=10)
    await store.apply([RemoveJob("job_gone", "gone", NOW), RemoveJob("job_young", "young", NOW)])
    await prune(store)
    assert await kept(store) == {young[1].id}


async def test_an_open_run_stays_however_old(store: Store) -> None:
    old = make_run(1, claimed_at=NOW - 90 * DAY, scheduled_for=NOW - 90 * DAY)
    await store.apply([ClaimRun(old)])
    await fill(store, [DAY], first=2)
    await prune(store)
    assert old.id in await kept(store)


async def test_a_row_that_still_guards_its_occurrence_stays(store: Store) -> None:
    young = await fill(store, [HOUR * n for n in range(48, 0, -1)])
    by_hand = [
        ended(make_run(n, trigger=Trigger.MANUAL, claimed_at=NOW - DAY + n, job="other"))
        for n in range(100, 110)
    ]
    await store.apply([install("other"), *(ClaimRun(run) for run in by_hand)])
    await prune(store, runs_per_job=1, history_ms=HOUR)
    assert await kept(store) == {*(run.id for run in young[1:]), by_hand[-1].id}


async def test_a_row_takes_its_lines_and_attempts_along(store: Store) -> None:
    runs = await fill(store, [40 * DAY, DAY])
    for run in runs:
        await store.append_logs(run.id, [{"ts": run.claimed_at, "message": "x"}])
    await prune(store, logs_ms=50 * DAY)
    assert await store.read_logs(runs[0].id) == []
    assert len(await store.read_logs(runs[1].id)) == 1


async def test_lines_may_go_before_their_run(store: Store) -> None:
    (run,) = await fill(store, [20 * DAY])
    await store.append_logs(run.id, [{"ts": NOW - 20 * DAY, "message": "x"}])
    await store.append_logs(run.id, [{"ts": "2027-01-14T08:00:00Z", "message": "y"}])
    slices = await prune(store)
    assert sum(each.log_chunks for each in slices) == 1
    assert [(each.seq, each.line["message"]) for each in await store.read_logs(run.id)] == [
        (2, "y")
    ]
    assert await kept(store) == {run.id}


async def test_much_text_is_removed_in_several_slices(store: Store) -> None:
    runs = await fill(store, [40 * DAY - n for n in range(8)])
    for run in runs:
        text = [{"ts": NOW, "message": "x" * 60_000}] * 20
        await store.append_logs(run.id, text)
    slices = await prune(store)
    assert max(each.runs for each in slices) < 7
    assert sum(each.runs for each in slices) == 7


async def test_revisions_go_once_nothing_can_refer_to_them(store: Store) -> None:
    def at(age: int, revision: str, job_id: str = "job_backup", name: str = "backup") -> InstallJob:
        return InstallJob(job_id, make_job(name, revision=revision), None, NOW - age * DAY)

    await store.apply([at(90, "a"), at(80, "b"), at(20, "c"), at(70, "x", "job_gone", "gone")])
    await store.apply([RemoveJob("job_gone", "gone", NOW - 10 * DAY)])
    await prune(store)
    assert [each.revision for each in await store.job_revisions("job_gone")] == ["x"]
    await store.apply([RemoveJob("job_gone", "gone", NOW - 40 * DAY)])
    await prune(store)
    left = [each.revision for each in await store.job_revisions("job_backup")]
    assert left == ["c", "b"]  # b was in force until 20 days ago
    assert await store.job_revisions("job_gone") == []


async def test_a_revision_that_comes_back_during_a_pass_stays(store: Store) -> None:
    def at(age: int, revision: str) -> InstallJob:
        return InstallJob("job_backup", make_job(revision=revision), None, NOW - age * DAY)

    await store.apply([at(90, "a"), at(80, "b"), at(70, "c")])
    await fill(store, [60 * DAY, 50 * DAY])
    limits = {"history_ms": 30 * DAY, "runs_per_job": 1_000, "logs_ms": 14 * DAY}
    assert not (await store.prune(NOW, **limits, slice_size=1)).is_done
    await store.apply([at(0, "a"), at(0, "d")])
    await prune(store)
    left = [each.revision for each in await store.job_revisions("job_backup")]
    assert set(left) == {"a", "c", "d", "r1"}  # r1: the installation by `fill`


async def test_claims_go_on_between_the_slices(store: Store) -> None:
    await fill(store, [40 * DAY + n for n in range(500)])
    claims = [store.apply([ClaimRun(make_run(1_000 + n))]) for n in range(50)]
    slices, *_ = await asyncio.gather(prune(store, slice_size=20), *claims)
    assert sum(each.runs for each in slices) >= 499
    assert len(await kept(store)) in {50, 51}


async def test_the_runs_of_a_resume_are_found_by_the_row_of_the_pause(store: Store) -> None:
    """They have no occurrence of their own: the row of the pause is the only one."""
    early, late = (Skip(RunState.SKIPPED, Reason.PAUSED, NOW + n, NOW + n + 5, 6) for n in (10, 20))
    missed = Skip(RunState.MISSED, Reason.DOWNTIME, NOW + 30, NOW + 35, 6)
    await store.apply([record_skip(1, early), record_skip(2, late), record_skip(3, missed)])
    of_another = replace(resume_run(9, 12, 50), job_name="other", job_id="job_other")
    made = [resume_run(5, 12, 50), resume_run(6, 15, 50), resume_run(7, 20, 60), of_another]
    at_hand = replace(resume_run(8, 13, 55), trigger=Trigger.MANUAL)
    twice = resume_run(4, 12, 70)  # of a later resume: no instant keeps it out
    refused = await store.apply([ClaimRun(run) for run in (*made, at_hand, twice)])
    assert refused == ()
    rows, _ = await store.runs(RunFilter(job_id="job_backup"), limit=50)
    assert await store.resumed_by(rows) == {
        "run_" + "1".zfill(26): [twice.id, made[0].id, made[1].id],
        "run_" + "2".zfill(26): [made[2].id],
    }
    assert await store.resumed_by([row for row in rows if row.run.reason is None]) == {}
