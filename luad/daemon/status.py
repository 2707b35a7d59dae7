"""The daemon in words: its status, its health, and its first lines.

Rule: this module reads the parts of the daemon, and changes none of them.
"""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from luad import __version__
from luad.api.service import Health
from luad.clock import machine_zone, monotonic_us
from luad.config.settings.daemon_settings import working_directory
from luad.core.model import DAY
from luad.daemon.ownership import settings_files
from luad.daemon.reaper import describe_orphans
from luad.errors import Severity
from luad.store.query_types import Software
from luad.wire import format_instant

if TYPE_CHECKING:
    from collections.abc import Collection

    from luad.config.settings.daemon_settings import Settings
    from luad.core.model import Instant
    from luad.daemon.condition import Condition, Parts
    from luad.live.job_choice import JobCounts


@dataclass(frozen=True, slots=True)
class Survey:
    """The numbers of jobs, and the next occurrence of any."""

    counts: JobCounts
    next_at: Instant | None = None
    next_name: str = ""


def survey(parts: Parts) -> Survey:
    """Return the numbers, and the job that fires next."""
    now = parts.clock.now().wall
    counts = parts.installed.counts(now)
    for key in parts.installed.nearest(0, 1):
        if (state := parts.installed.job(key)) is not None:
            return Survey(counts, state.next_fire_at, state.job.name)
    return Survey(counts)


def status_line(parts: Parts) -> str:
    """Return one line for `systemctl status`: jobs, failing, stale, broken files, next."""
    found = survey(parts)
    counts = found.counts
    words = [_count(counts.total, "job")]
    words += [comparing] if (comparing := comparing_words(parts)) else []
    words += [
        f"{number} {word}"
        for number, word in ((counts.failing, "failing"), (counts.stale, "stale"))
        if number
    ]
    if broken := broken_files(parts, parts.installed.stale_files()):
        words.append(_count(len(broken), "broken file"))
    if counts.paused:
        words.append(f"{counts.paused} paused")
    if parts.condition.store_fault is not None:
        words.append("store cannot be written")
    if found.next_at is not None:
        words.append(f"next {found.next_name} {format_instant(found.next_at)}")
    return ", ".join(words)


def comparing_words(parts: Parts) -> str:
    """Return how far the comparison of files is; an empty text when none is under way."""
    if parts.condition.comparing is None:
        return ""
    done, count = parts.condition.comparing
    return f"comparing {done} of {count} files"


def jobs_line(parts: Parts) -> str:
    """Return the status line when systemd supervises the daemon; else an empty text."""
    return status_line(parts) if parts.notifier.is_supervised else ""


def broken_files(parts: Parts, known: Collection[str] = ()) -> set[str]:
    """Return the files with an error, except *known* ones, whose last good version is in force."""
    problems = parts.condition.reading.problems if parts.condition.reading else ()
    paths = {each.path for each in problems if each.severity is Severity.ERROR}
    return paths.difference(known)


