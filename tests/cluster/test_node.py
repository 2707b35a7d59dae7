"""Single decisions of a node: its clock, bad rows, shards that fail, merged records, engines taken over."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from luad.cluster.engine_set import EngineSet, ShardRows
from luad.cluster.isolation import GIVEN_UP_MS, Cut, Isolation
from luad.cluster.merging import merged
from luad.cluster.store_clock import StoreClock
from luad.core.events import (
    AttemptEnded,
    ClaimRun,
    InstallJob,
    RecordSkip,
    Restored,
    SaveProgress,
    SaveRun,
    StartAttempt,
)
from luad.core.model import (
    Ending,
    EndKind,
    Interval,
    Job,
    Now,
    Origin,
    Reason,
    Run,
    RunState,
    Skip,
    Trigger,
    Wanted,
)
from luad.core.state import Bounds


@dataclass
class Hands:
    """A clock that the test moves."""

    wall: int = 0
    elapsed: int = 0

    def now(self) -> Now:
        return Now(self.wall, self.elapsed)


def pulse(clock: StoreClock, hands: Hands, store_wall: int, there_ms: int, back_ms: int) -> None:
    """Let a pulse take so long to the store and back; *store_wall*: the store's time when it is sent."""
    sent = hands.now()
    hands.elapsed += there_ms + back_ms
    clock.note(store_wall + there_ms, sent, hands.now())


def test_the_clock_of_a_node_is_never_ahead_of_the_store_and_follows_its_quickest_pulse() -> None:
    hands = Hands(elapsed=5_000)
    clock = StoreClock(hands)
    pulse(clock, hands, 1_000_000, 10, 400)
    assert clock.now().wall == 1_000_410 - 400
    pulse(clock, hands, 1_000_410, 10, 3)
    assert clock.now().wall == 1_000_423 - 3
    pulse(clock, hands, 1_000_423, 10, 900)
    assert clock.now().wall == 1_001_333 - 3, "a slow answer tells nothing new"


def test_a_wall_clock_that_is_set_changes_nothing() -> None:
    hands = Hands(wall=77, elapsed=5_000)
    clock = StoreClock(hands)
    pulse(clock, hands, 1_000_000, 0, 0)
    hands.wall += 3_600_000
    assert clock.now().wall == 1_000_000
    assert clock.offset_ms == 1_000_000 - hands.wall


def test_a_step_of_the_stores_clock_is_followed_at_once_in_both_directions() -> None:
    hands = Hands()
    clock = StoreClock(hands)
    for step in (3_600_000, -3_600_000, 2_000, -2_000):
        before = clock.now().wall
        pulse(clock, hands, before + step, 0, 0)
        assert clock.now().wall == before + step


def test_turns_are_cut_until_the_bad_row_is_alone_and_the_others_go_on() -> None:
    """Row 9 of shard 3 makes each turn fail that takes it."""
    isolation, rows, shards = Isolation(), {1: [4], 3: [5, 9], 5: []}, (1, 3, 5)
    failures = 0
    for _ in range(10):
        for cut in isolation.cuts(shards):
            taken = sorted(seq for shard in cut.shards for seq in rows[shard])[: cut.most_rows]
            if 9 in taken:
                failures += 1
                bad = isolation.failed(cut, taken, 0)
                if bad is not None:
                    assert bad == 9
                    rows[3].remove(9)
                break
            for shard in cut.shards:
                rows[shard] = [seq for seq in rows[shard] if seq not in taken]
            isolation.succeeded(cut, len(taken))
    assert rows == {1: [], 3: [], 5: []}
    assert failures == 4, "twice whole, once alone, once row by row"
    assert isolation.cuts(shards) == [Cut(shards)], "all are turned together again"
    assert isolation.given_up(0) == frozenset()


def test_a_shard_that_fails_without_a_row_is_given_up_for_a_minute() -> None:
    isolation, shards = Isolation(), (1, 3)
    isolation.failed(Cut(shards), (), 0)
    isolation.failed(Cut(shards), (), 0)
    assert isolation.cuts(shards) == [Cut((1,)), Cut((3,))]
    assert isolation.failed(Cut((3,)), (), 1_000) is None
    assert isolation.given_up(1_000) == {3}
    assert isolation.given_up(1_000 + GIVEN_UP_MS) == frozenset()


