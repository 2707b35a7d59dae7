"""The daemon: makes, starts and stops its parts.

Rule: wiring only. The start is: lock and store, watch, jobs of the previous daemon, files, first turn, socket,
READY. The shutdown is the reverse.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from luad.api.server import ApiServer
from luad.api.service import Health, Problems, ReloadResult, Users
from luad.api.transport import unix_socket
from luad.clock import Clock, monotonic_us
from luad.config.jobs.catalogue import Catalogue
from luad.config.settings.daemon_settings import Settings
from luad.core.engine import Engine
from luad.core.events import (
    ConfigLoaded,
    DrainRequested,
    Event,
    JobsRestored,
    Log,
    Restored,
)
from luad.core.messaging import Delivery, Message
from luad.daemon import run_rules, signals, status, wiring
from luad.daemon.background import BackgroundTasks
from luad.daemon.condition import Condition, Parts
from luad.daemon.configuration import Configuration
from luad.daemon.delivery import MessageDelivery
from luad.daemon.effects import DaemonEffects
from luad.daemon.file_problems import FileProblems
from luad.daemon.handler_look import HandlerLook
from luad.daemon.loop import Loop, Turns
from luad.daemon.loop_lag import LoopLag
from luad.daemon.maintenance import Maintenance
from luad.daemon.masking import SecretMask
from luad.daemon.recorder import StoreRecorder
from luad.daemon.recovery import lost_attempts, take_over
from luad.daemon.replies import Replies
from luad.daemon.retention_schedule import RetentionSchedule
from luad.daemon.run_output import OutputPump, RunReports
from luad.daemon.service import EngineService
from luad.daemon.shutdown import Shutdown, stop_part
from luad.daemon.user_directory import UserDirectory
from luad.errors import StoreUnavailableError
from luad.live.event_ring import EventRing
from luad.live.log_followers import LogFollowers
from luad.live.recent_runs import RecentRuns
from luad.logs import Logging
from luad.messenger.sender import Sender
from luad.notify import Notifier
from luad.runner.leftovers import end_run
from luad.runner.runners import Runners
from luad.store import Store

EXIT_OK: Final = 0
EXIT_ERROR: Final = 1
EXIT_CONFIG: Final = 78  # sysexits.h; the unit file tells systemd not to restart after it
_PREVIOUS_RUNS_S: Final = 20
_FLUSH_S: Final = 2.0
_FIRST_LOAD: Final = "start"


class Daemon(EngineService):
    """One daemon's life, and the service that its API uses. All of it runs on one event loop."""

    def __init__(self, settings: Settings, logs: Logging, store: Store, clock: Clock) -> None:
        self.logs = logs
        self.store = store
        self.clock = clock
        self.recent_runs = RecentRuns(self.dynamic_handler)
        self.followers = LogFollowers()
        self.ring = EventRing(f"{clock.now().wall:x}")
        self.engine = self._make_engine(settings, clock)
        self.replies = Replies()
        self.dynamic = wiring.dynamic_rules(settings)
        self.handlers = HandlerLook.of(settings)
        self._settings = settings
        self._notifier = Notifier(os.environ)
        self._secrets = SecretMask(logs.redactor, os.environ)
        self._directory = UserDirectory(store, clock, self._secrets.note_users)
        self.users: Users = self._directory
        self._file_problems = FileProblems(
            self.engine, self._directory, logs, settings.handlers_path
        )
        started_at = clock.now()
        self._condition = Condition(started_at, started_at.wall)
        self._tasks = BackgroundTasks(logs)
        self._first_turn = asyncio.Event()
        self._signals = 0
        self._watchdog_due = 0

    def _make_engine(self, settings: Settings, clock: Clock) -> Engine:
        return Engine(wiring.bounds(settings), clock.now())

    def _compose(self) -> None:
        """Make the objects that belong to the running event loop."""
        settings, clock = self._settings, self.clock
        pump, sender = (
            OutputPump(self.store.append_logs_of, self.followers.publish),
            wiring.sender(settings),
        )
        runner = self._make_runner(pump)
        self.delivery = MessageDelivery(
            self.store, self._directory, sender, clock, self._effects.log, self._on_delivery
        )
        self.loop = self._make_loop()
        self._parts = self._make_parts(runner, sender, pump)
        self._maintenance = Maintenance(self._parts)
        self._shutdown = Shutdown(self._parts)
        self._catalogue = Catalogue(settings)
        self._configuration = Configuration(
            self._parts,
            wiring.config_reader(settings, self._catalogue, clock),
            self._file_problems,
            self.replies,
            self._maintenance.renew_spawner,
        )
        self._watch = wiring.folder_watch(settings, self._configuration.reloader.request, self.logs)

    def _make_loop(self) -> Turns:
        recorder = StoreRecorder(self.store, self.recent_runs, self.followers, self.ring)
        turn, store = self._on_turn, self._on_store
        return Loop(self.engine, self.clock, recorder, self._effects, on_turn=turn, on_store=store)

    def _make_reports(self, pump: OutputPump) -> RunReports:
        return RunReports(self.engine, self.logs, pump, self._post, self._secrets)

    def _make_runner(self, pump: OutputPump) -> Runners:
        """Return the runner; its reports go to *pump* and to the loop, which is made later."""
        reports = self._make_reports(pump)
        runner = Runners(
            wiring.runner_config(self._settings),
            shared_processes=wiring.shared_processes(self._settings),
            emit=reports.take_event,
            on_lines=reports.take_lines,
            log=self.logs.emit,
        )
        self._effects = DaemonEffects(
            runner,
            self.logs,
            reports.order,
            self.replies,
            lambda message: self._tasks.start(self.delivery.deliver(message), "alert"),
            self._secrets,
            run_rules.Binder(self.engine.find, self.dynamic),
        )
        return runner

    def _make_parts(self, runner: Runners, sender: Sender, pump: OutputPump) -> Parts:
        settings = self._settings
        api = ApiServer(
            self,
            settings.socket,
            inherited=unix_socket.inherited(os.environ, os.getpid()),
            spec=wiring.listen_spec(settings),
            pages=wiring.pages(settings),
            proxy_users=wiring.proxy_users(settings),
        )
        keep = settings.retention
        return Parts(
            settings,
            self.logs,
            self.store,
            self.clock,
            self._notifier,
            self.engine,
            self.installed,
            self._directory,
            self._tasks,
            LoopLag(),
            self._condition,
            runner,
            sender,
            pump,
            self._effects,
            self.loop,
            self.ring,
            RetentionSchedule(self.store, self.clock, keep, self.loop.post, self.logs),
            api,
        )

    def _post(self, event: Event) -> None:
        self.loop.post(event)

    # --- life ---

    async def run(self) -> int:
        """Start, turn, stop; return the exit code."""
        self._compose()
        spawner = asyncio.create_task(self._parts.runner.start())
        self._starting = asyncio.create_task(self._prepare(spawner))
        signals.handle(self._on_stop_signal, self._on_hangup)
        try:
            self._report_quarantine()
            if self._settings.watch:
                self._watch.start()
            events = await self._starting
            if events is None:
                return EXIT_CONFIG
            return await self._live(events)
        except asyncio.CancelledError:
            if not self._signals:
                raise
            return EXIT_OK  # a signal to stop came during the start
        finally:
            await self._stop(spawner)

    async def _prepare(self, spawner: asyncio.Task[None]) -> list[Event] | None:
        """Return the events of the first turn; None if `--strict` refuses the files."""
        parts, logs = self._parts, self.logs
        # In a thread, because the spawner starts meanwhile, and a signal may come.
        restored = await asyncio.to_thread(
            self._configuration.restore,
            partial(
                take_over,
                *(self.store, self.engine, self._catalogue, self.dynamic),
                *(self._file_problems.left_out, logs, self.clock.now()),
            ),
        )
        self._file_problems.note_fast_jobs(self.dynamic)
        self._file_problems.bad_rows = self._directory.restore()
        now = self.clock.now()
        first = await self._first_event(restored)
        if first is None:
            return None
        parts.api.listen()  # a daemon that cannot listen must not start runs
        await asyncio.shield(spawner)  # `_stop` awaits it too
        if not await parts.runner.wait_for_previous(_PREVIOUS_RUNS_S * 1_000):
            logs.emit("warning", "recovery.survivors", {"waited_s": _PREVIOUS_RUNS_S})
        lost = await asyncio.to_thread(lost_attempts, restored, now.wall, end_run, logs)
        return [*lost, first]

    async def _first_event(self, restored: Restored) -> Event | None:
        """Return the event that puts jobs in force; None if `--strict` refuses the files."""
        configuration = self._configuration
        if not self._settings.strict:
            compared = await configuration.begin_comparison(restored.open_runs)
            if compared is not None:
                return JobsRestored(frozenset(compared))
        reading = await configuration.read()
        if self._settings.strict and reading.error_count:
            fields = {"problems": reading.error_count, "why": "--strict"}
            self.logs.emit("error", "daemon.refused", fields)
            return None
        configuration.reloader.recheck_after(reading)
        in_force = self.replies.expect(_FIRST_LOAD)
        in_force.add_done_callback(partial(configuration.keep_first, reading))
        return ConfigLoaded(reading.wanted, reading.error_count, _FIRST_LOAD)

    async def _live(self, events: list[Event]) -> int:
        for event in events:
            self.loop.post(event)
        events.clear()  # they have all jobs, and the callers keep the list
        turning = asyncio.create_task(self.loop.run(self._is_over))
        first = asyncio.create_task(self._first_turn.wait())
        await asyncio.wait({turning, first}, return_when=asyncio.FIRST_COMPLETED)
        first.cancel()
        if not turning.done():
            await self._parts.api.start()
            if self.logs.has_first_line:
                self.logs.write_first_line(status.greeting(self._parts))
            self._begin_service(status.jobs_line(self._parts))
        try:
            await turning
        except StoreUnavailableError as error:
            self.logs.emit("error", "daemon.gave_up", {"error": error.message})
            return EXIT_ERROR
        except MemoryError:
            # An interrupted turn leaves the engine undefined, but the store is sound: systemd restarts luad.
            self.logs.emit("error", "daemon.gave_up", {"error": "luad has run out of memory"})
            return EXIT_ERROR
        return EXIT_OK

    def _begin_service(self, status_line: str) -> None:
        parts, start = self._parts, self._tasks.start
        start(parts.pump.run(), "pump")
        rescan_s = self._settings.rescan_ms / 1_000 if self._settings.watch else None
        start(self._configuration.run_reloader(rescan_s), "reloader")
        start(self._configuration.run(), "installer")
        start(self.delivery.start(), "mail")
        start(self._maintenance.run(), "beat")
        start(parts.lag.measure(), "lag")
        start(self._file_problems.missing.run(), "gone")
        start(parts.retention.run(), "retention")
        gc.freeze()  # the loaded objects stay: collections may skip them
        gc.enable()
        self._condition.is_ready = True
        self._notifier.ready(status_line)
        self.logs.emit("info", "daemon.ready", status.introduction(parts))
        self.store.history.note_software(status.software(), self.clock.now().wall)

    async def _stop(self, spawner: asyncio.Task[None]) -> None:
        """Stop all parts in reverse order; the failure of one part does not keep the others running."""
        parts, stop = self._parts, partial(stop_part, self.logs)
        self._condition.is_ready = False
        self._notifier.stopping()
        self._tasks.cancel(but="pump")
        self._starting.cancel()  # it may still be running
        await asyncio.gather(self._starting, return_exceptions=True)
        await stop("api", parts.api.stop())
        await stop("watch", asyncio.to_thread(self._watch.close))
        await stop("spawner", spawner)
        await stop("runner", parts.runner.close())
        await stop("sender", parts.sender.close())
        await stop("output", parts.pump.flush(_FLUSH_S))
        await self._tasks.end()
        self.logs.emit("info", "daemon.stopped", {"dropped_lines": parts.pump.dropped})
        self._notifier.close()
        signals.ignore_further()

    # --- what happens to the daemon ---

    def _on_store(self, fault: str | None) -> None:
        if fault is None:
            self.logs.emit("info", "store.recovered", {})
        elif self._condition.store_fault is None:
            self.logs.emit("error", "store.unavailable", {"error": fault})
        self._condition.store_fault = fault

    def _report_quarantine(self) -> None:
        if self.store.quarantined is not None:
            fields = {"set_aside": str(self.store.quarantined), "problem": self.store.problem}
            self.logs.emit("critical", "store.corrupt", fields)

    def _on_delivery(self, channel: str, delivery: Delivery, message: Message) -> None:
        self._condition.deliveries[channel, delivery.state.value] += 1
        data = {"id": message.id, "user_id": message.user, "channel": delivery.channel}
        more = {"status": delivery.state.value, "run_id": message.run_id}
        self.ring.publish("delivery.changed", {**data, **more})

    def _on_hangup(self) -> None:
        if not self._condition.is_ready:
            self._configuration.reloader.request()  # the start is reading the files, or has just read them
            return
        self._tasks.start(self._configuration.reload(), "reload")

    def _on_stop_signal(self) -> None:
        """Drain at the first signal, end the runs at the second, and exit at the third."""
        self._signals += 1
        self._notifier.stopping("draining")
        if self._signals == 1:
            self._starting.cancel()  # has no effect once the start is done
            self.loop.post(DrainRequested())
            self._tasks.start(self._shutdown.run(), "drain")
        elif self._signals == 2:
            self._shutdown.hurry()
        else:
            self._parts.runner.kill_all()  # else closing the runner would wait for the kill grace
            self.loop.stop()

    def _is_over(self) -> bool:
        return self.engine.is_draining and not self.engine.runs.slots.taken_count

    def _on_turn(self) -> None:
        self._first_turn.set()
        now = self.clock.now()
        self._condition.last_turn_at = now.wall
        if self._notifier.watchdog_interval_s and now.elapsed >= self._watchdog_due:
            self._notifier.watchdog()
            self._watchdog_due = now.elapsed + int(self._notifier.watchdog_interval_s * 250)

    # --- the rest of the service ---

    def problems(self) -> Problems:
        """Return the problems of the files, of duplicate names and ids, and of the store."""
        return self._file_problems.all(self._condition.reading)

    async def delete_stored_job(self, name_or_id: str) -> bool:
        """Delete a stored job that is not in force; False when no such job has that name or id."""
        return await self._file_problems.left_out.delete(
            name_or_id, self.store, self.clock.now().wall
        )

    def status(self) -> Mapping[str, Any]:
        """Return the daemon's part of the answer to `GET /v1/status`."""
        return status.describe(self._parts)

    def health(self) -> Health:
        """Return whether the daemon does its work."""
        return status.health(self._parts)

    def lag_ms(self) -> float:
        """Return the longest lag of the event loop in the last minute."""
        return round(self._parts.lag.worst_ms(monotonic_us()), 1)

    def log(self, line: Log) -> None:
        """Write a line to the daemon's log."""
        self._effects.log(line)

    async def reload(self, *, check_only: bool) -> ReloadResult:
        """Read the files now; with *check_only*, only return what would change."""
        return await self._configuration.reload(check_only=check_only)
