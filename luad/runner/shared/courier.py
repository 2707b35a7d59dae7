"""The main thread of a shared process: it reads messages, watches time limits, and sends news.

Rule: it calls no handler and waits for none, so that a handler that blocks its thread or the event loop does
not delay the others' time limits.
"""

from __future__ import annotations

import heapq
import os
import select
import signal
import traceback
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NoReturn

from luad.clock import elapsed_ms, wall_ms
from luad.runner.shared.calling import Caller, cancel
from luad.runner.shared.life import Life
from luad.runner.shared.messages import stopped_error
from luad.runner.shared.run import SharedRun
from luad.runner.shared.threads import GROW_MS, LoopThread, ThreadPool, stack_of

if TYPE_CHECKING:
    from luad.runner.shared.begun import Begun
    from luad.runner.shared.channel import Channel
    from luad.runner.shared.messages import Item, RunMessage, SetupMessage

_BATCH_MS: Final = 20  # lines of running runs that come faster than this share a frame
_PARTIAL_MS: Final = 450  # text without a line end is shown if two checks find it
_ITEMS: Final = 128  # in one frame, which must not occupy the daemon's loop for long
_MUCH: Final = 1 << 20  # bytes that wait for the daemon; lines wait in their runs meanwhile
_LONGEST_WAIT_MS: Final = 60_000
_ORPHAN_GRACE_MS: Final = 1_000  # for clean-up when the daemon is gone
_PROBE_MS: Final = 250
_BLOCKED_MS: Final = 1_000
_STACK: Final = 20
_SPARE_LIMITS: Final = 1_000


