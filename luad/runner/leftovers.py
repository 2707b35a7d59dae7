"""Finds, ends and describes the processes that a run has left running.

Rule: reads /proc and sends signals. A process belongs to a run by its session, by the
``LUAD_RUN_ID`` that it was started with, or by descent.
"""

from __future__ import annotations

import os
import select
import signal
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from luad.clock import elapsed_ms
from luad.runner.processes import boot_id, children_of, descendants, read_stat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from luad.core.model import ProcessIdentity

_PASSES: Final = 50  # a process that forks while it is being killed is caught by a later pass
_PAUSE_S: Final = 0.005  # a killed process needs a moment until it is gone
_KEEPER_GONE_MS: Final = 2_000
_MAX_COMMAND: Final = 80
_NAMED: Final = 5
_REMEMBERED: Final = 20
UNKNOWN: Final = -1
"""The start time of a process if /proc could not be read."""
_FORKED: Final = b"luad.runner.spawner"
"""A part of the command line of each process that the handler forked and that runs no other program."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """A process that outlived its run. *name* is the one that ``ps -o comm`` shows.

    *is_identified*: its session or its `LUAD_RUN_ID` shows to which run it belongs.
    """

    pid: int
    start_ticks: int
    name: str
    command: str
    is_identified: bool = True

    @property
    def is_alive(self) -> bool:
        """True while the process runs."""
        stat = read_stat(self.pid)
        return stat is not None and stat.state != "Z" and stat.start_ticks == self.start_ticks


class OrphanLog:
    """The ended processes that neither a session nor a `LUAD_RUN_ID` linked to a run."""

    def __init__(self) -> None:
        self.count = 0
        self.latest: deque[tuple[str, Leftover]] = deque(maxlen=_REMEMBERED)

    def note(self, run_id: str, ended: Sequence[Leftover]) -> None:
        """Record *ended*, which were found when the keeper of *run_id* had died."""
        self.count += len(ended)
        self.latest.extend((run_id, each) for each in ended)


def read_process(pid: int) -> Leftover | None:
    """Return the living process *pid*; None if it does not exist."""
    stat = read_stat(pid)
    if stat is None or stat.state in "ZX":
        return None
    data = b""
    with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        data = file.read(4_096)
    text = " ".join(data.rstrip(b"\0").decode("utf-8", "replace").split("\0")).strip()
    if _FORKED in data:
        text = "a fork of the handler"
    elif len(text) > _MAX_COMMAND:
        text = f"{text[:_MAX_COMMAND]}…"
    return Leftover(pid, stat.start_ticks, stat.name, text or stat.name)


def leftovers_message(left: Sequence[Leftover], *, count: int | None = None) -> str:
    """Return the message for the run's log. *count* is the total, if *left* has only the first ones."""
    total = len(left) if count is None else count
    named = [f"`{each.command}` (pid {each.pid})" for each in left[:_NAMED]]
    more = f" and {total - len(named):,} more" if total > len(named) else ""
    processes = "1 process" if total == 1 else f"{total:,} processes"
    return (
        f"luad ended {processes} that the handler left running: {', '.join(named)}{more}; "
        "a run ends with its handler, so let the handler wait for what it starts"
    )


# --- ending them -------------------------------------------------------------------------------


def end_run(
    run_id: str, handler: ProcessIdentity | None, keeper: ProcessIdentity | None = None
) -> list[Leftover]:
    """End the processes of the run *run_id* after its keeper has died; return those that ran.

    *handler* leads a session. A process that left the session is found by the ``LUAD_RUN_ID`` that it
    inherited, or by the mark of its shared process. A pidfd holds each process while it is checked, so no other process can be hit.
    """
    for identity in (handler, keeper):
        if identity is not None and identity.boot_id != boot_id():
            return []
    if keeper is not None:
        _wait_for_end(keeper)
    session, since = _session_of(handler)
    marks = {f"LUAD_RUN_ID={run_id}".encode()}
    if handler is not None:
        marks.add(shared_mark(handler.pid, handler.start_ticks).encode())

    def belongs(pid: int) -> bool:
        stat = read_stat(pid)
        if stat is None or stat.state in "ZX" or stat.start_ticks < since:
            return False
        return session in (stat.session, pid) or _has_variable(pid, marks)

    def find() -> Iterable[int]:
        names = os.listdir("/proc")
        return [int(name) for name in names if name.isdigit() and belongs(int(name))]

    return _end(find, belongs, is_identified=belongs)


