"""The whole daemon: what is made in which order, what runs beside the loop, how it ends.

Room rule: wiring. Start-up is: lock and store, watch, files, what the previous daemon left, first turn,
socket, READY. Shutting down is the same backwards.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections import Counter, deque
from collections.abc import Awaitable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from luad.api.server import ApiServer
from luad.api.service import Health, Post, ReloadResult, Users
from luad.api.transport import unix_socket
from luad.clock import Clock, monotonic_us
from luad.config.jobs.catalogue import Catalogue
from luad.config.jobs.handler_names import reserved_handlers
from luad.config.jobs.stored_jobs import job_from_store
from luad.config.settings.daemon_settings import Settings
from luad.core.engine import Engine
from luad.core.events import (
    ConfigLoaded,
    DrainRequested,
    Event,
    Log,
    Record,
    Reply,
    Restored,
    StoredJob,
)
from luad.core.messaging import Message
from luad.core.model import Instant, Job
from luad.core.plan import Plan
from luad.daemon import maintenance, run_rules, signals, wiring
from luad.daemon.background import Tasks
from luad.daemon.delivery import PostOffice
from luad.daemon.effects import DaemonHands
from luad.daemon.file_problems import Mistakes
from luad.daemon.loop import Loop
from luad.daemon.loop_lag import Lag
from luad.daemon.masking import Secrets
from luad.daemon.ownership import Places
from luad.daemon.recovery import jobs_in_force, lost_attempts
from luad.daemon.reloading import ConfigReader, Reading, Reloader, UserReader
from luad.daemon.retention_schedule import Forgetting
from luad.daemon.run_output import OutputPump, RunReports
from luad.daemon.service import DaemonService, reload_result
from luad.daemon.shutdown import Stopping
from luad.daemon.user_directory import Directory
from luad.errors import Problem, Severity, StoreUnavailableError
from luad.live.event_ring import EventRing
from luad.live.log_followers import LogFollowers
from luad.live.recent_runs import RecentRuns
from luad.logs import Logging
from luad.notify import Notifier
from luad.runner.leftovers import end_run
from luad.runner.runner import Runner
from luad.runner.site_packages import site_marks
from luad.store import Store
from luad.watcher import FolderWatch

EXIT_OK: Final = 0
EXIT_ERROR: Final = 1
EXIT_CONFIG: Final = 78  # sysexits.h; systemd is told not to restart after it
_PREVIOUS_RUNS_S: Final = 20
_FLUSH_S: Final = 2.0


class Daemon:
    """One daemon's life. Everything here happens on its event loop."""

    def __init__(self, settings: Settings, logs: Logging, store: Store, clock: Clock) -> None:
        self.settings = settings
        self.logs = logs
        self.store = store
        self.clock = clock
        self.recent_runs = RecentRuns()
        self.followers = LogFollowers()
        self.notifier = Notifier(os.environ)
        self.engine = Engine(wiring.bounds(settings), clock.now())
        self.ring = EventRing(f"{clock.now().wall:x}")
        self.dynamic = wiring.dynamic_rules(settings)
        self.secrets = Secrets(logs.redactor, os.environ)
        self.directory = Directory(store, clock, self.secrets.note_users)
        self.users: Users = self.directory
        self.deliveries: Counter[tuple[str, str]] = Counter()
        self.started_at = clock.now()
        self.reading: Reading | None = None
        self._mistakes = Mistakes(self.engine, self.directory, logs, settings.handlers_path)
        self.store_fault: str | None = None
        self.lock_fault: str | None = None
        self.lag = Lag()
        self.last_turn_at = self.started_at.wall
        self.last_good_reload_at: Instant | None = None
        self.is_ready = False
        self.site_marks = self.site_marks_before = site_marks()
        self._first_turn = asyncio.Event()
        self._signals = 0
        self._stopping = Stopping(self)
        self._watchdog_due = 0
        self._tasks = Tasks(logs)
        self._forgetting = Forgetting(store, clock, settings.retention, self.post, logs)

    def _compose(self) -> None:
        """Make the rooms that belong to the running event loop."""
        settings, logs, store, clock = self.settings, self.logs, self.store, self.clock
        self.pump = OutputPump(store.append_logs, self.followers.publish)
        reports = RunReports(self.engine, logs, self.pump, self.post, self.secrets)
        self.runner = Runner(
            wiring.runner_config(settings), emit=reports.take_event, on_lines=reports.take_lines
        )
        self.hands = DaemonHands(
            self.runner,
            logs,
            reports.order,
            self._deliver,
            self.secrets,
            lambda action: run_rules.bind(action, self.engine.find, self.dynamic),
        )
        self.sender = wiring.sender(settings)
        self.office = PostOffice(
            store, self.directory, self.sender, clock, self.hands.log, self._count_delivery
        )
        self.mail: Post = self.office
        self.loop = Loop(
            self.engine,
            clock,
            self,
            self.hands,
            on_turn=self._on_turn,
            on_store=self._on_store,
        )
        self._catalogue = Catalogue(settings)
        users = UserReader(settings, lambda: wiring.user_snapshots(settings))
        jobs, places = wiring.job_snapshots(settings), Places(settings).problems
        names = partial(reserved_handlers, folder=settings.handlers_path)
        self._reader = ConfigReader(jobs, self._catalogue, clock, users, places, names)
        self.reloader = Reloader(
            self._reader,
            self._apply_reading,
            lambda error: self._tasks.note_failure("reloader", error),
        )
        folders = (*settings.jobs, *settings.users)
        self.watch = FolderWatch(folders, self._announce_change, self._on_watch_trouble)
        self.api = ApiServer(
            DaemonService(self),
            settings.socket,
            inherited=unix_socket.inherited(os.environ, os.getpid()),
            spec=wiring.listen_spec(settings),
        )

    # --- life ---

    async def run(self) -> int:
        """Start, turn, stop; return the exit code."""
        self._asyncio_loop = asyncio.get_running_loop()
        self._compose()
        spawner = asyncio.create_task(self.runner.start())
        self._starting = asyncio.create_task(self._prepare(spawner))
        signals.mind(self._on_stop_signal, self._on_hangup)
        try:
            self._report_quarantine()
            if self.settings.watch:
                self.watch.start()
            events = await self._starting
            if events is None:
                return EXIT_CONFIG
            return await self._live(events)
        except asyncio.CancelledError:
            if not self._signals:
                raise
            return EXIT_OK  # told to stop before it had begun
        finally:
            await self._stop(spawner)

    async def _prepare(self, spawner: asyncio.Task[None]) -> list[Event] | None:
        """Gather what the first turn needs; None when the files are not fit to start with."""
        restored = self._take_over()
        self._mistakes.bad_rows = self.directory.restore()
        now = self.clock.now()
        reading = await asyncio.to_thread(self._reader.read)
        self._note_reading(reading)
        errors = [each for each in reading.problems if each.severity is Severity.ERROR]
        if self.settings.strict and errors:
            self.logs.emit("error", "daemon.refused", {"problems": len(errors), "why": "--strict"})
            return None
        self.api.listen()  # whoever cannot be asked shall not start runs either
        await asyncio.shield(spawner)  # its end belongs to `_stop`
        if not await self.runner.wait_for_previous(_PREVIOUS_RUNS_S * 1_000):
            self.logs.emit("warning", "recovery.survivors", {"waited_s": _PREVIOUS_RUNS_S})
        lost = await asyncio.to_thread(lost_attempts, restored, now.wall, end_run, self.logs)
        self.reloader.recheck_after(reading)
        loaded = ConfigLoaded(reading.loaded.wanted, len(errors))
        return [*lost, loaded]

    def _take_over(self) -> Restored:
        """Give the engine what the previous daemon left; return it, but for the jobs."""
        restored = self.store.restore()
        waiting = deque(restored.jobs)
        restored = replace(restored, jobs=())
        static: list[tuple[StoredJob, Job]] = []

        def jobs() -> Iterator[tuple[StoredJob, Job]]:
            for stored, job in jobs_in_force(
                waiting,
                lambda stored: job_from_store(
                    stored.definition, stored.revision, must_match=stored.creation is None
                ),
                self.dynamic.allows,
                self.logs,
                self._mistakes.left_out,
                why=self.dynamic.reason,
                now=self.clock.now().wall,
            ):
                if stored.origin is not None:
                    static.append((stored, job))
                yield stored, job

        pinned = {
            run_id: job_from_store(definition, revision)
            for run_id, revision, definition in restored.pinned
        }
        self.engine.restore(jobs(), restored, self.clock.now(), pinned)
        self._catalogue.seed(static)
        self._mistakes.note_fast_jobs(self.dynamic)
        return restored

    async def _live(self, events: Sequence[Event]) -> int:
        for event in events:
            self.loop.post(event)
        turning = asyncio.create_task(self.loop.run(self._is_over))
        first = asyncio.create_task(self._first_turn.wait())
        await asyncio.wait({turning, first}, return_when=asyncio.FIRST_COMPLETED)
        first.cancel()
        if not turning.done():
            await self.api.start()
            if self.logs.has_first_line:
                self.logs.write_first_line(await maintenance.greeting(self))
            self._begin_service(await self._status_line())
        try:
            await turning
        except StoreUnavailableError as error:
            self.logs.emit("error", "daemon.gave_up", {"error": error.message})
            return EXIT_ERROR
        except MemoryError:
            # What a turn has decided halfway cannot be trusted; what is in the store can. Start again.
            self.logs.emit("error", "daemon.gave_up", {"error": "there is no memory left"})
            return EXIT_ERROR
        return EXIT_OK

    async def _status_line(self) -> str:
        """What systemd is told of the jobs; nothing when there is nobody to tell."""
        return await maintenance.status_line(self) if self.notifier.is_supervised else ""

    def _begin_service(self, status_line: str) -> None:
        self.beside(self.pump.run(), "pump")
        rescan_s = self.settings.rescan_ms / 1_000 if self.settings.watch else None
        self.beside(self.reloader.run(rescan_s), "reloader")
        self.beside(self.office.start(), "mail")
        self.beside(maintenance.beat(self), "beat")
        self.beside(self.lag.measure(), "lag")
        self.beside(self._mistakes.gone.run(), "gone")
        self.beside(self._forgetting.run(), "retention")
        gc.freeze()  # what was loaded stays: no collection needs to look at it
        gc.enable()
        self.is_ready = True
        self.notifier.ready(status_line)
        self.logs.emit("info", "daemon.ready", maintenance.introduction(self))

    async def _stop(self, spawner: asyncio.Task[None]) -> None:
        """Undo what `run` did, backwards; a part that fails keeps no other from its end."""
        self.is_ready = False
        self.notifier.stopping()
        self._tasks.cancel(but="pump")
        self._starting.cancel()  # it may have failed while something else did
        await asyncio.gather(self._starting, return_exceptions=True)
        await self._try("api", self.api.stop())
        await self._try("watch", asyncio.to_thread(self.watch.close))
        await self._try("spawner", spawner)
        await self._try("runner", self.runner.close())
        await self._try("sender", self.sender.close())
        await self._try("output", self.pump.flush(_FLUSH_S))
        await self._tasks.end()
        self.logs.emit("info", "daemon.stopped", {"dropped_lines": self.pump.dropped})
        self.notifier.close()
        signals.ignore_further()

    async def _try(self, part: str, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - whatever it is, the other parts still have to end
            fields = {"part": part, "error": f"{type(error).__name__}: {error}"}
            self.logs.emit("error", "daemon.stop_failed", fields)

    def beside(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        """Let *work* go on beside the loop; if it fails, the daemon goes on and says so."""
        self._tasks.start(work, name)

    # --- the store, as the loop sees it ---

    async def apply(self, records: Sequence[Record]) -> tuple[str, ...]:
        """Write the records; tell the views what is durable now."""
        refused = await self.store.apply(records)
        for run_id in self.recent_runs.observe(records, refused):
            self.followers.end_run(run_id)
        self.ring.observe(records, refused)
        return refused

    def _on_store(self, fault: str | None) -> None:
        if fault is None:
            self.logs.emit("info", "store.recovered", {})
        elif self.store_fault is None:
            self.logs.emit("error", "store.unavailable", {"error": fault})
        self.store_fault = fault

    def _report_quarantine(self) -> None:
        if self.store.quarantined is not None:
            fields = {"set_aside": str(self.store.quarantined), "problem": self.store.problem}
            self.logs.emit("critical", "store.corrupt", fields)

    # --- what comes in ---

    def post(self, event: Event) -> None:
        """Hand an event to the engine."""
        self.loop.post(event)

    def expect_reply(self, request_id: str) -> asyncio.Future[Reply]:
        """Return a future for the answer to a request that is about to be handed in."""
        return self.hands.expect_reply(request_id)

    def log(self, line: Log) -> None:
        """Write a line to the daemon's log."""
        self.hands.log(line)

    def _deliver(self, message: Message) -> None:
        self.beside(self.office.deliver(message), "alert")

    def _count_delivery(self, channel: str, state: str) -> None:
        self.deliveries[channel, state] += 1

    def _announce_change(self) -> None:
        self._asyncio_loop.call_soon_threadsafe(self.reloader.wish)

    def _on_watch_trouble(self, message: str) -> None:
        self.logs.emit("warning", "watch.degraded", {"message": message})

    def _on_hangup(self) -> None:
        if not self.is_ready:
            self.reloader.wish()  # the files are being read, or were read a moment ago
            return
        self.beside(self.reload(), "reload")

    def _on_stop_signal(self) -> None:
        """First: drain. Second: end what runs. Third: leave, whatever is left undone."""
        self._signals += 1
        self.notifier.stopping("draining")
        if self._signals == 1:
            self._starting.cancel()  # no matter once that is done
            self.loop.post(DrainRequested())
            self.beside(self._stopping.run(), "drain")
        elif self._signals == 2:
            self._stopping.hurry()
        else:
            self.runner.kill_all()  # else closing the runner would grant them their grace
            self.loop.stop()

    def _is_over(self) -> bool:
        return self.engine.is_draining and not self.engine.runs.slots.taken_count

    def _on_turn(self) -> None:
        self._first_turn.set()
        now = self.clock.now()
        self.last_turn_at = now.wall
        if self.notifier.watchdog_interval_s and now.elapsed >= self._watchdog_due:
            self.notifier.watchdog()
            self._watchdog_due = now.elapsed + int(self.notifier.watchdog_interval_s * 250)

    # --- the files ---

    async def reload(self, *, check_only: bool = False) -> ReloadResult:
        """Read the folders now; return once what they ask for is in force and durable.

        With *check_only* nothing changes, and the answer says what would.
        """
        if check_only:
            snapshots = wiring.job_snapshots(self.settings)
            reading = await asyncio.to_thread(self._reader.aside, snapshots)
            plan = self.engine.plan(reading.loaded.wanted)
            return reload_result(plan, reading, self._mistakes.aside(reading))
        self.notifier.reloading(monotonic_us(), "reading jobs")
        status_line = ""
        renewing = asyncio.create_task(maintenance.renew_spawner(self))
        try:
            reading, answer = await self.reloader.ask()
            plan = (await asyncio.shield(answer)).value  # others may wait for the same answer
            status_line = await self._status_line()
        finally:
            await asyncio.gather(renewing, return_exceptions=True)
            self.notifier.ready(status_line)
        assert isinstance(plan, Plan)
        return reload_result(plan, reading, self._mistakes.of_files(reading))

    def _apply_reading(self, reading: Reading) -> asyncio.Future[Reply]:
        self._note_reading(reading)
        request_id = f"reload-{reading.serial}"
        answer = self.hands.expect_reply(request_id)
        self.loop.post(ConfigLoaded(reading.loaded.wanted, reading.error_count, request_id))
        return answer

    def _note_reading(self, reading: Reading) -> None:
        if self.reading is None or self.reading.users != reading.users:
            self.directory.load(reading.users)
        self.reading = reading
        if not reading.error_count:
            self.last_good_reload_at = reading.at
        self._mistakes.tell(reading)

    def problems(self) -> tuple[Problem, ...]:
        """Say what is wrong with the files, with names and ids that two have, and with the store."""
        return self._mistakes.all(self.reading)

    async def delete_left_out(self, name_or_id: str) -> bool:
        """Delete a stored job that is not in force; False when none is called so."""
        return await self._mistakes.left_out.delete(name_or_id, self.store, self.clock.now().wall)

    # --- about itself ---

    def describe(self) -> Mapping[str, Any]:
        """Return what `GET /v1/status` says."""
        return maintenance.describe(self)

    def health(self) -> Health:
        """Say whether it does its work."""
        return Health(self.is_ready, self.faults())

    def faults(self) -> tuple[str, ...]:
        """Say what keeps the daemon from doing its work; nothing when it is well."""
        found = []
        if self.store_fault is not None:
            found.append(f"the store cannot be written: {self.store_fault}")
        if fault := self.runner.fault:
            found.append(fault)
        if not self.store.check_identity():
            found.append(f"{self.store.path} was deleted or replaced under the running daemon")
        found += (fault for fault in (self.lock_fault, self.api.fault) if fault)
        if self._forgetting.fault is not None:
            found.append(self._forgetting.fault)
        found += (f"{name} has ended; restart luad" for name in sorted(self._tasks.ended))
        return tuple(found)
