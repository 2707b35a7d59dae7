"""What goes on beside the loop: the heartbeat, the status line.

Room rule: a chore that fails costs the chore, never the schedule.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from luad import __version__
from luad.clock import machine_zone, monotonic_us
from luad.config.settings.daemon_settings import working_directory
from luad.core.events import Ticked
from luad.core.installed import JobStatus
from luad.core.model import DAY
from luad.core.names import is_over_for_a_day
from luad.daemon.ownership import settings_files
from luad.daemon.reaper import Orphans, describe_orphans
from luad.errors import Severity
from luad.runner.site_packages import site_marks
from luad.store.state_folder import LOCK
from luad.wire import format_instant

if TYPE_CHECKING:
    from collections.abc import Collection

    from luad.config.settings.daemon_settings import Settings
    from luad.core.model import Instant
    from luad.daemon.app import Daemon

_BEAT_S: Final = 10.0
_LOOKED_AT_ONCE: Final = 1_000  # jobs, in about a millisecond


async def beat(daemon: Daemon) -> None:
    """Make the loop turn now and then, so that the watchdog is fed by it."""
    period_s = min(_BEAT_S, (daemon.notifier.watchdog_interval_s or 2 * _BEAT_S) / 2)
    shown = ""
    orphans = Orphans()
    while True:
        await asyncio.sleep(period_s)
        daemon.post(Ticked())
        daemon.store.note_alive(daemon.clock.now().wall)
        orphans.collect()
        await look_after_files(daemon)
        if daemon.engine.is_draining:
            continue  # then `stopping` says what luad waits for
        await look_after_packages(daemon)
        if daemon.notifier.is_supervised and (line := await status_line(daemon)) != shown:
            daemon.notifier.status(line)
            shown = line


async def look_after_packages(daemon: Daemon) -> None:
    """Start runs from a new interpreter once files have changed that Python reads when it starts."""
    marks = site_marks()  # a third of a millisecond; a thread may not be had
    if marks not in (daemon.site_marks, daemon.site_marks_before):
        daemon.site_marks_before = marks  # pip may still be at work: look again
        return
    if marks != daemon.site_marks:
        daemon.site_marks = marks
        daemon.beside(renew_spawner(daemon), "renewal")  # a beat must not wait for an interpreter


async def renew_spawner(daemon: Daemon) -> None:
    """Start runs from a new interpreter from here on; when none comes up, the present one goes on."""
    daemon.site_marks = daemon.site_marks_before = site_marks()
    if await daemon.runner.renew_spawner():
        daemon.logs.emit("info", "spawner.renewed", {"pid": daemon.runner.spawner_pid})
    else:
        daemon.logs.emit("warning", "spawner.not_renewed", {"pid": daemon.runner.spawner_pid})


async def look_after_files(daemon: Daemon) -> None:
    """Put the socket and the lock file back where they were deleted, and say so."""
    if news := await daemon.api.look_after_socket():
        daemon.log(news)
    lock = str(daemon.store.path.parent / LOCK)
    match daemon.store.keep_lock():
        case True:
            daemon.logs.emit("warning", "store.lock_restored", {"lock": lock})
            daemon.lock_fault = None
        case False:
            daemon.lock_fault = None
        case None if daemon.lock_fault is None:
            daemon.lock_fault = f"{lock} was deleted, and cannot be made and locked again"
            daemon.logs.emit("error", "store.lock_lost", {"lock": lock, "why": daemon.lock_fault})


# --- the daemon in words -----------------------------------------------------------------------


@dataclass(slots=True)
class Survey:
    """What all jobs together are like."""

    count: int = 0
    failing: int = 0
    paused: int = 0
    stale: set[str] = field(default_factory=set)
    stale_count: int = 0
    next_at: Instant | None = None
    next_name: str = ""


async def survey(daemon: Daemon) -> Survey:
    """Look at all jobs, and let the loop breathe meanwhile: there may be very many."""
    found = Survey()
    for key, entry in tuple(daemon.engine.entries.items()):
        found.count += 1
        if found.count % _LOOKED_AT_ONCE == 0:
            await asyncio.sleep(0)
        if not is_over_for_a_day(entry.standing.over_at, daemon.clock.now().wall):
            found.failing += entry.consecutive_failures > 0
        found.paused += entry.status is JobStatus.PAUSED
        if entry.wanted.stale:
            found.stale_count += 1
            found.stale.add(entry.wanted.origin.path if entry.wanted.origin else "")
        following = daemon.engine.next_occurrence_of(key)
        if following is not None and (found.next_at is None or following.fire_at < found.next_at):
            found.next_at, found.next_name = following.fire_at, entry.job.name
    return found


async def status_line(daemon: Daemon) -> str:
    """Return one line for `systemctl status`: jobs, failing, stale, broken files, next."""
    found = await survey(daemon)
    parts = [_count(found.count, "job")]
    parts += [
        f"{number} {word}"
        for number, word in ((found.failing, "failing"), (found.stale_count, "stale"))
        if number
    ]
    if broken := broken_files(daemon, found.stale):
        parts.append(_count(len(broken), "broken file"))
    if found.paused:
        parts.append(f"{found.paused} paused")
    if daemon.store_fault is not None:
        parts.append("store cannot be written")
    if found.next_at is not None:
        parts.append(f"next {found.next_name} {format_instant(found.next_at)}")
    return ", ".join(parts)


def broken_files(daemon: Daemon, known: Collection[str] = ()) -> set[str]:
    """Return the files with an error, without those whose last good version is in force (*known*)."""
    problems = daemon.reading.problems if daemon.reading else ()
    paths = {each.path for each in problems if each.severity is Severity.ERROR}
    return paths.difference(known)


async def greeting(daemon: Daemon) -> str:
    """Return the first line on a terminal: how many jobs, what is next, what to type elsewhere."""
    found = await survey(daemon)
    settings = daemon.settings
    where = "" if settings.sources.get("socket") != "flag" else f" --socket {settings.socket}"
    if not found.count:
        text = f"luad serves no jobs yet: {settings.jobs[0]} has none"
        command = "luad new hello --every 1h"
    else:
        text, command = f"luad serves {_count(found.count, 'job')}", f"luad{where} list"
        text += "; nothing is due"
    if found.next_at is not None:
        moment = datetime.fromtimestamp(found.next_at // 1_000, UTC).astimezone()
        day = (
            ""
            if found.next_at - daemon.clock.now().wall < DAY
            else f"{moment:%a} {moment.day} {moment:%b} "
        )
        when = f"{day}{moment:%H:%M:%S %Z}".rstrip()
        text = f"luad serves {_count(found.count, 'job')}; next: {found.next_name} at {when}"
    if broken := broken_files(daemon):
        text += f"; {_count(len(broken), 'broken file')} (luad check)"
    return f"{text}.  In another terminal: {command}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def introduction(daemon: Daemon) -> dict[str, Any]:
    """Return the fields of the first line: every decision that was taken at the start."""
    settings = daemon.settings
    reading = daemon.reading
    return {
        "version": __version__,
        "pid": os.getpid(),
        "jobs": len(daemon.engine.entries),
        "files": reading.file_count if reading else 0,
        "problems": reading.error_count if reading else 0,
        "jobs_dirs": [str(folder.absolute()) for folder in settings.jobs],
        "handlers_path": str(settings.handlers_path.absolute()),
        "state_dir": str(settings.state_dir.absolute()),
        "socket": str(settings.socket),
        "timezone": settings.timezone,
        "machine_timezone": machine_zone(),
        "took_ms": daemon.clock.now().elapsed - daemon.started_at.elapsed,
    }


def _places(settings: Settings) -> dict[str, Any]:
    """Return the user of the daemon, and the files and folders that it reads beside the job files."""
    files = settings_files(settings)
    return {
        "uid": os.geteuid(),
        "settings_file": str(Path(files[0]).absolute()) if files else None,
        "users_dirs": [str(folder.absolute()) for folder in settings.users],
        "handlers_path": str(settings.handlers_path.absolute()),
        "working_directory": str(working_directory(settings)),
    }


def describe(daemon: Daemon) -> dict[str, Any]:
    """Return what `GET /v1/status` says of the daemon itself."""
    reading = daemon.reading
    runs = daemon.engine.runs
    now = daemon.clock.now()
    return {
        "version": __version__,
        "pid": os.getpid(),
        "python": sys.executable,
        "started_at": format_instant(daemon.started_at.wall),
        "uptime_seconds": (now.elapsed - daemon.started_at.elapsed) // 1_000,
        "socket": str(daemon.settings.socket),
        "listen": daemon.api.tcp_address,
        "state_dir": str(daemon.settings.state_dir.absolute()),
        "jobs_dirs": [str(folder.absolute()) for folder in daemon.settings.jobs],
        **_places(daemon.settings),
        "timezone": daemon.settings.timezone,
        "machine_timezone": machine_zone(),
        "runs": {
            "running": runs.slots.taken_count,
            "queued": len(runs.all()) - runs.slots.taken_count,
        },
        "max_concurrent_runs": runs.slots.capacity,
        "last_reload": {
            "at": format_instant(reading.at),
            "ok": reading.error_count == 0,
            "files": reading.file_count,
            "problems": len(reading.problems),
            "last_success_at": format_instant(daemon.last_good_reload_at)
            if daemon.last_good_reload_at is not None
            else None,
        }
        if reading
        else None,
        "store": {
            "path": str(daemon.store.path),
            "size_bytes": daemon.store.size_bytes(),
            "writable": daemon.store_fault is None,
        },
        "last_tick_at": format_instant(daemon.last_turn_at),
        "event_loop_lag_ms": round(daemon.lag.worst_ms(monotonic_us()), 1),
        "draining": daemon.engine.is_draining,
        "systemd": daemon.notifier.is_supervised,
        "people": len(daemon.directory.all()),
        "deliveries": [
            {"channel": channel, "status": state, "count": count}
            for (channel, state), count in sorted(daemon.deliveries.items())
        ],
        "orphan_processes": describe_orphans(
            daemon.runner.orphans, daemon.runner.own_pids() | {daemon.sender.pid or 0}
        ),
        "dropped_log_lines": daemon.logs.dropped + daemon.pump.dropped,
    }
