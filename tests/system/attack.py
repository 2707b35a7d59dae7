"""What the attacks on a running daemon share: a well-behaved job, and what must hold for it whatever happens."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from live import LiveDaemon

HANDLERS = """
def note(job):
    print("noted", job.name)
"""


def job(name: str, handler: str = "work:note", seconds: int = 1, more: str = "") -> str:
    """The text of a job file."""
    schedule = f"schedule: {{type: interval, seconds: {seconds}}}"
    return f"name: {name}\nhandler: {handler}\n{schedule}\n{more}\n"


def besieged(folder: Path, *options: str, env: dict[str, str] | None = None) -> LiveDaemon:
    """A daemon, not yet started, with `tick`: a job that runs every second and harms nobody."""
    daemon = LiveDaemon(folder, *options, env=env)
    daemon.write_handler("work", HANDLERS)
    daemon.write_job("tick", job("tick"))
    return daemon


def assert_every_second_has_its_row(daemon: LiveDaemon, name: str = "tick") -> None:
    """No occurrence is without a row, and none has two: row follows row, second by second."""
    rows = daemon.rows(
        "SELECT coalesce(skip_first, scheduled_for), scheduled_for, id FROM runs "
        "WHERE job_name = ? AND \"trigger\" IN ('schedule', 'catchup') ORDER BY 1",
        name,
    )
    assert rows
    for (_, last, one), (first, _, other) in pairwise(rows):
        assert first == last + 1_000, f"{name}: {one} ends at {last}, {other} begins at {first}"


def assert_on_time(daemon: LiveDaemon, most_ms: int, name: str = "tick") -> None:
    """Every occurrence ran, none later than *most_ms*: the bound is for a machine that others use, too."""
    assert_every_second_has_its_row(daemon, name)
    rows = daemon.rows(
        "SELECT state, started_at - scheduled_for FROM runs WHERE job_name = ?", name
    )
    assert {state for state, _ in rows} <= {"succeeded", "running", "queued"}, rows
    assert max(late for _, late in rows if late is not None) <= most_ms, rows
