"""Collects the dead that nobody else will.

As the first process of a container luad becomes the parent of whoever has lost his own: of runs whose
spawner was killed, and of what was started beside luad. Such a process stays a zombie until its parent
asks for its end. Room rule: takes only what luad's own rooms have left alone from one look to the next;
they ask for the ends of their children at once.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from luad.runner.leftovers import read_process
from luad.runner.processes import children_of, zombies_below

if TYPE_CHECKING:
    from collections.abc import Collection

    from luad.runner.leftovers import OrphanLog


class ZombieReaper:
    """To be asked now and then."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, int]] = set()

    def reap(self) -> int:
        """Take leave of everyone who was dead the last time already; return how many those were."""
        dead = zombies_below(os.getpid())
        forgotten = dead & self._seen
        for pid, _start_ticks in forgotten:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        self._seen = dead - forgotten
        return len(forgotten)


def describe_orphans(log: OrphanLog, ours: Collection[int]) -> dict[str, Any]:
    """What `GET /v1/status` says of processes that outlived their run.

    Two kinds: those that luad ended when their keeper had died and that had no sign of their run
    (*log*), and living children of this process that are not in *ours*. luad leaves the latter
    alone: in a container they may come from a shell that an operator opened beside luad.
    """
    ended = [
        {"pid": each.pid, "name": each.name, "run_id": run_id, "alive": each.is_alive}
        for run_id, each in log.latest
    ]
    adopted = [
        {"pid": each.pid, "name": each.name, "run_id": None, "alive": True}
        for pid in children_of(os.getpid())
        if pid not in ours and (each := read_process(pid)) is not None
    ]
    return {"count": log.count + len(adopted), "latest": [*ended, *adopted]}
