"""The keeper: supervises many runs, whose handlers its forker makes, and talks to the daemon.

A keeper lives on after its runs, until the daemon closes the socket. If the
forker dies, the kernel ends its handlers, and the keeper ends too: the spawner, a subreaper, is then the
parent of what they left. If the keeper dies, the kernel ends the forker.

Rule: one loop that never waits for a run, so that no run can delay another one. `supervision` has the rules
of one run.
"""

from __future__ import annotations

import heapq
import itertools
import mmap
import os
import select
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from luad.clock import elapsed_ms
from luad.runner.forker_link import Request
from luad.runner.frames import CHUNK, FrameBuffer, encode
from luad.runner.leftovers import run_id_of
from luad.runner.processes import children_of, read_stat
from luad.runner.supervision import Supervision
from luad.runner.supply import ForkerGoneError, Supply

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from luad.runner.forker_link import ForkerLink, Handler
    from luad.runner.spec import LaunchSpec

_SHELL: Final = "luad.handlers.shell:run"
MOST_RUNS: Final = 65_536
"""The most runs of one keeper; their numbers are below."""

_ORPHAN_GRACE_MS: Final = 1_000  # between TERM and KILL when the daemon is gone
_LONGEST_WAIT_MS: Final = 60_000
_MOST_EVENTS: Final = 512


