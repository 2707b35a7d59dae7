"""The last runs of each job, kept in memory for whoever lists jobs.

Reading twenty rows for each of a thousand jobs takes a tenth of a second; most jobs have not run
since the last time somebody looked.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from luad.store.shapes import RecentRun

Strip: TypeAlias = tuple[RecentRun, ...]

LENGTH: Final = 20
"""How many runs a strip has; others are not kept."""

MOST: Final = 2_000
"""Strips that are kept, of some 3 kB each; beyond that they are read anew every time."""


class Strips:
    """Strips by job id. Safe between threads.

    A strip that was read before a change and comes in after it is not taken: `ticket` is drawn
    before the read, and `changed` is said after the commit.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._strips: dict[str, Strip] = {}
        self._number = 0
        self._changed_at: dict[str, int] = {}
        self._cleared_at = 0

    def ticket(self) -> int:
        """Draw a ticket for a read that begins now."""
        with self._lock:
            return self._number

    def known(self, job_ids: Iterable[str]) -> dict[str, Strip]:
        """Return the strips that are known of *job_ids*."""
        with self._lock:
            return {each: self._strips[each] for each in job_ids if each in self._strips}

    def learn(self, ticket: int, strips: Mapping[str, Strip]) -> None:
        """Take in what was read, except what has changed since *ticket* was drawn."""
        with self._lock:
            if self._cleared_at > ticket:
                return
            for job_id, strip in strips.items():
                is_current = self._changed_at.get(job_id, 0) <= ticket
                if is_current and (len(self._strips) < MOST or job_id in self._strips):
                    self._strips[job_id] = strip

    def changed(self, job_ids: Iterable[str]) -> None:
        """Forget the strips of *job_ids*: their runs have changed."""
        with self._lock:
            self._number += 1
            for job_id in job_ids:
                self._changed_at[job_id] = self._number
                self._strips.pop(job_id, None)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._number += 1
            self._cleared_at = self._number
            self._strips.clear()
            self._changed_at.clear()
