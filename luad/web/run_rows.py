"""A run as a row of a table.

Rule: pure; JSON of the API in, values for templates out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from luad.web.rows import Status, status_of_run, trigger_words, what_happened
from luad.web.times import duration_ms

if TYPE_CHECKING:
    from luad.web.inside import Json


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run, ready for a table."""

    id: str
    job: str
    status: Status
    at: str
    took: str
    attempts: str
    trigger: str
    said: str
    is_open: bool


def run_row(run: Json) -> RunRow:
    """Return the row of a run of `GET /v1/runs`."""
    most = run["max_attempts"]
    attempts = (
        f"{run['attempt']} of {most}" if most and run["attempt"] > 1 else str(run["attempt"] or "–")
    )
    return RunRow(
        run["id"],
        run["job"],
        status_of_run(run["status"]),
        run["scheduled_for"],
        duration_ms(run["duration_ms"]),
        attempts,
        trigger_words(run["trigger"]),
        what_happened(run),
        run["status"] in ("queued", "running", "retrying"),
    )
