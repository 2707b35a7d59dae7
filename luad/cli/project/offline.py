"""`luad list` and `luad next` from the job files, without a daemon.

Rule: it shows what the files declare; only the daemon knows the runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luad.api.json.views import job_view
from luad.cli.project.folders import load, settings, snapshot
from luad.cli.terminal.labels import plural
from luad.core.installed import JobStatus
from luad.core.model import Instant, Interval, Job, Once, Wanted
from luad.core.schedule import fire_at, next_occurrence
from luad.errors import NotFoundError, Severity, UnavailableError
from luad.live.job_state import JobStateView
from luad.suggestions import close_to
from luad.wire import format_instant

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from luad.cli.session import Session
    from luad.config.jobs.catalogue import Loaded
    from luad.config.settings.daemon_settings import Settings
    from luad.json_text import JsonObject


def jobs_from_files(
    session: Session, *, without_daemon: UnavailableError | None = None
) -> dict[str, object]:
    """Return the answer of `GET /v1/jobs` as far as the files allow; notes it on stderr.

    *without_daemon* is the reason why no daemon answered. It is raised if there are no job files either.
    """
    _, loaded = _load(session, without_daemon)
    jobs = [_view(each, session.now) for each in _in_order(loaded)]
    broken = {each.path for each in loaded.problems if each.severity is Severity.ERROR}
    answer = {"jobs": jobs, "hidden_dynamic": 0, "next_cursor": None, "offline": True}
    return answer | {"broken_files": sorted(broken)}


def next_from_files(
    session: Session,
    names: Sequence[str],
    *,
    start: Instant,
    end: Instant | None,
    count: int,
    is_all: bool,
    per_job: bool = False,
    without_daemon: UnavailableError | None = None,
) -> list[dict[str, object]]:
    """Return the rows of `GET /v1/schedule` as far as the files allow; notes it on stderr."""
    _, loaded = _load(session, without_daemon)
    jobs = [each.job for each in _in_order(loaded)]
    chosen = [_named(name, jobs) for name in names] or jobs
    rows = [
        (at, job)
        for job in chosen
        if job.enabled or is_all or names
        for at in fire_times(job, start, end, 1 if per_job else count)
    ]
    rows.sort(key=lambda row: (row[0], row[1].name))
    floating = [job.name for job in chosen if is_floating(job) and (job.enabled or is_all or names)]
    if floating and not session.json:
        session.out.warn(
            f"not among them: {', '.join(floating)}; the first run is counted from when the daemon "
            "sees the file (`start_at` fixes it)",
            "yellow",
        )
    return [_row(at, job) for at, job in rows[:count]]


def _load(session: Session, without_daemon: UnavailableError | None) -> tuple[Settings, Loaded]:
    chosen = settings(session)
    is_empty = not any(folder.is_dir() for folder in chosen.jobs)
    if without_daemon is not None and is_empty:
        hint = f"{without_daemon.hint}   \u00b7   luad init makes a project here"
        raise UnavailableError(without_daemon.message, hint=hint)
    seen = snapshot(chosen)
    loaded = load(chosen, seen.files, seen.problems)
    folders = " ".join(str(folder) for folder in chosen.jobs)
    if not session.json:
        why = "" if without_daemon is None else f"{without_daemon.message}; "
        session.out.warn(f"{why}this is what {folders} says", "yellow")
        errors = [each for each in loaded.problems if each.severity is Severity.ERROR]
        if errors:
            files = len({problem.path for problem in errors})
            text = (
                f"warning: {plural(len(errors), 'error')} in {plural(files, 'file')}  (luad check)"
            )
            session.out.warn(text, "yellow")
    return chosen, loaded


def _in_order(loaded: Loaded) -> Iterator[Wanted]:
    return (loaded.wanted[name] for name in sorted(loaded.wanted))


def _view(wanted: Wanted, now: Instant) -> JsonObject:
    job = wanted.job
    is_over = isinstance(job.schedule, Once) and job.schedule.execute_at <= now
    following = next(fire_times(job, now, None, 1), None) if job.enabled else None
    state = JobStateView(
        job,
        job_id="",
        installed_at=now,
        grid_at=now,
        origin=wanted.origin,
        stale=wanted.stale,
        status=JobStatus.COMPLETED if is_over else JobStatus.ACTIVE,
        next_fire_at=following,
    )
    return {**job_view(state), "id": None}


def is_floating(job: Job) -> bool:
    """Return True for an interval without `start_at`: it counts from its installation."""
    return isinstance(job.schedule, Interval) and job.schedule.start_at is None


def fire_times(job: Job, start: Instant, end: Instant | None, count: int) -> Iterator[Instant]:
    """Yield up to *count* fire times after *start*; none for a job that `is_floating`."""
    schedule = job.schedule
    if is_floating(job):
        return
    grid_at = schedule.start_at or 0 if isinstance(schedule, Interval) else 0
    at = next_occurrence(schedule, grid_at, start)
    while at is not None and count > 0 and (end is None or at <= end):
        yield fire_at(job, grid_at, at)
        count -= 1
        at = next_occurrence(schedule, grid_at, at)


def _row(at: Instant, job: Job) -> dict[str, object]:
    zone = "UTC" if isinstance(job.schedule, Interval) else job.schedule.timezone
    note = "once" if isinstance(job.schedule, Once) else ""
    return {"at": format_instant(at), "job": job.name, "timezone": zone, "note": note}


def _named(name: str, jobs: Sequence[Job]) -> Job:
    found = [job for job in jobs if job.name == name] or [
        job for job in jobs if job.name.startswith(name)
    ]
    if len(found) == 1:
        return found[0]
    names = [job.name for job in found or jobs]
    near = tuple(names[:5]) if found else close_to(name, names)
    message = (
        f"`{name}` is the beginning of {len(found)} jobs" if found else f"no job named `{name}`"
    )
    raise NotFoundError(message, suggestions=near)
