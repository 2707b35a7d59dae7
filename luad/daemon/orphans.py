"""Collects the dead that nobody else will.

As the first process of a container luad becomes the parent of whoever has lost his own: of runs whose
spawner was killed, and of what was started beside luad. Such a process stays a zombie until its parent
asks for its end. Room rule: takes only what luad's own rooms have left alone from one look to the next;
they ask for the ends of their children at once.
"""

from __future__ import annotations

import os
from contextlib import suppress

from luad.runner.processes import zombies_below


class Orphans:
    """To be asked now and then."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, int]] = set()

    def collect(self) -> int:
        """Take leave of everyone who was dead the last time already; return how many those were."""
        dead = zombies_below(os.getpid())
        forgotten = dead & self._seen
        for pid, _start_ticks in forgotten:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        self._seen = dead - forgotten
        return len(forgotten)
