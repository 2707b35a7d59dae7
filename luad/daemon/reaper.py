"""Reaps zombies that no other part of luad waits for, and describes orphan processes.

As process 1 of a container, luad becomes the parent of each process whose own parent has died: of runs whose
spawner was killed, and of processes started beside luad. Such a process stays a zombie until luad reaps it.

Rule: only a zombie that two calls in a row have found is reaped. The packages of luad reap their own children
at once.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from luad.runner.leftovers import read_process
from luad.runner.processes import children_of, zombies_below

if TYPE_CHECKING:
    from collections.abc import Collection

    from luad.runner.leftovers import OrphanLog


class ZombieReaper:
    """Reaps zombies at each call of `reap`."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, int]] = set()

    def reap(self) -> int:
        """Reap the children that were zombies at the previous call; return their number."""
        dead = zombies_below(os.getpid())
        forgotten = dead & self._seen
        for pid, _start_ticks in forgotten:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        self._seen = dead - forgotten
        return len(forgotten)


def describe_orphans(log: OrphanLog, ours: Collection[int]) -> dict[str, object]:
    """Return the part of `GET /v1/status` about processes that outlived their run.

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
