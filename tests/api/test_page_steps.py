"""Pages cost what they show: steps on the loop, statements and steps of the database, at any size.

A step is a call of a function between two turns of the loop, or of SQLite's virtual machine; both are the same
on a busy machine.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

from sqlalchemy import event
from support import long_history
from support.long_history import JOBS, counted, fill
from support.loop_steps import LoopSteps
from support.page_site import PageSite

from luad.core.model import DAY, Cron, Once
from luad.store.query_types import RunFilter
from luad.web.pages import job, jobs, overview, run, runs, schedule, system

MOST_STEPS = 12_000
"""Between two turns of the loop: two to three milliseconds."""
MOST_STATEMENTS = 30
SLACK = 1.3


def history(daemon: Any, rows: int, ago: int = 0) -> None:
    """Give the jobs of the daemon a history of *rows* runs, one each second, until *ago* before now."""
    fill(daemon.store, daemon.clock.wall - ago - rows * long_history.EVERY_MS, rows)
    with closing(sqlite3.connect(daemon.store.path)) as connection, connection:
        for table in ("jobs", "revisions"):  # those of the history are not installed
            connection.execute(f"DELETE FROM {table} WHERE revision = 'r1'")  # noqa: S608 - our own words
        for number, state in enumerate(daemon.jobs()[-JOBS:]):
            values = (state.job_id, state.job.name, f"job-{number:02}")
            connection.execute(
                "UPDATE runs SET job_id = ?, job_name = ? WHERE job_name = ?", values
            )


def every_minute(kit: Any) -> list[Any]:
    return [kit.make_job(f"page-{n:02}", schedule=Cron("* * * * *")) for n in range(JOBS)]


async def test_no_page_holds_the_loop(daemon: Any, kit: Any, steps: LoopSteps) -> None:
    await daemon.install(*every_minute(kit))
    history(daemon, 20_000)
    site = PageSite(daemon)
    ((newest, *_), _) = await daemon.store.runs(RunFilter(job="page-07"), limit=1)
    failed = newest.run.id
    asked: dict[str, tuple[Any, str, dict[str, str]]] = {
        "overview": (overview.show, "", {}),
        "jobs": (jobs.show, "", {}),
        "job": (job.show, "", {"job": "page-07"}),
        "runs": (runs.show, "", {}),
        "run": (run.show, "", {"run": failed}),
        "day": (schedule.show, "", {}),
        "week": (schedule.show, "view=week", {}),
        "system": (system.show, "", {}),
    }
    longest = {}
    for name, (page, query, params) in asked.items():
        await site.show(page, query, **params)  # imports and templates, once
        steps.most = 0
        text = await site.show(page, query, **params)
        assert "<h1>" in text
        longest[name] = (steps.most, steps.what)
    assert all(most < MOST_STEPS for most, _ in longest.values()), longest


async def test_the_overview_costs_the_same_with_a_hundred_times_the_jobs(
    daemon: Any, kit: Any, steps: LoopSteps
) -> None:
    def later(first: int, end: int) -> list[Any]:
        soon = daemon.clock.wall + 10**9
        return [
            kit.make_job(f"late-{n:05}", schedule=Once(soon + n * 60_000))
            for n in range(first, end)
        ]

    await daemon.install(*every_minute(kit), *later(0, 100))
    site = PageSite(daemon)
    counts = []
    for _ in range(2):
        await site.show(overview.show)
        steps.count = 0
        await site.show(overview.show)
        counts.append(steps.count)
        await daemon.install(*later(100, 10_000))
    assert counts[1] < SLACK * counts[0], counts


async def test_the_overview_costs_the_database_the_same_with_four_times_the_history(
    daemon: Any, kit: Any
) -> None:
    # Older than a day: the outcomes of 24 hours have a limit of time, which is not the same everywhere.
    await daemon.install(*every_minute(kit))
    said: list[str] = []
    engine = daemon.store._backend._reading
    event.listen(engine, "before_cursor_execute", lambda *given: said.append(given[2]))
    costs = []
    for rows in (20_000, 80_000):
        with closing(sqlite3.connect(daemon.store.path)) as connection, connection:
            connection.execute("DELETE FROM runs")
        history(daemon, rows, DAY)
        site = PageSite(daemon)
        said.clear()
        with counted(daemon.store) as steps:
            text = await site.show(overview.show)
        assert text.count('<svg class="strip"') == JOBS
        assert len(said) <= MOST_STATEMENTS, said
        costs.append(steps.count)
    assert costs[1] < SLACK * costs[0], costs
