"""A world in which jobs are also made, changed, written to and removed while it goes on.

After every batch that was written, what is in force is compared with a plain model, and with what the
store would give to the next daemon; promises that are broken are kept in `broken`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from simulation.book import GUARDED
from simulation.dictstore import key_of
from simulation.history import Stepped
from simulation.plain import Known, Plain, is_same, when_past
from simulation.telling import Telling
from simulation.world import World

from luad.core.events import (
    AttemptEnded,
    ClaimRun,
    ConfigLoaded,
    Effect,
    Event,
    ForgetCompleted,
    InstallJob,
    RecordSkip,
    RemoveJob,
    Reply,
    SaveProgress,
    SaveRun,
    SaveStanding,
    StartAttempt,
    StoredJob,
)
from luad.core.model import (
    OPEN_STATES,
    TERMINAL_STATES,
    AlertCause,
    AlertPolicy,
    Creation,
    Instant,
    Job,
    Once,
    Reason,
    RunState,
    Wanted,
)
from luad.core.requests import (
    AnswerKey,
    ChangeRequested,
    Created,
    CreateRequested,
    DeleteRequested,
    MetadataRequested,
    NewJob,
    RetryRequested,
)
from luad.core.state import Entry

VALUES: tuple[Any, ...] = (0, 1, True, False, None, "a", [1], [True], {"a": 1}, {"a": {"b": 2}})


class BusyWorld(World):
    """One seed's worth of history with dynamic jobs, metadata and alerts."""

    def __init__(self, seed: int) -> None:
        self.plain = Plain()
        self.tags: dict[
            str, tuple[str, str] | None
        ] = {}  # request id -> what its If-Match stood for
        self.latest = 0
        self.outcomes: Counter[str] = Counter()
        self.by_id: dict[str, StoredJob] = {}
        self.installs: dict[str, int] = {}
        self.retried: set[str] = set()
        super().__init__(seed)

    # --- what happens ---

    def step(self) -> None:
        deed = self.dice.random()
        if deed < 0.3:
            self.do([self._ask() for _ in range(self.dice.choice([1, 1, 1, 2, 4]))])
        elif deed < 0.33:
            self.do([ForgetCompleted(self.wall - self.dice.choice([0, 60_000, 86_400_000]))])
        else:
            super().step()

    def names(self) -> list[str]:
        return sorted({*self.folder.files, *self.plain.jobs, *self.plain.aside})

    def make_job(self, name: str) -> Job:
        dice = self.dice
        to = dice.choice([None, ("ann",), ("ann", "bob")])
        also = tuple(each for each in AlertCause if dice.random() < 0.4)
        alert = to and AlertPolicy(
            to, dice.choice([1, 3, None]), dice.choice([None, 2]), dice.random() < 0.8, also
        )
        job = replace(
            super().make_job(name),
            user=dice.choice([None, "ann", "bob"]),
            keep=dice.random() < 0.2,
            alert=alert or None,
            metadata=self._values(),
        )
        if dice.random() < 0.3:
            at = self.wall + dice.choice([-5_000, -1, 0, 5, 5_000, 60_000])
            job = replace(job, schedule=Once(at))
        return job

    def _values(self) -> dict[str, Any]:
        return {key: self.dice.choice(VALUES) for key in "abc" if self.dice.random() < 0.5}

    def _ask(self) -> Event:
        self.requests += 1
        request_id = f"req_{self.requests}"
        asked = self.dice.random()
        if asked < 0.35:
            jobs = tuple(self._new_job() for _ in range(self.dice.choice([1, 1, 3])))
            key = AnswerKey(request_id, "f") if self.dice.random() < 0.3 else None
            return CreateRequested(request_id, jobs, key)
        name = self.dice.choice([*self.names(), "nobody"])
        if asked > 0.9:
            return self._run_again(request_id) or DeleteRequested(request_id, name)
        if_match = self._tag_for(request_id, name)
        if asked < 0.6:
            mode = self.dice.choice(["merge", "patch", "replace"])
            values = self._values()
            if self.dice.random() < 0.01:
                values["a"] = "x" * 70_000
            return MetadataRequested(request_id, name, values, mode, if_match)
        if asked < 0.75:
            known = self.plain.find(name)
            based_on = known.job.revision if known and self.dice.random() < 0.9 else "another"
            job = self.make_job(known.job.name if known else name)
            return ChangeRequested(request_id, name, job, based_on, if_match)
        return DeleteRequested(request_id, name, if_match)

    def _new_job(self) -> NewJob:
        dice = self.dice
        name = f"job-{dice.randrange(8)}" if dice.random() < 0.4 else f"dyn-{dice.randrange(6)}"
        known = self.plain.jobs.get(name)
        job = known.job if known and dice.random() < 0.2 else self.make_job(name)
        return NewJob(
            Wanted(job, creation=Creation(self.wall, "ann", dice.choice([None, "run_x"]))),
            dice.choice(["error", "keep", "replace"]),
            dice.choice([None, None, None, "not yet"]),
        )

    def _tag_for(self, request_id: str, name: str) -> str | None:
        if self.dice.random() < 0.7:
            return None
        entry, known = self.engine.find(name), self.plain.find(name)
        if entry is None or known is None or self.dice.random() < 0.3:
            self.tags[request_id] = None
            return "another"
        self.tags[request_id] = known.tag
        return entry.version

    def _run_again(self, request_id: str) -> Event | None:
        ended = [run for run in self.store.runs.values() if run.state in TERMINAL_STATES]
        return RetryRequested(request_id, self.dice.choice(ended[-5:])) if ended else None

    # --- what must be true of it ---

    def fail(self, text: str) -> None:
        self.broken.append(f"{text} (at {self.wall})")

    def restored(self) -> None:
        """The next daemon finds every acknowledged change."""
        every = {**self.plain.jobs, **self.plain.aside}
        self._compare({key: each for key, each in every.items() if each.creation})

    def committed(
        self, before: dict[str, StoredJob], events: Sequence[Event], effects: Sequence[Effect]
    ) -> None:
        self.latest = max(self.latest, self.wall)
        replies = {each.request_id: each for each in effects if isinstance(each, Reply)}
        gone = [each for each in effects if isinstance(each, RemoveJob)]
        self.by_id = {row.job_id: row for row in before.values()}
        self.installs = {each.job_id: each.at for each in effects if isinstance(each, InstallJob)}
        self.retried = {  # of a run whose job is gone: the job that has its name now
            reply.value.job_id
            for event in events
            if isinstance(event, RetryRequested)
            and (reply := replies.get(event.request_id)) is not None
            and reply.value is not None
        }
        for event in events:
            self._follow(event, replies, gone)
        if any(isinstance(event, AttemptEnded) for event in events):
            for each in gone:
                # `_forgotten` has judged those that were forgotten in the same turn.
                is_judged = self.plain.find(each.job_id) is None
                if each.creation is not None and not is_judged:
                    self._left(each)
            self._stayed(effects)
        self._compare({**self.plain.jobs, **self.plain.aside})
        self._counted()
        self._rests(effects)
        self._durable()
        self._never_after_removal(effects)
        asked = [each for each in events if isinstance(each, CreateRequested)]
        begun_anew = {new.wanted.job.name for each in asked for new in each.jobs}
        telling = Telling(self.store, self.plain.files, before, effects)
        for text in telling.violations(begun_anew):
            self.fail(f"told: {text}")
        self.outcomes += telling.outcomes

    def _follow(
        self,
        event: Event,
        replies: dict[str, Reply],
        gone: list[RemoveJob],
    ) -> None:
        """Let the model do what was asked for; hold its answer against the engine's."""
        expected: str | None
        match event:
            case ConfigLoaded(wanted):
                self.plain.load(wanted, self.latest)
                self._settle_displaced()
                return
            case ForgetCompleted(until):
                self._forgotten(until, gone)
                return
            case CreateRequested():
                self._created(event, replies[event.request_id])
                return
            case ChangeRequested(request_id):
                told = replies[request_id].error
                expected = self.plain.change(
                    event, self.tags.get(request_id), self.decided_wall, told
                )
            case DeleteRequested(request_id):
                expected = self.plain.delete(event, self.tags.get(request_id))
            case MetadataRequested(request_id):
                expected = self.plain.write(event, self.tags.get(request_id))
                if expected is None:
                    self._written(event, replies[request_id])
            case _:
                return
        self.outcomes[f"{type(event).__name__} {expected}"] += 1
        if replies[request_id].error != expected:
            self.fail(f"{event} was answered by {replies[request_id]}, and not by {expected}")

    def _written(self, event: MetadataRequested, reply: Reply) -> None:
        if not is_same(reply.value, self._known(event.job_name).metadata):
            self.fail(f"{event} was answered by {reply}")

    def _created(self, event: CreateRequested, reply: Reply) -> None:
        answers: tuple[Created, ...] = reply.value
        for new, answer in zip(event.jobs, answers, strict=True):
            right = self.plain.create(new, self.latest)
            self.outcomes[answer.outcome] += 1
            known = self.plain.jobs.get(new.wanted.job.name)
            if known is not None and self._was_over(known):
                right = {"created"}
            if right & {"created", "replaced"}:
                is_past = when_past(new.wanted.job, self.decided_wall)
                right |= {"refused"} if True in is_past else set()
                right -= {"created", "replaced"} if is_past == {True} else set()
            if answer.outcome not in right:
                self.fail(f"{new} was {answer.outcome}, and not {right}")
            if answer.outcome == "created":
                self._made_room(known, answer)
            at = self.installs.get(answer.job_id, 0)
            self.plain.made(new, answer.outcome, answer.job_id, at)
        is_granted = any(each.outcome != "refused" for each in answers)
        if event.key is not None and (event.key in self.store.keys) is not is_granted:
            self.fail(f"the key of {event} is remembered, or not, wrongly")

    def _known(self, name: str) -> Known:
        known = self.plain.find(name)
        assert known is not None, f"{name} was found a moment ago"
        return known

    def _was_over(self, known: Known) -> bool:
        """Was it over before this batch, and nothing of it was asked for since."""
        row = self.by_id.get(known.job_id)
        is_over = row is not None and row.standing.over_at is not None and row.creation is not None
        is_same = row is not None and row.revision == known.job.revision
        return is_over and is_same and not known.job.keep and known.job_id not in self.retried

    def _made_room(self, known: Known | None, answer: Created) -> None:
        """A job gives its name to the next one only when it is over, and that one is told."""
        if answer.earlier_id != ("" if known is None else known.job_id):
            self.fail(f"{answer} does not tell of {known}")
        if known is not None:
            self.outcomes["made room"] += 1
            schedule = known.job.schedule
            if not isinstance(schedule, Once) or not self._has_row(known.job_id, schedule):
                self.fail(f"{known} gave its name to {answer}, and was not over")

    def _settle_displaced(self) -> None:
        """Where the model cannot know if a `once` was over when a file came, the engine tells."""
        for job_id, known in self.plain.aside.items():
            entry = self.engine.find(job_id)
            if entry is not None and known.may_be_over(self.latest):
                known.is_displaced = entry.standing.displaced is not None

    def _counted(self) -> None:
        """The quotas count every dynamic job that is not over, or that is to be kept."""
        state, users = self.engine._state, Counter[str]()
        entries = list(self.engine.entries.values())
        if not state.is_loaded:
            return
        for entry in entries:
            schedule = entry.job.schedule
            is_over = (
                isinstance(schedule, Once)
                and entry.handled_until >= schedule.execute_at
                and not self.engine.runs.open_count(entry.job_id)
            )
            if is_over is not (entry.standing.over_at is not None):
                self.fail(f"kept: {entry} is over: {is_over}")
            if entry.wanted.is_dynamic and (entry.job.keep or not is_over):
                users[entry.job.user or ""] += 1
        counted = Counter(state.dynamic_of_user)
        counted[""] = state.dynamic_count - sum(state.dynamic_of_user.values())
        if +counted != +users:
            self.fail(f"the quotas count {counted}, and there are {users}")

    def _rests(self, effects: Sequence[Effect]) -> None:
        """A job whose name a file declares does nothing by itself; its occurrences say `paused`."""
        displaced = {
            each.job_id
            for each in effects
            if isinstance(each, SaveStanding) and each.standing.displaced is not None
        }
        resting = {
            job_id
            for job_id, row in self.by_id.items()
            if row.standing.displaced is not None
            and (now := self.store.jobs.get(job_id)) is not None
            and now.standing.displaced is not None
        }
        for each in effects:
            if isinstance(each, ClaimRun) and each.run.job_id in resting:
                if each.run.trigger in GUARDED:
                    self.fail(f"I6: {each.run} is of a job whose name a file declares")
            elif isinstance(each, RecordSkip) and each.job_id in resting:
                self.outcomes["rested"] += 1
                if each.skip.reason not in {Reason.PAUSED, Reason.REMOVED}:
                    self.fail(f"{each} is of a job whose name a file declares")
        for job_id in displaced:
            waiting = [
                run
                for run in self.engine.runs.of_job(job_id)
                if run.state is RunState.QUEUED and run.trigger in GUARDED and run.attempt == 1
            ]
            if waiting:
                self.fail(f"{waiting} waits, and a file declares its job's name")

    def _left(self, record: RemoveJob) -> None:
        """By itself a job leaves after its success only."""
        self.outcomes["left"] += 1
        known = self._known(record.job_id)
        runs = [run for run in self.store.runs.values() if run.job_id == record.job_id]
        is_done = any(run.state is RunState.SUCCEEDED for run in runs)
        is_open = any(run.state in OPEN_STATES for run in runs)
        if not (known.creation and isinstance(known.job.schedule, Once)) or known.job.keep:
            self.fail(f"{record} is not of a kind that leaves")
        elif not is_done or is_open or not self._has_row(record.job_id, known.job.schedule):
            self.fail(f"{record} had not succeeded, or not ended: {self.by_id[record.job_id]}")
        self.plain.remove(known)

    def _stayed(self, effects: Sequence[Effect]) -> None:
        """Once it has succeeded and nothing of it is open, a job must have left."""
        saved = [each.run for each in effects if isinstance(each, SaveRun)]
        ended = Counter(run.job_id for run in saved if run.state in TERMINAL_STATES)
        for run in saved:
            row = self.store.jobs.get(run.job_id)
            if run.state is not RunState.SUCCEEDED or ended[run.job_id] > 1 or row is None:
                continue
            known = self._known(key_of(row))
            schedule = known.job.schedule
            if known.creation is None or known.job.keep or not isinstance(schedule, Once):
                continue
            is_over = row.progress.handled_until >= schedule.execute_at
            if is_over and not self.engine.runs.open_count(run.job_id):
                self.fail(f"{row.name} has succeeded in {run.id}, and is still there")

    def _forgotten(self, until: int, gone: list[RemoveJob]) -> None:
        for record in gone:
            self.outcomes["forgotten"] += 1
            known = self._known(record.job_id)
            schedule = known.job.schedule
            if not (known.creation and isinstance(schedule, Once)) or known.job.keep:
                self.fail(f"{record} is not of a kind that is forgotten")
            elif self._was_due_since(schedule, until) or not self._has_row(record.job_id, schedule):
                self.fail(f"{record} is not over: {self.by_id[record.job_id]}")
            self.plain.remove(known)
        for row in self.store.jobs.values():
            known_now = self.plain.find(key_of(row))
            over_at = row.standing.over_at
            is_over = row.creation is not None and over_at is not None and over_at < until
            if is_over and known_now is not None and not known_now.job.keep:
                self.fail(f"{row.name} was over before {until}, and is still there")

    def _was_due_since(self, schedule: Once, until: Instant) -> bool:
        """Was it certainly due after *until*; the clock may have been set back once it was over."""
        set_back_ms = sum(max(0, -fact.by) for fact in self.facts if isinstance(fact, Stepped))
        return schedule.execute_at >= until + set_back_ms

    def _has_row(self, job_id: str, schedule: Once) -> bool:
        return any(
            run.job_id == job_id and run.scheduled_for == schedule.execute_at
            for run in self.store.runs.values()
        ) or any(
            record.job_id == job_id and skip.first <= schedule.execute_at <= skip.last
            for record, skip in self.store.skips.values()
        )

    def _compare(self, wanted: Mapping[str, Known]) -> None:
        there = dict(self.engine.entries)
        for key, known in wanted.items():
            entry = there.pop(key, None)
            if entry is None:
                self.fail(f"{known.job.name} ({key}) is gone, and nobody removed it")
                continue
            if (entry.standing.displaced is not None) is not known.is_displaced:
                self.fail(f"{entry} waits for its name, or not, and should not: {known}")
            if (entry.job.revision, entry.wanted.creation) != (
                known.job.revision,
                known.creation,
            ):
                self.fail(f"{entry.wanted} is in force, and not {known.job}, {known.creation}")
            if not is_same(dict(entry.current.metadata), known.metadata):
                self.fail(f"{entry.job.name} has {entry.current.metadata}, not {known.metadata}")
        if self.engine.next_wake_up() is not None and any(
            each.wanted.is_dynamic for each in there.values()
        ):
            self.fail(f"{sorted(there)} are in force, and should not be")

    def _durable(self) -> None:
        """The engine's jobs equal those that the store would restore."""
        rows = {key_of(row): row for row in self.store.jobs.values()}
        if rows.keys() != self.engine.entries.keys():
            self.fail(f"I11: stored: {sorted(rows)}, in force: {sorted(self.engine.entries)}")
            return
        for name, entry in self.engine.entries.items():
            row = rows[name]
            if (row.job_id, row.revision, row.creation, row.standing) != (
                entry.job_id,
                entry.job.revision,
                entry.wanted.creation,
                entry.standing,
            ) or not is_same(vars_of(row.progress), vars_of(progress_of(entry))):
                self.fail(f"I11: stored: {row}, in force: {entry}")

    def _never_after_removal(self, effects: Sequence[Effect]) -> None:
        here = {each.job_id for each in effects if isinstance(each, RemoveJob)}
        gone = self.store.removed - here
        for each in effects:
            if isinstance(each, RemoveJob):
                gone.add(each.job_id)
            elif isinstance(each, StartAttempt) and each.run.job_id in gone:
                self.fail(f"I5: {each} comes after the removal of its job")


def progress_of(entry: Entry) -> SaveProgress:
    return SaveProgress(
        entry.job_id,
        entry.grid_at,
        entry.handled_until,
        entry.consecutive_failures,
        entry.pause,
        entry.overlay,
        entry.alert,
        entry.consecutive_stops,
    )


def vars_of(progress: SaveProgress) -> list[Any]:
    overlay, alert = progress.overlay, progress.alert
    pause = progress.pause
    return [
        progress.grid_at,
        progress.handled_until,
        progress.consecutive_failures,
        progress.consecutive_stops,
        pause and [pause.at, pause.reason, pause.author, pause.until],
        [dict(overlay.values), sorted(overlay.removed)],
        [alert.cause, alert.failed_at, alert.succeeded_at],
    ]
