"""The promises after a soak, by database and ledger; and that nothing grew.

The checker of the simulated months judges the database; what the handlers wrote down themselves, in the
ledger, is held against it here.

Every function returns what is wrong, in words; an empty list is a good answer.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from simulation.checker import violations
from simulation.history import Stopped
from simulation.stored import history_of
from soak.scene import Scene, Witnessed

from luad.clock import wall_ms

MB = 1 << 20
MOST_GROWTH_MB = 1.0  # for 10,000 runs
MOST_MB = 160
MOST_DESCRIPTORS = 400  # every run that goes on has some
MOST_BYTES_A_ROW = 4_096  # with its attempt, output and result; rows of two days are always kept
SMALL_DATABASE = 4 * MB
WARM_RUNS = 5_000  # until then caches fill, and the heap finds its size
FEWEST = 12  # samples that a trend can be read from


@dataclass(frozen=True)
class Sample:
    """The daemon at one moment, with the spawner: see `measure`."""

    runs: int
    resident: int
    descriptors: int
    threads: int
    zombies: frozenset[int]  # pids; one that has just ended may be met before it is waited for
    database: int
    rows: int


def growth(samples: Sequence[Sample]) -> list[str]:
    """Judge what a daemon took over its life; trends are read once it is warm."""
    found = []
    if (most := max(each.resident for each in samples)) > MOST_MB * MB:
        found.append(f"I14: {most / MB:.0f} MB resident")
    if (most := max(each.descriptors for each in samples)) > MOST_DESCRIPTORS:
        found.append(f"I14: {most} descriptors")
    lasting = (each.zombies & after.zombies for each, after in pairwise(samples))
    found += [f"I14: {sorted(pids)} stay zombies" for pids in lasting if pids]
    last = samples[-1]
    if last.database > MOST_BYTES_A_ROW * last.rows + SMALL_DATABASE:
        found.append(f"I14: {last.database / MB:.0f} MB of database for {last.rows} rows")
    if len(warm := warm_half(samples)) < FEWEST:
        return found
    if (slope := slope_mb(warm)) > MOST_GROWTH_MB:
        found.append(f"I14: memory grows by {slope:.2f} MB in 10,000 runs")
    for what in ("descriptors", "threads"):
        counts = [getattr(each, what) for each in warm]
        third = len(counts) // 3
        if min(counts[-third:]) > max(counts[:third]):
            found.append(f"I14: {what} only grow: {counts}")
    return found


def warm_half(samples: Sequence[Sample]) -> list[Sample]:
    """The second half of the samples, as far as the daemon was warm then."""
    return [each for each in samples[len(samples) // 2 :] if each.runs >= WARM_RUNS]


def slope_mb(samples: Sequence[Sample]) -> float:
    """The growth of memory in MB for 10,000 runs: the least squares of all samples."""
    if not samples:
        return 0.0
    mean_x = sum(each.runs for each in samples) / len(samples)
    mean_y = sum(each.resident for each in samples) / len(samples)
    spread = sum((each.runs - mean_x) ** 2 for each in samples)
    if not spread:
        return 0.0
    shared = sum((each.runs - mean_x) * (each.resident - mean_y) for each in samples)
    return 10_000 * shared / spread / MB


def promises(scene: Scene, database: Path) -> list[str]:
    """Hold the database and the ledger against the promises, and against each other."""
    witnessed = list(scene.witnessed())
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return [
            *_is_sound(connection),
            *_row_after_row(connection),
            *_nothing_still_runs(connection),
            *_witnessed_once(witnessed),
            *_has_rows(connection, witnessed),
            *_never_at_once(witnessed),
            *_by_the_checker(database),
        ]
    finally:
        connection.close()


def _by_the_checker(database: Path) -> list[str]:
    """Its daemon has stopped: what is open may wait for the next one."""
    now = wall_ms()
    return violations(history_of(database, [Stopped(now - 1, now - 1)], until=now))


def _is_sound(connection: sqlite3.Connection) -> list[str]:
    (answer,) = connection.execute("PRAGMA integrity_check").fetchone()
    return [] if answer == "ok" else [f"I11: the database says {answer}"]


def _row_after_row(connection: sqlite3.Connection) -> list[str]:
    """Every second of every job of a file has one row, between the first and the last there is."""
    rows = connection.execute(
        "SELECT job_name, coalesce(skip_first, scheduled_for), scheduled_for, id FROM runs "
        "WHERE job_name LIKE 'job-%' AND \"trigger\" IN ('schedule', 'catchup') ORDER BY 1, 2"
    ).fetchall()
    assert rows, "nothing has run"
    found = []
    for (name, _, last, one), (other_name, first, _, other) in pairwise(rows):
        if name == other_name and first > last + 1_000:
            found.append(f"I4: {name}: nothing between {last} ({one}) and {first} ({other})")
        elif name == other_name and first <= last:
            found.append(f"I3: {name}: {one} and {other} both name {first}")
    return found


def _nothing_still_runs(connection: sqlite3.Connection) -> list[str]:
    """Runs that wait, to start or to be tried again, may wait for the next daemon."""
    rows = connection.execute("SELECT id FROM runs WHERE state = 'running'").fetchall()
    return [f"I15: {run_id} is running, and its daemon is gone" for (run_id,) in rows]


def _witnessed_once(witnessed: Sequence[Witnessed]) -> list[str]:
    begun = Counter((each.run_id, each.attempt) for each in witnessed if each.what == "begin")
    found = [f"I3: {key} began {count} times" for key, count in begun.items() if count > 1]
    first = {each.run_id: each for each in witnessed if each.what == "begin" and each.attempt == 1}
    named = Counter((each.job, each.scheduled_for) for each in first.values())
    found += [f"I3: {key} ran {count} times" for key, count in named.items() if count > 1]
    early = [each for each in first.values() if each.at < each.scheduled_for]
    return found + [f"I1: {each} is early" for each in early]


def _has_rows(connection: sqlite3.Connection, witnessed: Sequence[Witnessed]) -> list[str]:
    """A run that a handler saw has its row, unless retention took it: those of a job go oldest first."""
    rows = dict(connection.execute("SELECT id, state FROM runs"))
    oldest = dict(connection.execute("SELECT job_name, min(scheduled_for) FROM runs GROUP BY 1"))
    found = []
    for each in witnessed:
        state = rows.get(each.run_id)
        if state is None and each.scheduled_for > oldest.get(each.job, 0) and each.job in oldest:
            found.append(f"I6: {each} has no row")
        elif state in {"skipped", "missed", "queued"}:
            found.append(f"I6: {each} ran, and its row says {state}")
    return found


def _never_at_once(witnessed: Sequence[Witnessed]) -> list[str]:
    """Jobs here skip while they run: nobody begins between another's beginning and its last line."""
    found = []
    begun: dict[str, Witnessed] = {}
    for each in sorted(witnessed, key=lambda one: one.at):
        before = begun.get(each.job)
        if each.what == "begin":
            begun[each.job] = each
        elif before is not None and before.run_id != each.run_id and each.at > before.at:
            found.append(f"I8: {before} began before {each.run_id} had ended")
    return found
