"""The runs of a resume with catch-up, found by the skip rows of the pause.

The skip row of a pause is the only guarded row of its occurrences. The runs of the resume have no occurrence in
their rows; this module finds them by their instants.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, and_, select, text

from luad.core.model import Instant, Reason, RunState, Trigger
from luad.store.query_types import RunRow
from luad.store.tables import runs

MOST: Final = 2_000
"""The largest number of runs that one query reads; a resume starts at most 100."""


def resumed_by(connection: Connection, rows: Sequence[RunRow]) -> dict[str, list[str]]:
    """Return, by skip row of a pause among *rows*, the ids of the runs that a resume started for it."""
    paused = [row for row in rows if _is_of_a_pause(row)]
    if not paused:
        return {}
    rare = text("trigger <> 'schedule'")  # word for word the index's own condition
    query = (
        select(runs.c.id, runs.c.job_id, runs.c.scheduled_for)
        .where(
            and_(runs.c.trigger == Trigger.RESUME.value, rare),
            runs.c.claimed_at >= min(row.run.claimed_at for row in paused),
            runs.c.job_id.in_({row.run.job_id for row in paused}),
        )
        .order_by(runs.c.claimed_at, runs.c.id)
        .limit(MOST)
        .with_hint(runs, "INDEXED BY runs_by_rare_trigger", "sqlite")
    )
    found: dict[str, list[tuple[Instant, str]]] = defaultdict(list)
    for run_id, job_id, scheduled_for in connection.execute(query):
        found[job_id].append((scheduled_for, run_id))
    for instants in found.values():
        instants.sort()
    return {row.run.id: _within(found[row.run.job_id], row) for row in paused}


def _is_of_a_pause(row: RunRow) -> bool:
    return row.run.state is RunState.SKIPPED and row.run.reason is Reason.PAUSED


def _within(instants: Sequence[tuple[Instant, str]], row: RunRow) -> list[str]:
    first = row.run.scheduled_for if row.first_scheduled_for is None else row.first_scheduled_for
    start = bisect_left(instants, (first, ""))
    end = bisect_right(instants, (row.run.scheduled_for + 1, ""))
    return [run_id for _, run_id in instants[start:end]]
