"""A run as a row of a table.

Rule: pure; JSON of the API in, values for templates out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from luad.web.rows import Status, status_of_run, trigger_words, what_happened
from luad.web.times import duration_ms

if TYPE_CHECKING:
    from luad.web.inside import Json


SLOW: Final = 1.5
"""A run that takes so many times the usual longest duration is marked."""


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
    is_slow: bool = False


def run_row(run: Json, band: tuple[int, int] | None = None) -> RunRow:
    """Return the row of a run of `GET /v1/runs`. *band*: the usual durations of its job."""
    took = run["duration_ms"] or 0
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
        band is not None and run["status"] == "succeeded" and took > SLOW * band[1],
    )
