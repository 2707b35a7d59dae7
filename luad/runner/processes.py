"""Processes as the kernel knows them: who is it, who descends from it, end all of them.

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
    from collections.abc import Iterator

    from luad.core.model import ProcessIdentity

_KILL_PASSES = 20  # whoever forks while it is being killed is caught by a later pass


@dataclass(frozen=True, slots=True)
class Stat:
    """What /proc/PID/stat says of a process."""

    pid: int
    name: str
    state: str
    parent: int
    session: int
    start_ticks: int


def read_stat(pid: int) -> Stat | None:
    """The process *pid* as it is now; None when there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - twice for every run
            data = file.read()
    except OSError:
        return None
    # The name stands in parentheses and may itself contain any of ") (".
    end = data.rindex(b")")
    name = data[data.index(b"(") + 1 : end].decode("utf-8", "replace")
    fields = data[end + 2 :].split()
    return Stat(pid, name, fields[0].decode(), int(fields[1]), int(fields[3]), int(fields[19]))


@cache
def boot_id() -> str:
    """Names the time since the last boot.

    Where /proc shows nothing but processes (systemd's ``ProcSubset=pid``), the unit says it in
    LUAD_BOOT_ID. Where nobody does, the name fits no other: no process is then taken for ours.
    """
    try:
        named = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        named = os.environ.get("LUAD_BOOT_ID", "")
    return named.strip().replace("-", "") or os.urandom(16).hex()


def kill_survivor(identity: ProcessIdentity) -> bool:
    """Kill the process *identity* names and everything in its session. Was there any.

    Meant for a handler whose keeper is gone: it leads a session of its own. No other process can
    be hit: a session's number is not given out again while anyone is in it, and every process is
    held by a pidfd while it is looked at.
    """
    if identity.boot_id != boot_id():
        return False
    leader = read_stat(identity.pid)
    if leader is not None and leader.start_ticks != identity.start_ticks:
        return False
    # Not in its session: it was caught before it could make one.
    has_session = leader is None or leader.session == identity.pid
    was_any = False
    for _pass in range(_KILL_PASSES):
        victims = session_members(identity.pid) if has_session else [identity.pid]
        # The leader goes last: as long as it is there, the session's number is certainly its own.
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


def session_members(session: int) -> list[int]:
    """The pids of all living processes in *session*."""
    members = []
    for name in os.listdir("/proc"):  # noqa: PTH208 - hundreds of entries
        if not name.isdigit():
            continue
        stat = read_stat(int(name))
        if stat is not None and stat.session == session and stat.state != "Z":
            members.append(stat.pid)
    return members


def descendants(pid: int) -> Iterator[int]:
    """All processes below *pid*, parents before their children. Racy by nature: ask again."""
    for child in children_of(pid):
        yield child
        yield from descendants(child)


def children_of(pid: int) -> list[int]:
    """The pids of the children of *pid*, those that have ended included."""
    found: list[int] = []
    with suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - at the end of every run
            with open(f"/proc/{pid}/task/{task}/children", "rb") as file:  # noqa: PTH123 - the same
                found += map(int, file.read().split())
    return found


def holders_of(path: Path) -> list[int]:
    """The pids of everyone who has the file *path* open, as far as we may look."""
    found = []
    name = str(path.resolve())
    for pid in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 - hundreds of entries
        with suppress(OSError):
            folder = f"/proc/{pid}/fd"
            if any(os.readlink(f"{folder}/{each}") == name for each in os.listdir(folder)):  # noqa: PTH115, PTH208 - the same
                found.append(int(pid))
    return found


def wake_strangers(path: Path) -> None:
    """Have everyone go on who has *path* open and is none of ours."""
    ours = {os.getpid(), *descendants(os.getpid())}
    for pid in holders_of(path):
        if pid not in ours:
            with suppress(OSError):
                os.kill(pid, signal.SIGCONT)


def zombies_below(pid: int) -> set[tuple[int, int]]:
    """Pid and start time of every child of *pid* that has ended and was not waited for."""
    found = (read_stat(child) for child in children_of(pid))
    return {(stat.pid, stat.start_ticks) for stat in found if stat and stat.state == "Z"}


def kill_descendants(pid: int) -> int:
    """Send KILL to everything below *pid*; how many there were.

    They are stopped first, again and again until no new one turns up: a process that forks
    faster than we can read /proc cannot outrun that.
    """
    seen: set[int] = set()
    while fresh := [child for child in descendants(pid) if child not in seen]:
        for child in fresh:
            seen.add(child)
            with suppress(OSError):
                os.kill(child, signal.SIGSTOP)
    for child in seen:
        with suppress(OSError):
            os.kill(child, signal.SIGKILL)
    return len(seen)
