"""A worker: executes the attempts that its fetcher hands up, with luad's own runner, and reports.

Rule: the engine alone says what a run is. A worker launches what it took in the store, stops what the store says,
and repeats each report until it is written; it has no other state that counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from luad.cluster import worker_rows
from luad.cluster.fetching import Fetched, Fetching
from luad.cluster.handler_code import WorkerCode, is_lacking
from luad.cluster.worker_link import Link, WorkerLink
from luad.cluster.worker_logs import WorkerLogs
from luad.cluster.worker_reports import WorkerReports
from luad.cluster.worker_rows import Identity, Left, Taken
from luad.core.events import AttemptEnded, AttemptStarted, StartAttempt
from luad.core.model import Ending, EndKind, RunError
from luad.daemon.run_output import last_lines
from luad.errors import StoreUnavailableError
from luad.runner.leftovers import end_run

if TYPE_CHECKING:
    from pathlib import Path

    from luad.cluster.fetching import Emit
    from luad.cluster.inbox import Report
    from luad.cluster.store_clock import StoreClock
    from luad.core.events import StoredJob
    from luad.daemon.masking import SecretMask
    from luad.runner.runners import Runners

BEATS_IN_LOST_AFTER: Final = 6
_TAKES_AT_ONCE: Final = 50
_RETRY_S: Final = 0.5
_PREVIOUS_MS: Final = 20_000
_FLUSH_S: Final = 10.0
_LIFE: Final = "worker.life"
_LOST: Final = RunError("Lost", "the worker ended while this ran; its end is unknown")
_STOPPED: Final = RunError("Stopped", "the worker was stopped while this ran, and ended it")

Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class WorkerParts:
    """What a worker is made of.

    *links*: two connections, for work and for logs. *fetcher*: the settings of the fetcher. *bind* adds the rules for
    the handler of a job. *state_dir*: where the worker notes its life. *code*: the digest of its handlers.
    """

    identity: Identity
    links: tuple[Link, Link]
    fetcher: Mapping[str, Any]
    bind: Callable[[StoredJob, StartAttempt], StartAttempt]
    clock: StoreClock
    emit: Emit
    secrets: SecretMask
    state_dir: Path
    lost_after_ms: int
    drain_ms: int
    code: Callable[[], str | None] = lambda: None


@dataclass(slots=True)
class _Held:
    """An attempt that the fetcher handed up. *stop*: the last stop that the store asked for."""

    fetched: Fetched
    shard: int = 0
    is_launched: bool = False
    stop: str = ""


class Worker:
    """One life of a worker. *runner* reports to `take_event` and `take_lines`."""

    def __init__(self, parts: WorkerParts) -> None:
        self._parts = parts
        self._held: dict[Key, _Held] = {}
        self._to_take: asyncio.Queue[Fetched] = asyncio.Queue()
        self._beat_now = asyncio.Event()
        self.is_draining = False
        self.is_over = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_away = False
        self.fetching = Fetching(parts.fetcher, self._on_fetched, parts.emit)
        work, logs = parts.links
        self._link = WorkerLink(
            work,
            on_open=worker_rows.listen,
            on_wake=self._beat_now.set,
            on_contact=self._on_contact,
        )
        self._log_link = WorkerLink(logs)
        self.logs = WorkerLogs(self._log_link, self._now)
        self.reports = WorkerReports(self._link, self._now)
        self._code = WorkerCode(parts.identity.life, self._link, parts.code, parts.emit)
        self._runner: Runners | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._fetching_task: asyncio.Task[None] | None = None

    @property
    def running(self) -> list[Key]:
        """The attempts that this worker has launched, and that have not ended."""
        return [key for key, held in self._held.items() if held.is_launched]

    def shard_of(self, key: Key) -> int | None:
        """Return the shard of an attempt that this worker has; None for any other."""
        held = self._held.get(key)
        return None if held is None else held.shard

    def _now(self) -> int:
        return self._parts.clock.now().wall

    def _identity(self) -> Identity:
        return replace(self._parts.identity, code_digest=self._code.digest)

    # --- life ---

    async def start(self, runner: Runners) -> None:
        """Report what an earlier life left, register, and fetch. Waits for the store."""
        if self.is_over:
            return
        self._runner = runner
        if runner.spawner_pid is None:
            await runner.start()
        await runner.wait_for_previous(_PREVIOUS_MS)
        path = self._parts.state_dir / _LIFE
        if former := path.read_text() if path.exists() else "":
            await self._again(partial(self._end_former, former))
        await self._code.look()
        await self._again(self._beat)
        path.write_text(self._parts.identity.life)
        loops = (
            self._taking(),
            self._beating(),
            self.reports.run(),
            self.logs.run(),
            self._code.run(),
        )
        self._fetching_task = asyncio.create_task(self.fetching.run())
        self._tasks = [*map(asyncio.create_task, loops), self._fetching_task]
        me = self._parts.identity
        fields = {"worker": me.name, "life": me.life, "queues": list(me.queues)}
        self._parts.emit("info", "worker.ready", fields)

    async def _again(self, work: Callable[[], Any]) -> None:
        """Do *work* until the store can do it."""
        while True:
            try:
                await work()
            except StoreUnavailableError as error:
                self._note_away(error)
                await asyncio.sleep(_RETRY_S)
            else:
                return

    async def _end_former(self, life: str) -> None:
        """End what the former life of this worker left running, and report it as lost."""
        left = await self._link.do(partial(worker_rows.left_by, life=life))
        for run, shard in left:
            await asyncio.to_thread(end_run, run.id, run.identity)
            ending = Ending(EndKind.LOST, self._now(), error=_LOST)
            report = (shard, AttemptEnded(run.id, run.attempt, ending))
            await self._link.do(partial(worker_rows.report, reports=[report], now=self._now()))

    async def stop(self) -> None:
        """Fetch no more, hand back what is not launched, drain, report, and end. Idempotent.

        A worker that has not been started cannot be started any more.
        """
        runner, was_over = self._runner, self.is_over
        self.is_over = self.is_draining = True
        if runner is None or was_over:
            return
        self.fetching.stop()
        await self._hand_back()
        await self._until_idle(self._parts.drain_ms / 1_000)
        self.hurry()
        await self._until_idle(_FLUSH_S * 6)
        await self._hand_back()  # what came up while the fetcher was told to stop
        await runner.close()
        await self.logs.flush(_FLUSH_S)
        if await self.reports.flush(_FLUSH_S):
            (self._parts.state_dir / _LIFE).unlink(missing_ok=True)  # it has left nothing to report
        # The fetcher has been told to stop, and writes which rows are over before it ends.
        if self._fetching_task is not None:
            await asyncio.wait([self._fetching_task], timeout=_FLUSH_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._link.close()
        await self._log_link.close()
        self._parts.emit("info", "worker.stopped", {"life": self._parts.identity.life})

    def hurry(self) -> None:
        """End what runs."""
        for key in self.running:
            self._held[key].stop = self._held[key].stop or "drain"
            if self._runner is not None:
                self._runner.stop(*key)

    async def _hand_back(self) -> None:
        """Hand over again what was fetched and is not launched: another worker will take it."""
        waiting = [self._to_take.get_nowait() for _ in range(self._to_take.qsize())]
        keys = [(each.run_id, each.attempt) for each in waiting]
        if keys:
            await self._again(partial(self._link.do, partial(worker_rows.hand_back, attempts=keys)))
        for each in waiting:
            self._release(each)

    async def _until_idle(self, timeout_s: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), timeout_s)

    # --- taking ---

    def _on_fetched(self, fetched: Fetched) -> None:
        key = (fetched.run_id, fetched.attempt)
        if key in self._held:  # its earlier row was handed over again, and came here
            self.fetching.finish(fetched)
            return
        self._held[key] = _Held(fetched)
        self._to_take.put_nowait(fetched)

    async def _taking(self) -> None:
        while True:
            batch = [await self._to_take.get()]
            while not self._to_take.empty() and len(batch) < _TAKES_AT_ONCE:
                batch.append(self._to_take.get_nowait())
            if self.is_draining:
                for each in batch:
                    self._to_take.put_nowait(each)
                return
            try:
                found = await self._link.do(partial(self._take_all, batch))
            except StoreUnavailableError:
                for each in batch:
                    self._to_take.put_nowait(each)
                await asyncio.sleep(_RETRY_S)
                continue
            for fetched, outcome in zip(batch, found, strict=True):
                self._launch(fetched, outcome)

    def _take_all(self, batch: list[Fetched], connection: Any) -> list[Taken | Left]:
        now, identity = self._now(), self._identity()
        return [
            worker_rows.take(connection, identity, each.run_id, each.attempt, now) for each in batch
        ]

    def _launch(self, fetched: Fetched, found: Taken | Left) -> None:
        key = (fetched.run_id, fetched.attempt)
        held = self._held[key]
        held.shard = found.shard
        if isinstance(found, Left):
            if found.ending is None:
                self._release(fetched)
            else:
                self._report_end(AttemptEnded(*key, found.ending))
            return
        held.is_launched = True
        self._idle.clear()
        self._parts.secrets.note_start(found.start)
        self.logs.begin(fetched.run_id, found.next_line)
        try:
            assert self._runner is not None
            self._runner.launch(self._parts.bind(found.stored, found.start))
        except Exception as error:  # noqa: BLE001 - nothing on the way to a process may end silently
            fault = RunError(type(error).__name__, f"the worker cannot start this: {error}")
            self.take_event(
                AttemptEnded(*key, Ending(EndKind.NOT_STARTED, self._now(), error=fault))
            )

    def _release(self, fetched: Fetched) -> None:
        self._held.pop((fetched.run_id, fetched.attempt), None)
        self.fetching.finish(fetched)
        if not self.running:
            self._idle.set()

    # --- reporting ---

    def take_event(self, event: Report) -> None:
        """Report what the runner says about an attempt, at the time of the store."""
        held = self._held.get((event.run_id, event.attempt))
        if held is None:
            return
        ahead_ms = self._parts.clock.offset_ms
        if isinstance(event, AttemptStarted):
            self.reports.put(held.shard, replace(event, at=event.at + ahead_ms))
            return
        masked = self._parts.secrets.mask_ending(event.run_id, event.ending)
        self._parts.secrets.forget(event.run_id)
        ending = replace(masked, at=masked.at + ahead_ms)
        if held.stop == "drain" and ending.kind is EndKind.CANCELLED:
            ending = replace(ending, kind=EndKind.LOST, error=_STOPPED)
        event = replace(event, ending=ending)
        if is_lacking(ending):
            put_back, end = partial(self._leave, held.fetched), partial(self._finish, event)
            self._code.try_elsewhere(event, put_back, end)
        else:
            self._finish(event)

    def _leave(self, fetched: Fetched) -> None:
        """Forget an attempt that was put back."""
        self.logs.end(fetched.run_id)
        self._release(fetched)

    def _finish(self, event: AttemptEnded) -> None:
        """Report an end, after the output of the attempt."""
        ending = event.ending
        lines = last_lines(event)
        if lines:
            self.logs.put(event.run_id, lines)
        dropped = self.logs.end(event.run_id)
        if dropped:
            ending = replace(ending, dropped_bytes=ending.dropped_bytes + dropped)
        self._report_end(replace(event, ending=ending))

    def take_lines(self, run_id: str, attempt: int, _job: str, lines: list[dict[str, Any]]) -> None:
        """Queue lines of an attempt for the store."""
        for line in lines:
            line["attempt"] = attempt
            self._parts.secrets.mask_line(run_id, line)
        self.logs.put(run_id, lines)

    def _report_end(self, event: AttemptEnded) -> None:
        held = self._held[event.run_id, event.attempt]
        held.is_launched = False
        if not self.running:
            self._idle.set()
        release = partial(self._release, held.fetched)
        # Who sees that the run has ended finds its whole output.
        report = partial(self.reports.put, held.shard, event, release)
        self.logs.when_written(event.run_id, report)

    # --- signs of life ---

    async def _beating(self) -> None:
        pause_s = self._parts.lost_after_ms / 1_000 / BEATS_IN_LOST_AFTER
        while True:
            try:
                async with asyncio.timeout(pause_s):
                    await self._beat_now.wait()
            except TimeoutError:
                pass
            self._beat_now.clear()
            try:
                await self._beat()
            except StoreUnavailableError as error:
                self._note_away(error)
                await asyncio.sleep(_RETRY_S)
                self._beat_now.set()

    def _note_away(self, error: StoreUnavailableError) -> None:
        if not self._is_away:
            self._is_away = True
            self._parts.emit("error", "store.unavailable", {"error": error.message})

    def _note_back(self) -> None:
        if self._is_away:
            self._is_away = False
            self._parts.emit("info", "store.recovered", {})

    async def _beat(self) -> None:
        running, clock = self.running, self._parts.clock
        sent = clock.machine_now()
        work = partial(worker_rows.beat, identity=self._identity(), held=running)
        found = await self._link.do(work)
        clock.note(found.now, sent, clock.machine_now())
        self._note_back()
        for key, stop in found.stops.items():
            self._obey(key, stop)
        for run_id, attempt in found.gone:
            if (run_id, attempt) in self._held and self._held[run_id, attempt].is_launched:
                self._parts.emit("warning", "report.fenced", {"run_id": run_id, "attempt": attempt})
                self._obey((run_id, attempt), "grace")
        has_room = len(self._held) < int(self._parts.fetcher["concurrency"])
        self.fetching.note_oldest(found.oldest if has_room else None)

    def _obey(self, key: Key, stop: str) -> None:
        held = self._held.get(key)
        if held is None or held.stop in {stop, "kill"} or self._runner is None:
            return
        held.stop = stop
        self._runner.stop(*key, kill=stop == "kill")

    def _on_contact(self) -> None:
        """The store is in touch again: the fetcher may have lost its connections without notice."""
        self.fetching.replace()
        self._beat_now.set()
