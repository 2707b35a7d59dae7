"""Decides whether a history keeps the promises, and names the one it breaks."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from itertools import pairwise

from dictstore import UNIQUE
from world import World

from luad.core.model import OPEN_STATES, Instant, Once, Overlap, Trigger
from luad.core.schedule import occurrences


def violations(world: World) -> list[str]:
    """Return every broken promise of a finished history."""
    return [
        *starts_once(world),
        *never_early(world),
        *one_row_per_occurrence(world),
        *no_silence(world),
        *no_overlap(world),
        *nothing_left_open(world),
    ]


def starts_once(world: World) -> list[str]:
    counts = Counter((each.run_id, each.attempt) for each in world.starts)
    return [f"I3: {key} was started {count} times" for key, count in counts.items() if count > 1]


def never_early(world: World) -> list[str]:
    if world.with_clock_steps:  # the instant is reached, then the clock goes back
        return []
    return [f"I1: {each} is early" for each in world.starts if each.at < each.fire_at]


def one_row_per_occurrence(world: World) -> list[str]:
    """No occurrence is named by two rows; rows of one job do not overlap.

    Unless the later one is for a dynamic `once` whose instant had passed already when it was asked for:
    an earlier definition may have skipped a span with that instant in it.
    """
    spans: dict[tuple[str, str], list[tuple[Instant, Instant, str]]] = defaultdict(list)
    for run in world.store.runs.values():
        if run.trigger in UNIQUE:
            key = run.job_id, _once(world, run.revision)
            spans[key].append((run.scheduled_for, run.scheduled_for, run.id))
    for record, skip in world.store.skips.values():
        assert skip.count >= 1
        assert skip.first <= skip.last
        key = record.job_id, _once(world, record.revision)
        spans[key].append((skip.first, skip.last, record.row_id))
    found = []
    for (job_id, _), rows in spans.items():
        rows.sort()
        for (_, last, one), (first, _, other) in pairwise(rows):
            if first <= last and not world.with_clock_steps:
                found.append(f"I4: {one} and {other} of {job_id} both cover {first}")
    return found


def _once(world: World, revision: str) -> str:
    return revision if isinstance(world.store.definitions[revision].schedule, Once) else ""


def no_silence(world: World) -> list[str]:
    """Every occurrence of every definition, while it was in force, is covered by a row."""
    if world.with_clock_steps:
        return []
    found = []
    for job_id, periods in world.store.periods.items():
        runs = {
            run.scheduled_for
            for run in world.store.runs.values()
            if run.job_id == job_id and run.trigger in UNIQUE
        }
        spans = [
            (skip.first, skip.last)
            for each, skip in world.store.skips.values()
            if each.job_id == job_id
        ]
        runs |= {first for first, last in spans if first == last}
        skips = sorted(span for span in spans if span[0] < span[1])
        firsts = [first for first, _ in skips]
        for period in periods:
            until = period.handled_until if period.until is None else period.until
            due = occurrences(
                period.job.schedule, period.grid_at, period.after, until, cap=1_000_000
            )
            silent = [at for at in due if at not in runs and not _is_covered(at, firsts, skips)]
            found += [f"I4: {job_id} has no row for {at} ({period.job})" for at in silent[:2]]
    return found


def _is_covered(at: Instant, firsts: list[Instant], skips: list[tuple[Instant, Instant]]) -> bool:
    place = bisect_right(firsts, at)
    return place > 0 and at <= skips[place - 1][1]


def no_overlap(world: World) -> list[str]:
    """With any policy but `allow`, runs of a job never are alive at the same time."""
    alive: dict[str, list[tuple[Instant, Instant, str]]] = defaultdict(list)
    definitions = world.store.definitions.values()
    ever_allowed = {job.name for job in definitions if job.overlap is Overlap.ALLOW}
    for start in world.starts:
        end = world.ends.get((start.run_id, start.attempt), world.wall)
        if start.job_name not in ever_allowed and not world.with_clock_steps:
            alive[world.store.runs[start.run_id].job_id].append((start.at, end, start.run_id))
    found = []
    for job_id, spans in alive.items():
        spans.sort()
        for (_, end, one), (start_at, _, other) in pairwise(spans):
            if start_at < end and one != other:
                found.append(f"I8: {one} and {other} of {job_id} overlap at {start_at}")
    return found


def nothing_left_open(world: World) -> list[str]:
    """What the store calls open, the engine knows."""
    known = {run.id for run in world.engine.runs.all()}
    return [
        f"I4: {run.id} is {run.state} in the store, and nobody works on it"
        for run in world.store.runs.values()
        if run.state in OPEN_STATES and run.id not in known
    ]


__all__ = ["Trigger", "violations"]
