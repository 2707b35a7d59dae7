"""Merges the records of many shards into few groups of one kind, each of which is one statement.

Rule: pure. Within a shard, the records about jobs keep their order, and so do the records about runs.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from luad.core.events import ClaimRun, ExtendSkip, Record, RecordSkip, SaveRun

_ABOUT_RUNS: Final = (ClaimRun, SaveRun, RecordSkip, ExtendSkip)


def merged(batches: Iterable[Sequence[Record]]) -> list[Record]:
    """Return the records of all *batches*, one batch a shard, with neighbours of one kind."""
    about_jobs: list[list[Record]] = []
    about_runs: list[list[Record]] = []
    for batch in batches:
        about_jobs.append([each for each in batch if not isinstance(each, _ABOUT_RUNS)])
        about_runs.append([each for each in batch if isinstance(each, _ABOUT_RUNS)])
    return [*_by_kind(about_jobs), *_by_kind(about_runs)]


def _by_kind(batches: Iterable[Sequence[Record]]) -> list[Record]:
    queues = [deque((kind, list(group)) for kind, group in groupby(each, type)) for each in batches]
    found: list[Record] = []
    while queues := [each for each in queues if each]:
        kind = Counter(queue[0][0] for queue in queues).most_common(1)[0][0]
        for queue in queues:
            if queue[0][0] is kind:
                found += queue.popleft()[1]
    return found