def greeting(parts: Parts) -> str:
    """Return the first line on a terminal: the number of jobs, the next run, a command to try."""
    if not parts.settings.jobs:  # a worker has none
        queues = ", ".join(parts.settings.work_queues)
        command = f"luad --socket {parts.settings.socket} status"
        return f"luad starts the runs of {queues}.  In another terminal: {command}"
    found = survey(parts)
    count = found.counts.total
    settings = parts.settings
    where = "" if settings.sources.get("socket") != "flag" else f" --socket {settings.socket}"
    if not count:
        text = f"luad serves no jobs yet: {settings.jobs[0]} has none"
        command = "luad new hello --every 1h"
    else:
        text, command = f"luad serves {_count(count, 'job')}", f"luad{where} list"
        text += "; nothing is due"
    if found.next_at is not None:
        moment = datetime.fromtimestamp(found.next_at // 1_000, UTC).astimezone()
        day = (
            ""
            if found.next_at - parts.clock.now().wall < DAY
            else f"{moment:%a} {moment.day} {moment:%b} "
        )
        when = f"{day}{moment:%H:%M:%S %Z}".rstrip()
        text = f"luad serves {_count(count, 'job')}; next: {found.next_name} at {when}"
    if broken := broken_files(parts):
        text += f"; {_count(len(broken), 'broken file')} (luad check)"
    return f"{text}.  In another terminal: {command}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def introduction(parts: Parts) -> dict[str, object]:
    """Return the fields of `daemon.ready`: the settings and counts at the start."""
    settings = parts.settings
    reading = parts.condition.reading
    return {
        "version": __version__,
        "pid": os.getpid(),
        "jobs": len(parts.engine.entries),
        "files": reading.file_count if reading else 0,
        "problems": reading.error_count if reading else 0,
        "jobs_dirs": [str(folder.absolute()) for folder in settings.jobs],
        "handlers_path": str(settings.handlers_path.absolute()),
        "state_dir": str(settings.state_dir.absolute()),
        "socket": str(settings.socket),
        "timezone": settings.timezone,
        "machine_timezone": machine_zone(),
        "took_ms": parts.clock.now().elapsed - parts.condition.started_at.elapsed,
    }


def software() -> Software:
    """Return the versions of luad and of the Python that runs it."""
    return Software(__version__, platform.python_version())


def _places(settings: Settings) -> dict[str, object]:
    """Return the daemon's user id, and the files and folders that it reads besides the job files."""
    files = settings_files(settings)
    return {
        "uid": os.geteuid(),
        "settings_file": str(Path(files[0]).absolute()) if files else None,
        "users_dirs": [str(folder.absolute()) for folder in settings.users],
        "handlers_path": str(settings.handlers_path.absolute()),
        "working_directory": str(working_directory(settings)),
    }


def _last_reload(condition: Condition) -> dict[str, object] | None:
    """Return the facts of the last reading of the files."""
    reading, succeeded_at = condition.reading, condition.last_good_reload_at
    if reading is None:
        return None
    return {
        "at": format_instant(reading.at),
        "ok": reading.error_count == 0,
        "files": reading.file_count,
        "problems": len(reading.problems),
        "last_success_at": None if succeeded_at is None else format_instant(succeeded_at),
        "changes": _changes(condition),
    }


def _changes(condition: Condition) -> dict[str, object] | None:
    """Return the last changes that files made; some names of each kind."""
    if condition.last_plan is None:
        return None
    at, plan = condition.last_plan
    return {
        "at": format_instant(at),
        "added": [each.job.name for each in plan.add],
        "replaced": [{"name": each.name, "changes": list(each.changes)} for each in plan.replace],
        "removed": list(plan.remove),
    }


def describe(parts: Parts) -> dict[str, object]:
    """Return the part of `GET /v1/status` about the daemon itself."""
    runs = parts.engine.runs
    now = parts.clock.now()
    return {
        "version": __version__,
        "pid": os.getpid(),
        "python": sys.executable,
        "started_at": format_instant(parts.condition.started_at.wall),
        "uptime_seconds": (now.elapsed - parts.condition.started_at.elapsed) // 1_000,
        "socket": str(parts.settings.socket),
        "listen": parts.api.tcp_address,
        "state_dir": str(parts.settings.state_dir.absolute()),
        "jobs_dirs": [str(folder.absolute()) for folder in parts.settings.jobs],
        **_places(parts.settings),
        "timezone": parts.settings.timezone,
        "machine_timezone": machine_zone(),
        "runs": {
            "running": runs.slots.taken_count,
            "queued": runs.count - runs.slots.taken_count,
        },
        "max_concurrent_runs": runs.slots.capacity,
        "last_reload": _last_reload(parts.condition),
        "store": {
            "path": parts.store.where,
            "size_bytes": parts.store.size_bytes(),
            "writable": parts.condition.store_fault is None,
        },
        "last_tick_at": format_instant(parts.condition.last_turn_at),
        "event_loop_lag_ms": round(parts.lag.worst_ms(monotonic_us()), 1),
        "event_loop_lag": parts.lag.histogram(),
        "draining": parts.engine.is_draining,
        "systemd": parts.notifier.is_supervised,
        "people": len(parts.directory.ids()),
        "deliveries": [
            {"channel": channel, "status": state, "count": count}
            for (channel, state), count in sorted(parts.condition.deliveries.items())
        ],
        "shared": parts.runner.shared.view(),
        "orphan_processes": describe_orphans(
            parts.runner.orphans, parts.runner.own_pids() | {parts.sender.pid or 0}
        ),
        "dropped_log_lines": parts.logs.dropped + parts.pump.dropped,
    }


def health(parts: Parts) -> Health:
    """Return whether the daemon is ready, and the faults that keep it from its work."""
    faults = tuple(_faults(parts))
    return Health(parts.condition.is_ready, faults, comparing_words(parts))


def _faults(parts: Parts) -> list[str]:
    found = []
    condition = parts.condition
    if condition.store_fault is not None:
        found.append(f"the store cannot be written: {condition.store_fault}")
    if fault := parts.runner.fault:
        found.append(fault)
    if not parts.store.check_identity():
        found.append(f"{parts.store.where} was deleted or replaced under the running daemon")
    others = (condition.lock_fault, parts.api.fault, parts.retention.fault)
    found += (fault for fault in others if fault)
    found += (f"{name} has ended; restart luad" for name in sorted(parts.tasks.ended))
    return found
