"""A luad inside another process, on a virtual clock.

Engine, store, API, the engine's loop and the calls of handlers are those of the daemon. Three things differ:
the caller moves the time, messages are only recorded, and a run has no process of its own, so that a test can
inspect its handler. Handlers are called one at a time, in a thread.

Rule: one thread owns all state; other threads use `Host.call`.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeVar

from luad.api.application import build_app
from luad.api.service import DynamicRules, Health, Problems, ReloadResult, Users
from luad.api.transport.unix_socket import Peer
from luad.clock import Clock
from luad.config.settings.daemon_settings import Dynamic
from luad.core.engine import Engine
from luad.core.events import (
    AttemptEnded,
    AttemptStarted,
    ConfigLoaded,
    Deliver,
    DrainRequested,
    Event,
    Log,
    ReleaseOutput,
    Reply,
    StartAttempt,
    StopAttempt,
    Ticked,
)
from luad.core.model import Instant, ProcessIdentity, Wanted
from luad.daemon.delivery import MessageDelivery, MessageSender
from luad.daemon.handler_look import HandlerLook
from luad.daemon.loop import Loop
from luad.daemon.recorder import StoreRecorder
from luad.daemon.replies import Replies
from luad.daemon.run_output import omission_line
from luad.daemon.service import EngineService
from luad.daemon.user_directory import UserDirectory
from luad.errors import error_from_problem
from luad.live.event_ring import EventRing
from luad.live.log_followers import LogFollowers
from luad.live.recent_runs import RecentRuns
from luad.live.restore import RestoreTask
from luad.messenger.sender import Outcome
from luad.runner.spec import job_values, own_environment, variables_of
from luad.runner.thread_interrupt import ThreadInterrupt
from luad.sdk.job import JobCore
from luad.store import Store
from luad.testing.asgi import exchange
from luad.testing.calls import call_handler, ending_of
from luad.testing.clock import VirtualAlarm, VirtualClock

if TYPE_CHECKING:
    from luad.core.messaging import Channel, Message
    from luad.sdk.ask import Ask
    from luad.store.messages import StoredMessage

T = TypeVar("T")

_IDENTITY: Final = ProcessIdentity(0, 0, "test")


class Captured:
    """Sends nothing and reports success; the store has the message."""

    async def deliver(self, message: Message, channel: Channel) -> Outcome:
        """Return a successful outcome."""
        del message
        return Outcome(answer=f"captured; it would go to {channel.kind.value}")


class Host(EngineService):
    """One luad, with its state in a temporary folder. A context.

    *now* is the first time of its clock. *people* are definitions as in `users.d`, *wanted* jobs as in files.
    *is_idle*: no handlers are called, as for `luad test`. *dynamic* limits the jobs that may be made at run
    time (default: all).
    """

    page_rows: ClassVar[int] = 500

    def __init__(
        self,
        now: Instant,
        *,
        people: Sequence[Mapping[str, Any]] = (),
        wanted: Mapping[str, Wanted] | None = None,
        sender: MessageSender | None = None,
        timezone: str = "UTC",
        is_idle: bool = False,
        dynamic: DynamicRules | None = None,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="luad-test-")
        # Nothing listens there: what a handler starts must not reach a real luad.
        self._socket_path = str(Path(self._folder.name, "luad.sock"))
        self._time = VirtualClock(now)
        self.clock: Clock = self._time
        self.store = Store.open(Path(self._folder.name), clock=self.clock)
        self.recent_runs = RecentRuns(self.dynamic_handler)
        self.followers = LogFollowers()
        self.ring = EventRing("test")
        self.engine = Engine(64, self.clock.now())
        self.directory = UserDirectory(self.store, self.clock)
        self.users: Users = self.directory
        self.delivery = MessageDelivery(
            self.store, self.directory, sender or Captured(), self.clock, self.log
        )
        self.replies = Replies()
        self.handlers = HandlerLook()
        self.dynamic = dynamic or DynamicRules(
            ("*",), Path(self._folder.name), timezone, Dynamic().min_interval_ms
        )
        self.lines: list[Log] = []
        self._is_idle = is_idle
        self._alarm: VirtualAlarm | None = None
        self._deliveries: set[asyncio.Future[Any]] = set()
        self._open: dict[tuple[str, int], ThreadInterrupt] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="luad-test-handler")
        # Its thread is made by this one: threads that handlers start are no daemons then, as in a run.
        self._pool.submit(threading.get_ident)
        self._turned = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="luad-test", daemon=True
        )
        self._thread.start()
        self.call(self._start(people, wanted or {}))

    async def _start(
        self, people: Sequence[Mapping[str, Any]], wanted: Mapping[str, Wanted]
    ) -> None:
        restore = RestoreTask(self)
        self._app = build_app(self, restore)
        restore.start()
        self._restore = restore
        self.loop = Loop(
            self.engine,
            self.clock,
            StoreRecorder(self.store, self.recent_runs, self.followers, self.ring),
            self,
            on_turn=lambda: None,
            on_store=lambda _fault: None,
            make_alarm=self._make_alarm,
        )
        self._turning = asyncio.create_task(self.loop.run(lambda: False))
        for definition in people:
            await self.directory.add(definition, if_exists="replace")
        await self._settle(ConfigLoaded(dict(wanted), request_id="load"), "load")

    def _make_alarm(self, ring: Callable[[], None]) -> VirtualAlarm:
        self._alarm = VirtualAlarm(ring)
        return self._alarm

    async def _settle(self, event: Event, request_id: str) -> None:
        reply = self.replies.expect(request_id)
        self.loop.post(event)
        await reply

    def close(self) -> None:
        """Stop this luad without starting further runs, and delete its folder."""
        self.call(self._drain())
        for interrupt in list(self._open.values()):
            interrupt.fire()
        self._pool.shutdown()
        self.call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.store.close()
        self._folder.cleanup()

    async def _drain(self) -> None:
        self.loop.post(DrainRequested())
        await self._turn()

    async def _end(self) -> None:
        await self._turn()  # of what the handlers have reported
        self.loop.stop()
        await self._turning
        await asyncio.gather(*self._deliveries, return_exceptions=True)
        await self._restore.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the way in ---

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of *work*, run on the host's own thread; call it from another thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def ask(self, ask: Ask, run_id: str = "") -> Any:
        """Return the answer to a request of the SDK. Raises the exceptions of its client."""
        headers = {"Content-Type": "application/json"} if ask.body is not None else {}
        headers |= {"Luad-Run": run_id} if run_id else {}
        headers |= dict(ask.headers or {})
        body = b"" if ask.body is None else json.dumps(ask.body, allow_nan=False).encode()
        query = {
            key: str(value).lower() if isinstance(value, bool) else str(value)
            for key, value in (ask.query or {}).items()
            if value is not None
        }
        exchanged = exchange(
            self._app,
            ask.method,
            f"/v1{ask.path}",
            body=body,
            query=query,
            headers=headers,
            peer=Peer(),
        )
        status, _, content = self.call(exchanged)
        answer = json.loads(content) if content else None
        if status >= 400:
            raise error_from_problem(answer or {}, status)
        return answer

    def messages(
        self, *, user: str | None = None, run_id: str | None = None
    ) -> list[StoredMessage]:
        """Return all messages to *user*, or of a run, in the order of sending."""
        found: list[StoredMessage] = []
        cursor: str | None = None
        while True:
            ask = self.store.messages.page(
                user=user, run_id=run_id, limit=self.page_rows, cursor=cursor
            )
            page, cursor = self.call(ask)
            found += page
            if cursor is None:
                return [each for each in reversed(found) if not each.is_repetition]

    def advance(self, to: Instant) -> None:
        """Move the clock to *to*, stop at each due instant, and wait until all runs have ended."""
        while True:
            self._wait_for_runs()
            due = self.engine.next_wake_up()
            if due is None or due > to:
                break
            self._tick(max(due, self.clock.now().wall))
        self._tick(max(to, self.clock.now().wall))
        self._wait_for_runs()

    def _tick(self, at: Instant) -> None:
        self._time.move_to(at)
        self.call(self._turn())

    async def _turn(self) -> None:
        self.loop.post(Ticked())
        while self.loop.is_busy:  # noqa: ASYNC110 - a turn or two; the store answers in between
            await asyncio.sleep(0)

    def _wait_for_runs(self) -> None:
        """Wait until all handlers have ended and the engine has their results."""
        self.call(self._turn())
        while self._open:
            with self._turned:
                self._turned.wait_for(lambda: not self._open, 0.05)
            self.call(self._turn())

    # --- what the loop needs to carry out effects ---

    def start(self, action: StartAttempt) -> None:
        """Call the handler of an attempt after all earlier ones."""
        if self._is_idle:
            return
        interrupt = ThreadInterrupt()
        self._open[action.run.id, action.run.attempt] = interrupt
        self._pool.submit(self._run, action, interrupt)

    def stop(self, action: StopAttempt) -> None:
        """Stop an attempt."""
        interrupt = self._open.get((action.run_id, action.attempt))
        if interrupt is not None:
            interrupt.fire()

    def deliver(self, action: Deliver) -> None:
        """Deliver a message to its user."""
        task = asyncio.ensure_future(self.delivery.deliver(action.message))
        self._deliveries.add(task)
        task.add_done_callback(self._deliveries.discard)

    def reply(self, action: Reply) -> None:
        """Answer a request."""
        self.replies.answer(action)

    def release_output(self, action: ReleaseOutput) -> None:
        """Do nothing: the output of runs is not logged here."""

    def lag_ms(self) -> float:
        """Return 0, because the time of this luad is not real."""
        return 0.0

    def log(self, action: Log) -> None:
        """Record a log line."""
        self.lines.append(action)

    # --- what the service needs ---

    def problems(self) -> Problems:
        """Return no problems, because this luad has no files."""
        return Problems()

    def status(self) -> Mapping[str, Any]:
        """Return the version."""
        return {"version": "test"}

    def health(self) -> Health:
        """Return the health of a daemon without faults."""
        return Health()

    async def delete_stored_job(self, name_or_id: str) -> bool:
        """Return False, because no job is left out."""
        del name_or_id
        return False

    async def reload(self, *, check_only: bool) -> ReloadResult:
        """Return an empty result, because this luad has no files."""
        del check_only
        return ReloadResult()

    # --- handlers ---

    def _run(self, action: StartAttempt, interrupt: ThreadInterrupt) -> None:
        run = action.run
        interrupt.thread_id = threading.get_ident()
        at = self.clock.now().wall
        self._tell(AttemptStarted(run.id, run.attempt, at, _IDENTITY))
        values = json.loads(json.dumps(job_values(action), default=dict))
        timeout_ms = action.job.timeout_ms
        deadline = None if timeout_ms is None else at + timeout_ms
        job = JobCore(**values, started_at_ms=at, deadline_ms=deadline)
        variables = own_environment(action.job)
        variables |= variables_of(
            action.job, run.id, run.attempt, run.scheduled_for, self._socket_path
        )
        outcome, lines = call_handler(job, action.job, interrupt, variables)
        ending = ending_of(outcome, self.clock.now().wall, timeout_ms)
        if ending.result_omitted:
            lines.append(omission_line(ending.result_omitted, ending.at, run.attempt))
        for line in lines:
            line["attempt"] = run.attempt
        self.call(self.store.append_logs(run.id, lines))
        self._tell(AttemptEnded(run.id, run.attempt, ending))
        with self._turned:
            self._open.pop((run.id, run.attempt), None)
            self._turned.notify_all()

    def _tell(self, event: Event) -> None:
        self._loop.call_soon_threadsafe(self.loop.post, event)


class HostLink:
    """The SDK's link to a host; it adds the id of the run that makes the request."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def call(self, ask: Ask) -> Any:
        """Return the JSON of the answer."""
        from luad.sdk.job import running_job  # noqa: PLC0415 - beside what it is for

        job = None
        with suppress(AttributeError):
            job = running_job()
        return self._host.ask(ask, job.run_id if job is not None else "")
