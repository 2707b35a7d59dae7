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
_RUN_ID: Final = b"LUAD_RUN_ID="
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
    """End the processes of the run *run_id* after its keeper has died; return those that ran."""
    return end_runs({run_id: handler}, (keeper,))[run_id]


def end_runs(
    runs: Mapping[str, ProcessIdentity | None], gone: Iterable[ProcessIdentity | None] = ()
) -> dict[str, list[Leftover]]:
    """End the processes of *runs* after the processes *gone* have died; return those that ran, by run.

    Each handler leads a session. A process that left the session is found by the ``LUAD_RUN_ID`` that it
    inherited, or by the mark of its shared process. A pidfd holds each process while it is checked, so no
    other process can be hit.
    """
    for identity in gone:
        if identity is not None and identity.boot_id == boot_id():
            _wait_for_end(identity)
    known = {run: each for run, each in runs.items() if each is None or each.boot_id == boot_id()}
    owners = _Owners(known)
    found: dict[str, list[Leftover]] = {run: [] for run in runs}
    if known:
        for run, each in _end(owners.find, owners.owner_of, is_identified=owners.is_owned):
            found[run].append(each)
    return found


class _Owners:
    """Finds the processes of *runs* and tells to which run each of them belongs."""

    def __init__(self, runs: Mapping[str, ProcessIdentity | None]) -> None:
        self._since = {run: each.start_ticks if each else 0 for run, each in runs.items()}
        self._sessions = {each.pid: run for run, each in runs.items() if each and _is_or_was(each)}
        self._variables = {f"LUAD_RUN_ID={run}".encode(): run for run in runs}
        for run, each in runs.items():
            if each is not None:
                self._variables[shared_mark(each.pid, each.start_ticks).encode()] = run

    def find(self) -> list[int]:
        """Return the pids of all processes of the runs."""
        names = os.listdir("/proc")
        return [int(name) for name in names if name.isdigit() and self.is_owned(int(name))]

    def is_owned(self, pid: int) -> bool:
        """Return True if *pid* belongs to one of the runs."""
        return self.owner_of(pid) is not None

    def owner_of(self, pid: int) -> str | None:
        """Return the run of the process *pid*; None if it is not a process of these runs."""
        stat = read_stat(pid)
        if stat is None or stat.state in "ZX":
            return None
        run = self._sessions.get(stat.session) or self._sessions.get(pid) or self._named(pid)
        return run if run is not None and stat.start_ticks >= self._since[run] else None

    def _named(self, pid: int) -> str | None:
        named = (self._variables.get(each) for each in variables_of(pid))
        return next((run for run in named if run is not None), None)


def _is_or_was(handler: ProcessIdentity) -> bool:
    """Return False if the pid of *handler* belongs to another process by now."""
    leader = read_stat(handler.pid)
    return leader is None or leader.start_ticks == handler.start_ticks


def end_unknown_children(known: Mapping[int, int]) -> list[Leftover]:
    """End and return the children of this process that are not in *known* (pid and start time).

    They are processes of dead keepers, because this process is a subreaper.
    """

    def owner(pid: int) -> str | None:
        stat = read_stat(pid)
        if stat is None or stat.state in "ZX" or stat.parent != os.getpid():
            return None
        is_known = pid in known and known[pid] in (stat.start_ticks, UNKNOWN)
        return None if is_known else ""

    def find() -> Iterable[int]:
        return [pid for pid in children_of(os.getpid()) if owner(pid) is not None]

    return [each for _run, each in _end(find, owner, is_identified=lambda _: False)]


def shared_mark(pid: int, start_ticks: int) -> str:
    """Return the variable that the processes started by a shared process inherit."""
    return f"LUAD_SHARED_PROCESS={pid}.{start_ticks}"


def run_id_of(pid: int) -> str | None:
    """Return the ``LUAD_RUN_ID`` that the process *pid* was started with; None without one."""
    found = (each for each in variables_of(pid) if each.startswith(_RUN_ID))
    named = (each.removeprefix(_RUN_ID).decode("utf-8", "replace") for each in found)
    return next(named, None)


def variables_of(pid: int) -> list[bytes]:
    """Return the environment that the process *pid* was started with; empty if it cannot be read."""
    with suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
        return file.read().split(b"\0")
    return []


def _end(
    find: Callable[[], Iterable[int]],
    owner: Callable[[int], str | None],
    *,
    is_identified: Callable[[int], bool],
) -> list[tuple[str, Leftover]]:
    """End the processes that *find* returns, and their descendants, until it returns none.

    Return them with their owners; a descendant has the owner of the process that was found. They are
    stopped first, repeatedly until no new one appears, because a process may fork faster than /proc can be
    read.
    """
    ended: dict[tuple[int, int], tuple[str, Leftover]] = {}

    def stop(pid: int, run: str, is_meant: Callable[[int], bool]) -> bool:
        found = _stop(pid, is_meant)
        if found is not None and (pid, found.start_ticks) not in ended:
            whole = replace(found, is_identified=is_identified(pid))
            ended[pid, found.start_ticks] = run, whole
        return found is not None

    for _pass in range(_PASSES):
        seen: set[int] = set()
        stopped: set[int] = set()
        while fresh := [pid for pid in find() if pid not in seen]:
            seen.update(fresh)
            for root in fresh:
                run = owner(root)
                if run is not None and stop(root, run, lambda pid, run=run: owner(pid) == run):  # type: ignore[misc]
                    stopped.add(root)
                    stopped |= _stop_below(root, lambda pid, run=run: stop(pid, run, _is_any))  # type: ignore[misc]
        if not stopped:
            break
        for pid in stopped:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        select.select([], [], [], _PAUSE_S)
    return list(ended.values())


def _stop_below(root: int, stop: Callable[[int], bool]) -> set[int]:
    seen: set[int] = set()
    stopped: set[int] = set()
    while fresh := [pid for pid in descendants(root) if pid not in seen]:
        seen.update(fresh)
        stopped.update(pid for pid in fresh if stop(pid))
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