class Keeper:
    """Supervises runs; the daemon is at the other end of *channel*."""

    def __init__(self, channel: socket.socket) -> None:
        self._supply = Supply(self._on_end)  # forks before this process holds anything of a run
        self._channel: socket.socket | None = channel
        self._buffer = FrameBuffer()
        self._outbox = bytearray()
        self._is_busy = False  # the daemon does not take more at the moment
        self._runs: dict[int, Supervision] = {}  # by number
        self._by_pid: dict[int, Supervision] = {}
        self._by_id: dict[str, Supervision] = {}
        self._claims: dict[tuple[int, int], Supervision] = {}
        self._commands: set[Supervision] = (
            set()
        )  # the runs whose process is this keeper's own child
        self._suspects: dict[tuple[int, int], set[Supervision]] = {}
        self._timers: list[tuple[int, int, Supervision]] = []
        self._serials = itertools.count()
        self._readers: dict[int, tuple[int, Callable[[], None]]] = {}
        self._events = select.epoll()

    def run(self, taken: mmap.mmap) -> None:
        """Supervise until the daemon is gone and all runs have ended."""
        self._taken = taken
        assert self._channel is not None, "a keeper starts with a channel"
        self._channel.setblocking(False)
        self._watch_forker(self._supply.base)
        self.register(self._channel.fileno(), self._on_channel)
        self._say_hello()
        while not self._is_over:
            self._turn()

    @property
    def _is_over(self) -> bool:
        return self._channel is None and not self._runs

    def _say_hello(self) -> None:
        stat = read_stat(os.getpid())
        ticks = stat.start_ticks if stat else 0
        self._outbox += encode({"t": "hello", "keeper": [os.getpid(), ticks]})
        self._name_forkers()
        self._push_out()

    def _name_forkers(self) -> None:
        forkers = [[link.pid, link.ticks] for link in self._supply.links if link.pid]
        self._outbox += encode({"t": "forkers", "forkers": forkers})

    # --- one turn ------------------------------------------------------------------------------

    def _turn(self) -> None:
        until = self._timers[0][0] if self._timers else None
        wait_ms = _LONGEST_WAIT_MS if until is None else max(0, until - elapsed_ms())
        # A time limit may be weeks away, and epoll(7) counts 24 days at most.
        ready = self._events.poll(min(wait_ms, _LONGEST_WAIT_MS) / 1_000, _MOST_EVENTS)
        if not ready and self._commands:
            self._adopted()  # reaps what a long command has left
        batch = [(self._readers[fd][0], fd) for fd, _events in ready if fd in self._readers]
        for serial, descriptor in sorted(batch):
            found = self._readers.get(descriptor)
            if found is not None and found[0] == serial:  # not closed, and opened again, meanwhile
                found[1]()
        self._run_timers()
        for link in self._supply.new_links():
            self._watch_forker(link)
        for link in self._supply.links:
            self._start_waiting(link)
        for link in self._supply.links:
            if not link.send():
                self._watch_forker(link, writes=True)
        for link in self._supply.unused():
            self._close_template(link)
        self._push_out()

    def _run_timers(self) -> None:
        now = elapsed_ms()
        while self._timers and self._timers[0][0] <= now:
            at, _serial, run = heapq.heappop(self._timers)
            if run.timer == at:
                run.timer = None
                run.on_time(now)
                self.plan(run)

    def _start_waiting(self, link: ForkerLink) -> None:
        """Give waiting runs to waiting handlers, and report forks that have failed."""
        while link.requests and link.waiting:
            self._start(link.requests.popleft(), link.waiting.popleft())
        for number, error in self._supply.failures(link):
            self._outbox += encode({"t": "failed", "n": number, "error": error})

    def _start(self, request: Request, handler: Handler) -> None:
        self.unregister(handler.watch)
        run = Supervision(self, request.number, request.spec, handler)
        self._taken[request.number] = 1
        self._by_pid[handler.pid] = self._runs[request.number] = run
        self._by_id[request.spec["job"]["run_id"]] = run
        run.start()
        if request.is_stopped:
            run.stop("cancelled", grace_ms=request.grace_ms)

    def _start_command(self, number: int, spec: LaunchSpec) -> bool:
        """Start the command of a run that needs no Python process; False for any other run."""
        if spec["handler"] != _SHELL:
            return False
        # Handlers inherit no module that only commands need.
        from luad.runner import command  # noqa: PLC0415

        found = command.plain_command(spec)
        if found is None:
            return False
        self._taken[number] = 1
        handler = command.start_command(found, spec["limits"])
        if handler is None:
            self._taken[number] = 0
            return False
        run = command.CommandSupervision(self, number, spec, handler, found)
        self._commands.add(run)
        self._by_pid[handler.pid] = self._runs[number] = run
        self._by_id[spec["job"]["run_id"]] = run
        run.start()
        return True

    # --- what a supervision uses ---------------------------------------------------------------

    def register(
        self, descriptor: int, reader: Callable[[], None], *, writes: bool = False
    ) -> None:
        """Call *reader* when *descriptor* is readable, or has room if *writes*."""
        events = select.EPOLLIN | (select.EPOLLOUT if writes else 0)
        if descriptor in self._readers:
            self._events.modify(descriptor, events)
            self._readers[descriptor] = (self._readers[descriptor][0], reader)
        else:
            self._events.register(descriptor, events)
            self._readers[descriptor] = (next(self._serials), reader)

    def unregister(self, descriptor: int) -> None:
        """Call its reader no more."""
        if self._readers.pop(descriptor, None) is not None:
            self._events.unregister(descriptor)

    def plan(self, run: Supervision) -> None:
        """Call `on_time` of *run* at its `next_at`."""
        at = run.next_at() if run.number in self._runs else None
        if at is not None and (run.timer is None or at < run.timer):
            run.timer = at
            heapq.heappush(self._timers, (at, next(self._serials), run))

    def ask_end(self, run: Supervision) -> None:
        """Ask for the end of *run*: the forker, or the kernel if the process is this keeper's own."""
        if run not in self._commands:
            self._supply.ask_end(run.pid)
            return
        status = None
        with suppress(ChildProcessError):
            found, ended = os.waitpid(run.pid, os.WNOHANG)
            status = ended if found else None
        run.on_end(status, self._adopted())

    def _adopted(self) -> list[int]:
        """Return the living children that commands have left, and reap the dead ones."""
        own = {self._supply.base.pid, *self._by_pid}
        living = []
        for pid in children_of(os.getpid()):
            if pid not in own:
                with suppress(ChildProcessError):
                    if os.waitpid(pid, os.WNOHANG)[0] == 0:
                        living.append(pid)
        return living

    def send(self, run: Supervision, frame: dict[str, Any]) -> None:
        """Send *frame* to the daemon at the end of this turn."""
        self._outbox += encode({**frame, "n": run.number})

    def left_by(self, run: Supervision, others: Sequence[int]) -> list[int]:
        """Return those of *others* that *run* has left.

        A process belongs to the run of its session or of its ``LUAD_RUN_ID``. A process without such a sign
        belongs to the first run that asks, because only ended runs have left anything.
        """
        found = []
        for pid in others:
            stat = read_stat(pid)
            if stat is None:
                continue  # one that is dead and not reaped counts: it has a pid, and the session of the run
            key = (pid, stat.start_ticks)
            owner = self._claims.get(key) or self._by_pid.get(stat.session)
            owner = owner or self._by_id.get(run_id_of(pid) or "")
            if owner is None and self._may_be_of_another(run, key):
                continue
            self._claims[key] = owner or run
            if self._claims[key] is run:
                found.append(pid)
        return found

    def _may_be_of_another(self, run: Supervision, key: tuple[int, int]) -> bool:
        """Return True if a process without a sign may be of a command that still runs.

        A command is not a subreaper, so what it starts in the background comes to this keeper at once.
        """
        if run not in self._commands:
            return False
        suspects = self._suspects.setdefault(key, set(self._commands))
        suspects &= self._commands
        return not suspects <= {run}

    def remove(self, run: Supervision) -> None:
        """Forget *run*, which has been reported."""
        del self._runs[run.number], self._by_pid[run.pid]
        self._by_id.pop(run.spec["job"]["run_id"], None)
        self._supply.forget(run.pid)
        self._commands.discard(run)
        if not self._commands:
            self._suspects.clear()
        if self._claims:
            self._claims = {key: each for key, each in self._claims.items() if each is not run}

    # --- the forker ----------------------------------------------------------------------------

    def _watch_forker(self, link: ForkerLink, *, writes: bool = False) -> None:
        self.register(link.fileno(), lambda: self._on_forker(link), writes=writes)

    def _on_forker(self, link: ForkerLink) -> None:
        was_ready, pid = link.is_ready, link.pid
        try:
            fresh = self._supply.receive(link)
        except ForkerGoneError:
            self._push_out()
            raise
        for handler in fresh:
            self.register(handler.watch, lambda handler=handler: self._on_idle_end(link, handler))  # type: ignore[misc]
        if link.pid != pid:
            self._name_forkers()
        if link.send() or not was_ready:
            self._watch_forker(link)

    def _on_idle_end(self, link: ForkerLink, handler: Handler) -> None:
        """Drop a handler that has died while it waited for a run."""
        self.unregister(handler.watch)
        link.waiting.remove(handler)
        link.ask_end(handler.pid)
        link.need(1)
        self._supply.forget(handler.pid)
        handler.close()

    def learn(self, run: Supervision, found: object) -> None:
        """Take the packages that *run* has imported."""
        self._supply.learn(run.spec, found)

    def _close_template(self, link: ForkerLink) -> None:
        for handler in link.waiting:
            self.unregister(handler.watch)
        self.unregister(link.fileno())
        self._supply.close(link)
        self._name_forkers()

    def _on_end(self, pid: int, status: int | None, others: list[int]) -> None:
        run = self._by_pid.get(pid)
        if run is not None:
            run.on_end(status, others)

    # --- the daemon ----------------------------------------------------------------------------

    def _on_channel(self) -> None:
        assert self._channel is not None, "a closed channel is not read"
        try:
            data = self._channel.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._on_orphaned()
            return
        for frame in self._buffer.feed(data):
            self._on_request(frame)

    def _on_request(self, frame: dict[str, Any]) -> None:
        if frame["t"] == "run":
            if not self._start_command(frame["n"], frame["spec"]):
                self._supply.ask(Request(frame["n"], frame["spec"]))
            return
        grace_ms = 0 if frame["kill"] else None
        if (run := self._runs.get(frame["n"])) is not None:
            run.stop("cancelled", grace_ms=grace_ms)
        for request in self._supply.requests():
            if request.number == frame["n"]:
                request.is_stopped, request.grace_ms = True, grace_ms

    def _on_orphaned(self) -> None:
        """End all runs, because the daemon is gone."""
        if self._channel is not None:
            self.unregister(self._channel.fileno())
            self._channel.close()
            self._channel = None
        self._supply.forget_requests()
        for run in list(self._runs.values()):
            run.stop("orphaned", grace_ms=_ORPHAN_GRACE_MS)

    def _push_out(self) -> None:
        """Send as much as the daemon takes now; runs must not wait for the daemon."""
        if self._channel is None:
            self._outbox.clear()
            return
        try:
            while self._outbox:
                del self._outbox[: self._channel.send(self._outbox)]
        except BlockingIOError:
            pass
        except OSError:
            self._outbox.clear()  # the daemon is gone; the next read of the channel shows it
        if self._is_busy != bool(self._outbox):
            self._is_busy = bool(self._outbox)
            self.register(self._channel.fileno(), self._on_channel, writes=self._is_busy)