def end_unknown_children(known: Mapping[int, int]) -> list[Leftover]:
    """End and return the children of this process that are not in *known* (pid and start time).

    They are processes of dead keepers, because this process is a subreaper.
    """

    def belongs(pid: int) -> bool:
        stat = read_stat(pid)
        if stat is None or stat.state in "ZX" or stat.parent != os.getpid():
            return False
        return pid not in known or known[pid] not in (stat.start_ticks, UNKNOWN)

    def find() -> Iterable[int]:
        return [pid for pid in children_of(os.getpid()) if belongs(pid)]

    return _end(find, belongs, is_identified=lambda _: False)


def shared_mark(pid: int, start_ticks: int) -> str:
    """Return the variable that the processes started by a shared process inherit."""
    return f"LUAD_SHARED_PROCESS={pid}.{start_ticks}"


def _has_variable(pid: int, variables: set[bytes]) -> bool:
    with suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
        return not variables.isdisjoint(file.read().split(b"\0"))
    return False


def _session_of(handler: ProcessIdentity | None) -> tuple[int, int]:
    """Return the session's number, and the earliest start time of its members."""
    if handler is None:
        return -1, 0
    leader = read_stat(handler.pid)
    if leader is not None and leader.start_ticks != handler.start_ticks:
        return -1, handler.start_ticks  # the pid belongs to another process by now
    return handler.pid, handler.start_ticks


def _end(
    find: Callable[[], Iterable[int]],
    belongs: Callable[[int], bool],
    *,
    is_identified: Callable[[int], bool],
) -> list[Leftover]:
    """End the processes that *find* returns, and their descendants, until it returns none.

    They are stopped first, repeatedly until no new one appears, because a process may fork faster than
    /proc can be read.
    """
    ended: dict[tuple[int, int], Leftover] = {}

    def stop(pid: int, is_meant: Callable[[int], bool]) -> bool:
        found = _stop(pid, is_meant)
        if found is not None and (pid, found.start_ticks) not in ended:
            ended[pid, found.start_ticks] = replace(found, is_identified=is_identified(pid))
        return found is not None

    for _pass in range(_PASSES):
        seen: set[int] = set()
        stopped: set[int] = set()
        while fresh := [pid for pid in find() if pid not in seen]:
            seen.update(fresh)
            for root in fresh:
                if stop(root, belongs):
                    stopped.add(root)
                    stopped |= _stop_below(root, stop)
        if not stopped:
            break
        for pid in stopped:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        select.select([], [], [], _PAUSE_S)
    return list(ended.values())


def _stop_below(root: int, stop: Callable[[int, Callable[[int], bool]], bool]) -> set[int]:
    seen: set[int] = set()
    stopped: set[int] = set()
    while fresh := [pid for pid in descendants(root) if pid not in seen]:
        seen.update(fresh)
        stopped.update(pid for pid in fresh if stop(pid, _is_any))
    return stopped


def _is_any(_pid: int) -> bool:
    return True


def _stop(pid: int, is_meant: Callable[[int], bool]) -> Leftover | None:
    """Stop the process *pid* and return it; None if it is gone, or *is_meant* is False."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return None
    try:
        found = read_process(pid)
        if found is None or not is_meant(pid):
            return None
        signal.pidfd_send_signal(descriptor, signal.SIGSTOP)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return found


def _wait_for_end(keeper: ProcessIdentity) -> None:
    """Wait until *keeper* is gone, because the kernel then gives its children another parent."""
    try:
        descriptor = os.pidfd_open(keeper.pid)
    except OSError:
        return
    try:
        stat = read_stat(keeper.pid)
        if stat is not None and stat.start_ticks == keeper.start_ticks:
            until = elapsed_ms() + _KEEPER_GONE_MS
            select.select([descriptor], [], [], max(0, until - elapsed_ms()) / 1_000)
    finally:
        os.close(descriptor)