def test_records_of_many_shards_become_few_groups_and_keep_their_order_within_a_shard() -> None:
    def records(name: str) -> list[object]:
        job = Job(name, "m:f", Interval(1_000), "rev")
        run = Run(f"run_{name}", name, name, "rev", Trigger.API, 1, 1, 1)
        skip = Skip(RunState.SKIPPED, Reason.OVERLAP, 1, 1)
        return [
            InstallJob(name, job, None, 1),
            ClaimRun(run),
            RecordSkip(f"skip_{name}", name, name, "rev", skip, 1),
            SaveRun(run),
            SaveProgress(name, 1, 1, 0, None),
        ]

    batches = [records(f"job-{n}") for n in range(64)]
    found = merged(batches)  # type: ignore[arg-type]
    kinds = [type(each) for each in found]
    assert sum(one is not other for one, other in pairwise(kinds)) == 4
    assert sorted(map(repr, found)) == sorted(repr(each) for batch in batches for each in batch)
    for batch in batches:
        about_runs = [
            each for each in found if each in batch and isinstance(each, ClaimRun | SaveRun)
        ]
        assert [type(each) for each in about_runs] == [ClaimRun, SaveRun]


JOB = Job("job-0", "m:f", Interval(60_000), "rev")
WANTED = {JOB.name: Wanted(JOB, Origin("jobs.d/job-0.yaml"))}


def taken(runs: tuple[Run, ...] = ()) -> EngineSet:
    engines = EngineSet(Bounds(1), 1)
    engines.take(0, ShardRows([], Restored((), (), None), WANTED, {}), Now(0, 0))
    entry = engines.find(JOB.name)
    assert entry is not None
    owned = [run for run in runs if run.job_id == entry.job_id]
    assert owned == list(runs)
    return engines


def test_a_stop_that_a_former_owner_asked_for_is_known_to_the_next_one() -> None:
    """The run ends as cancelled, and is not tried again, although another node hears of its end."""
    from luad.core.events import StoredJob

    first = taken()
    entry = first.find(JOB.name)
    assert entry is not None
    run = Run("run_a", JOB.name, entry.job_id, "rev", Trigger.API, 1, 1, 1, RunState.RUNNING)
    run.reason = Reason.REPLACED  # type: ignore[misc] # what `StopAttempt` saves with it
    progress = SaveProgress(entry.job_id, 0, 0, 0, None)
    row = StoredJob(entry.job_id, JOB.name, "{}", "rev", Origin("x"), 0, progress)
    second = EngineSet(Bounds(1), 1)
    second.take(0, ShardRows([(row, JOB)], Restored((), (run,), 0), WANTED, {}), Now(1_000, 1_000))
    ended = AttemptEnded("run_a", 1, Ending(EndKind.CANCELLED, 2_000))
    effects = second.handle(0, [ended], Now(2_000, 2_000))
    saved = [each.run for each in effects if isinstance(each, SaveRun)]
    assert [(each.state, each.reason) for each in saved] == [(RunState.CANCELLED, Reason.REPLACED)]


def test_an_engine_of_a_cluster_has_no_limit_of_runs_at_once() -> None:
    engines = taken()
    jobs = {f"job-{n}": Job(f"job-{n}", "m:f", Interval(60_000), "rev") for n in range(300)}
    wanted = {name: Wanted(job, Origin("x")) for name, job in jobs.items()}
    many = EngineSet(Bounds(1), 1)
    many.take(0, ShardRows([], Restored((), (), None), wanted, {}), Now(0, 0))
    effects = many.handle(0, [], Now(60_000, 60_000))
    assert sum(isinstance(each, StartAttempt) for each in effects) == 300, (
        "and none is left in memory"
    )
    assert engines.due(Now(59_999, 29_999)) == [0], "the clock was stepped"
    assert engines.due(Now(29_999, 29_999)) == []
    assert engines.due(Now(30_000, 30_000)) == [0], "an engine reads the clock now and then"