class Courier:
    """Executes the runs that arrive on *channel*."""

    def __init__(self, channel: Channel, setup: SetupMessage, life: Life, begun: Begun) -> None:
        self._channel = channel
        self._begun = begun
        self._setup = setup
        self._life = life
        self._runs: dict[tuple[str, int], SharedRun] = {}
        self._over: deque[SharedRun] = deque()
        self._noted: deque[SharedRun] = deque()
        self._partial: set[SharedRun] = set()
        self._untold: dict[SharedRun, None] = {}  # their start is not reported yet
        self._limits: list[tuple[int, int, SharedRun]] = []  # a heap: instant, number, run
        self._limit_count = 0
        self._flushed_ms = self._partial_ms = self._probed_ms = 0
        self._orphaned_ms: int | None = None
        self._wake_up = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._is_woken = False
        self._caller = Caller(setup, self._on_end)
        self._pool = ThreadPool(lambda run: self._caller.call(run, self._loop.submit))
        self._loop = LoopThread(self._caller.start)
        self._poll = select.poll()

    def serve(self) -> NoReturn:
        """Work until the daemon closes the channel."""
        self._loop.begin()
        self._poll.register(self._wake_up, select.POLLIN)
        self._poll.register(self._channel.descriptor, select.POLLIN)
        while True:
            events = select.POLLIN | (select.POLLOUT if self._channel.waiting_bytes else 0)
            if self._orphaned_ms is None:
                self._poll.modify(self._channel.descriptor, events)
            for descriptor, _events in self._poll.poll(self._wait_ms()):
                if descriptor == self._wake_up:
                    os.eventfd_read(self._wake_up)
                else:
                    self._on_channel()
            self._is_woken = False
            self._work()

    # --- from other threads ------------------------------------------------------------------------

    def _on_end(self, run: SharedRun) -> None:
        self._over.append(run)
        self._wake()

    def _on_output(self, run: SharedRun) -> None:
        self._noted.append(run)
        if not self._untold:  # else the courier looks soon anyway
            self._wake()

    def _wake(self) -> None:
        if not self._is_woken:
            self._is_woken = True
            os.eventfd_write(self._wake_up, 1)

    # --- messages ----------------------------------------------------------------------------------

    def _on_channel(self) -> None:
        self._channel.push()
        frames = self._channel.read()
        if frames is None:
            self._poll.unregister(self._channel.descriptor)
            self._orphaned_ms = elapsed_ms()
            for run in list(self._runs.values()):
                self._stop(run, "cancelled", _ORPHAN_GRACE_MS)
            return
        for frame in frames:
            self._on_frame(frame)

    def _on_frame(self, frame: dict[str, Any]) -> None:
        match frame["t"]:
            case "run":
                self._take(frame["runs"])
            case "stop":
                killed = [
                    self._runs.get((name, attempt)) for name, attempt, kill in frame["runs"] if kill
                ]
                for name, attempt, _kill in frame["runs"]:
                    run = self._runs.get((name, attempt))
                    if run is not None:
                        self._stop(run, "cancelled", self._setup["kill_grace_ms"])
                doomed = [run for run in killed if run is not None and not run.is_over]
                if doomed:
                    self._die(doomed)
            case "ping":
                self._channel.send({"t": "pong"})

    def _take(self, messages: list[RunMessage]) -> None:
        """Begin runs, or return them if this process must not execute any more."""
        if why := self._life.over():
            keys = [[each["job"]["run_id"], each["job"]["attempt"]] for each in messages]
            self._channel.send({"t": "returned", "runs": keys, "why": why})
            return
        for message in messages:
            run = SharedRun(message, self._setup, self._on_output, self._begun)
            self._runs[run.key] = run
            self._untold[run] = None
            if self._caller.is_known_async(run):
                self._loop.submit(run)
            else:
                self._pool.submit(run)

    # --- time --------------------------------------------------------------------------------------

    def _wait_ms(self) -> int:
        """Return the time until the next thing to do."""
        if self._over or (self._pool.is_behind and self._runs):
            return 0 if self._over else GROW_MS
        now = elapsed_ms()
        due = now + _LONGEST_WAIT_MS
        if self._noted or self._untold:
            due = min(due, self._flushed_ms + _BATCH_MS)
        if self._partial:
            due = min(due, self._partial_ms + _PARTIAL_MS)
        if self._runs:
            due = min(due, now + _PROBE_MS)
        if self._limits:
            due = min(due, self._limits[0][0])
        if self._orphaned_ms is not None:
            due = min(due, now + _BATCH_MS)
        return max(0, due - now)

    def _work(self) -> None:
        now = elapsed_ms()
        self._pool.grow()
        self._flush(now)
        if self._partial and now - self._partial_ms >= _PARTIAL_MS:
            self._show_partial(now)
        if self._runs and now - self._probed_ms >= _PROBE_MS:
            self._probed_ms = now
            self._watch_loop()
        self._watch_limits(now)
        if self._orphaned_ms is not None and (
            not self._runs or now - self._orphaned_ms >= _ORPHAN_GRACE_MS
        ):
            os._exit(0)

    def _watch_limits(self, now: int) -> None:
        late = []
        while self._limits and self._limits[0][0] <= now:
            run = heapq.heappop(self._limits)[2]
            if run.is_over:
                continue
            if run.kill_at_ms is not None and now >= run.kill_at_ms:
                late.append(run)
            elif not run.cause:
                self._stop(run, "timed_out", self._setup["kill_grace_ms"])
        if late:
            self._die(late)

    def _add_limit(self, at_ms: int, run: SharedRun) -> None:
        """Look at *run* again at *at_ms*."""
        if len(self._limits) > 2 * len(self._runs) + _SPARE_LIMITS:
            self._limits = [each for each in self._limits if not each[2].is_over]
            heapq.heapify(self._limits)
        self._limit_count += 1
        heapq.heappush(self._limits, (at_ms, self._limit_count, run))

    def _stop(self, run: SharedRun, cause: str, grace_ms: int) -> None:
        kill_at_ms = elapsed_ms() + grace_ms
        run.kill_at_ms = kill_at_ms if run.kill_at_ms is None else min(run.kill_at_ms, kill_at_ms)
        self._add_limit(run.kill_at_ms, run)
        if cancel(run, cause):
            self._on_end(run)

    def _watch_loop(self) -> None:
        """Warn a run whose handler blocks the event loop."""
        if self._loop.blocked_ms() < _BLOCKED_MS:
            return
        task = self._loop.current_task()
        for run in list(self._runs.values()):
            if task in run.tasks and not run.has_told_blocked:
                run.has_told_blocked = True
                stack = "".join(traceback.format_list(self._loop.stack()[-_STACK:]))
                run.warn(
                    "the handler blocks the event loop, so the other runs of its shared process wait; write "
                    f"a plain `def`, or await `asyncio.to_thread`. It is at:\n{stack}"
                )

    # --- news --------------------------------------------------------------------------------------

    def _flush(self, now: int) -> None:
        """Send the news of runs that are over, and from time to time of the others."""
        items: list[Item] = []
        while self._over:
            run = self._over.popleft()
            self._runs.pop(run.key, None)
            self._partial.discard(run)
            self._untold.pop(run, None)
            self._life.count_run()
            items.append(self._last_item(run))
            if len(items) >= _ITEMS:
                self._send(items)
                items = []
        is_due = now - self._flushed_ms >= _BATCH_MS
        if is_due and (self._noted or self._untold) and self._channel.waiting_bytes < _MUCH:
            self._flushed_ms = now
            items += self._items_of_running()
        self._send(items)

    def _items_of_running(self) -> list[Item]:
        begun = [run for run in self._untold if run.started_at is not None]
        items = [self._item(run) for run in begun]
        for run in begun:
            del self._untold[run]
            if run.deadline_ms is not None:
                self._add_limit(run.deadline_ms, run)
        while self._noted:
            run = self._noted.popleft()
            if run.is_over:
                continue
            if run.output.has_partial:
                self._partial.add(run)
            if lines := run.take_lines():
                items.append({**self._item(run), "lines": lines})
        return items

    def _item(self, run: SharedRun) -> Item:
        item: Item = {"id": run.key[0], "attempt": run.key[1]}
        if not run.is_start_told and run.started_at is not None:
            run.is_start_told = True
            item["start"] = run.started_at
        return item

    def _last_item(self, run: SharedRun) -> Item:
        assert run.end is not None, "it is over"
        item = self._item(run)
        if lines := run.output.finish(run.end["ts"]):
            item["lines"] = lines
        item["end"] = run.end
        return item

    def _send(self, items: list[Item]) -> None:
        if items:
            self._channel.send({"t": "news", "items": items})

    def _show_partial(self, now: int) -> None:
        self._partial_ms = now
        for run in list(self._partial):
            if run.is_over or not run.show_partial():
                self._partial.discard(run)
            self._noted.append(run)

    # --- the end -----------------------------------------------------------------------------------

    def _die(self, guilty: list[SharedRun]) -> NoReturn:
        """End this process because runs do not stop; the daemon reports the others as lost."""
        items: list[Item] = []
        for run in guilty:
            where = "".join(traceback.format_list(self._stack_of(run)[-_STACK:]))
            cause = run.cause or "cancelled"
            error = stopped_error(cause, run.timeout_ms, where, was_killed=True)
            if run.close({"kind": cause, "ts": wall_ms(), "error": error}):
                items.append(self._last_item(run))
        self._over.clear()
        for run in self._runs.values():
            if run.is_over and run not in guilty and run.end is not None:
                items.append(self._last_item(run))
            elif not run.is_over:
                items.append({**self._item(run), "lines": run.take_lines()})
        first = guilty[0].message["job"]
        names = {"job": first["name"], "run_id": first["run_id"]}
        self._channel.send_last({"t": "news", "items": items})
        self._channel.send_last({"t": "doomed", **names})
        os.kill(os.getpid(), signal.SIGKILL)
        os._exit(70)

    def _stack_of(self, run: SharedRun) -> list[traceback.FrameSummary]:
        if run.root is None:
            return stack_of(run.interrupt.thread_id)
        if self._loop.current_task() in run.tasks:
            return self._loop.stack()
        return [
            traceback.FrameSummary(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
            for frame in run.root.get_stack()
        ]
