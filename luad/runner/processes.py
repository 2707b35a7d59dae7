"""Reads processes from /proc: identity, descendants, open files; and ends them.

Rule: reads /proc and sends signals; knows nothing of runs.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from luad.core.model import ProcessIdentity

_KILL_PASSES = 20  # a later pass kills a process that forked during an earlier one


@dataclass(frozen=True, slots=True)
class Stat:
    """The fields of /proc/PID/stat that luad uses."""

    pid: int
    name: str
    state: str
    parent: int
    session: int
    start_ticks: int


def read_stat(pid: int) -> Stat | None:
    """Return the current state of the process *pid*; None if it does not exist."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            data = file.read()
    except OSError:
        return None
    # The name is in parentheses, and may itself contain parentheses and spaces.
    end = data.rindex(b")")
    name = data[data.index(b"(") + 1 : end].decode("utf-8", "replace")
    fields = data[end + 2 :].split()
    return Stat(pid, name, fields[0].decode(), int(fields[1]), int(fields[3]), int(fields[19]))


@cache
def boot_id() -> str:
    """Return an id of the current boot of the machine.

    If /proc shows only processes (systemd's ``ProcSubset=pid``), the unit passes the id in LUAD_BOOT_ID.
    Without either, the id is random, so that luad takes no process of an earlier daemon for its own.
    """
    try:
        named = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        named = os.environ.get("LUAD_BOOT_ID", "")
    return named.strip().replace("-", "") or os.urandom(16).hex()


def kill_survivor(identity: ProcessIdentity) -> bool:
    """Kill the process *identity* and its session; return True if any process was killed.

    It is for a handler whose keeper is gone, and which leads a session of its own. It cannot hit another
    process: the kernel does not reuse a session's number while the session has members, and a pidfd holds
    each process while it is checked.
    """
    if identity.boot_id != boot_id():
        return False
    leader = read_stat(identity.pid)
    if leader is not None and leader.start_ticks != identity.start_ticks:
        return False
    # A process outside that session was killed before it could create one.
    has_session = leader is None or leader.session == identity.pid
    was_any = False
    for _pass in range(_KILL_PASSES):
        victims = session_members(identity.pid) if has_session else [identity.pid]
        # The leader is last, because the kernel cannot reuse the session's number while it lives.
        victims.sort(key=lambda pid: pid == identity.pid)
        killed = [_kill_if(pid, identity) for pid in victims]
        if not any(killed):
            break
        was_any = True
    return was_any


def _kill_if(pid: int, identity: ProcessIdentity) -> bool:
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        stat = read_stat(pid)
        if stat is None or stat.state == "Z" or stat.start_ticks < identity.start_ticks:
            return False
        if identity.pid not in (stat.session, pid):
            return False
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def continue_if_stopped(process: ProcessIdentity | None) -> None:
    """Send SIGCONT to *process* if a handler has stopped it."""
    stat = read_stat(process.pid) if process is not None else None
    if stat is None or process is None or stat.start_ticks != process.start_ticks:
        return
    if stat.state == "T":
        with suppress(OSError):
            os.kill(stat.pid, signal.SIGCONT)


def session_members(session: int) -> list[int]:
    """Return the pids of all living processes in *session*."""
    members = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        stat = read_stat(int(name))
        if stat is not None and stat.session == session and stat.state != "Z":
            members.append(stat.pid)
    return members


def descendants(pid: int) -> Iterator[int]:
    """Yield all processes below *pid*, parents first. New ones may appear during the call."""
    for child in children_of(pid):
        yield child
        yield from descendants(child)


def children_of(pid: int) -> list[int]:
    """Return the pids of the children of *pid*, including zombies."""
    found: list[int] = []
    with suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                found += map(int, file.read().split())
    return found


def holders_of(path: Path) -> list[int]:
    """Return the pids of the visible processes that have the file *path* open."""
    found = []
    name = str(path.resolve())
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            folder = f"/proc/{pid}/fd"
            if any(os.readlink(f"{folder}/{each}") == name for each in os.listdir(folder)):
                found.append(int(pid))
    return found


def continue_other_holders(path: Path) -> None:
    """Send SIGCONT to every process outside this daemon that has *path* open."""
    ours = {os.getpid(), *descendants(os.getpid())}
    for pid in holders_of(path):
        if pid not in ours:
            with suppress(OSError):
                os.kill(pid, signal.SIGCONT)


def zombies_below(pid: int) -> set[tuple[int, int]]:
    """Return pid and start time of the zombies among the children of *pid*."""
    found = (read_stat(child) for child in children_of(pid))
    return {(stat.pid, stat.start_ticks) for stat in found if stat and stat.state == "Z"}


def kill_descendants(pid: int) -> int:
    """Send KILL to all descendants of *pid*, and return their number."""
    return kill_trees(children_of(pid), lambda: children_of(pid))


def kill_trees(roots: Iterable[int], more: Callable[[], Iterable[int]] | None = None) -> int:
    """Send KILL to *roots* and their descendants, and return their number.

    They are stopped first, repeatedly until no new one appears, because a process may fork faster than
    /proc can be read. *more* returns the roots again.
    """
    seen: set[int] = set()
    while True:
        fresh = [pid for pid in _with_descendants(roots) if pid not in seen]
        if not fresh:
            break
        for pid in fresh:
            seen.add(pid)
            with suppress(OSError):
                os.kill(pid, signal.SIGSTOP)
        roots = roots if more is None else more()
    for pid in seen:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    return len(seen)


def _with_descendants(roots: Iterable[int]) -> Iterator[int]:
    for root in roots:
        yield root
        yield from descendants(root)
