"""The choices of a world's dice: places, times, jobs, faults."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random  # noqa: TID251 - worlds are made of dice; the seed is the test
from typing import Final

from luad.core.model import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    CatchUp,
    Cron,
    Instant,
    Interval,
    Job,
    Once,
    OnLost,
    Overlap,
    Retry,
    Schedule,
)

FAULTS: Final = (
    "crash",  # after any effect, and at rest
    "reboot",  # with it: other processes have the pids, the steady clock begins anew
    "rtc",  # after a reboot it is 1970, until somebody asks the network
    "survivors",  # processes outlive the daemon
    "step",  # of the wall clock
    "drift",  # too little of it to be called a step
    "sleep",  # the machine is suspended, or the daemon stands still
    "store",  # cannot be written, once or until it heals
    "broken files",
    "reports",  # late ones, double ones, starts that fail
    "crowd",  # more to run than there are slots
    "dense",  # jobs that are due every few seconds
)

CHANGES: Final = (
    ("Europe/London", "2026-10-25T01:00"),
    ("Europe/London", "2027-03-28T01:00"),
    ("America/New_York", "2026-11-01T06:00"),
    ("America/New_York", "2027-03-14T07:00"),
    ("Australia/Lord_Howe", "2026-10-03T15:30"),
    ("Australia/Lord_Howe", "2027-04-03T15:00"),
    ("America/Santiago", "2026-09-06T04:00"),
    ("America/Havana", "2026-11-01T05:00"),
    ("America/Havana", "2027-03-14T05:00"),
    ("Africa/Cairo", "2026-10-29T21:00"),
    ("Asia/Beirut", "2027-03-27T22:00"),
    ("Africa/Casablanca", "2027-02-07T02:00"),
    ("Europe/Dublin", "2027-03-28T01:00"),
    ("Antarctica/Troll", "2026-10-25T01:00"),
    ("Europe/Riga", "2026-10-25T01:00"),
    ("UTC", "2027-02-28T00:00"),
)
"""Where clocks are changed, and when in UTC."""

SPARSE_LINES: Final = (
    "30 2 * * *",
    "30 1 * * *",
    "0 0 * * *",
    "5,35 2 * * *",
    "0 3 * * 0",
    "0 9 1 * *",
    "15 1-2 * * 0,1",
    "0 */8 * * *",
)
DENSE_LINES: Final = ("*/20 * * * *", "15 * * * *", "*/30 1,2 * * *")


def choose_place(dice: Random) -> tuple[str, Instant]:
    """A zone, and an instant in the month before its clocks are changed, or in that very night."""
    zone, change = dice.choice(CHANGES)
    at = round(datetime.fromisoformat(change).replace(tzinfo=UTC).timestamp() * 1000)
    if dice.random() < 0.2:
        return zone, at + dice.randrange(-HOUR, HOUR)
    return zone, at - dice.randrange(1, 27) * DAY - dice.randrange(DAY)


def choose_schedule(dice: Random, zone: str, now: Instant, *, is_dense: bool) -> Schedule:
    kind = dice.random()
    if kind < 0.5:
        lines = SPARSE_LINES + (DENSE_LINES if is_dense else ())
        return Cron(dice.choice(lines), zone)
    if kind < 0.65:
        return Interval(dice.choice([5, 12, 24]) * HOUR, dice.choice([None, now - 90 * MINUTE]))
    if kind < 0.85 and is_dense:
        return Interval(dice.choice([SECOND, 7 * SECOND, MINUTE, 20 * MINUTE]))
    away = [-2 * HOUR, -5 * SECOND, -1, 0, 5 * SECOND, 10 * MINUTE, 30 * HOUR, 9 * DAY]
    return Once(now + dice.choice(away))


def choose_job(dice: Random, name: str, revision: str, schedule: Schedule) -> Job:
    return Job(
        name,
        "handlers:any",
        schedule,
        revision,
        enabled=dice.random() < 0.95,
        timeout_ms=dice.choice([MINUTE, 5 * MINUTE, DAY]),
        overlap=dice.choice(list(Overlap)),
        catch_up=dice.choice(list(CatchUp)),
        catch_up_window_ms=dice.choice([0, 10 * SECOND, HOUR, 2 * DAY]),
        retry=Retry(dice.choice([1, 3]), dice.choice([0, 5_000, HOUR]), 2.0),
        on_lost=dice.choice(list(OnLost)),
        jitter_ms=dice.choice([0, 0, 700, 10 * MINUTE]),
        pause_after_failures=dice.choice([None, None, 3]),
        max_running=2,
    )
