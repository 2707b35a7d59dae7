"""The worker of a node, or one that is alone: its parts, made from the settings.

Rule: wiring only.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from luad import __version__
from luad.cluster.handler_code import HandlerCode
from luad.cluster.worker import WorkerParts
from luad.cluster.worker_rows import Identity, new_life
from luad.core.events import AttemptEnded
from luad.core.model import Wanted
from luad.core.shards import shard_of
from luad.core.state import Entry
from luad.daemon import wiring
from luad.daemon.run_output import RunReports
from luad.daemon.run_rules import Binder
from luad.store.postgresql.connect import CHORES, LIBPQ, Link
from luad.store.postgresql.node_backend import DURABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from luad.cluster.fetching import Emit
    from luad.cluster.store_clock import StoreClock
    from luad.cluster.worker import Worker
    from luad.config.settings.daemon_settings import Settings
    from luad.config.settings.store_target import Target
    from luad.core.events import AttemptStarted, StartAttempt, StoredJob
    from luad.core.model import Job
    from luad.daemon.masking import SecretMask

POLL_S: Final = 5.0
"""Procrastinate's default; a notification wakes the fetcher sooner."""


def worker_parts(
    settings: Settings,
    target: Target,
    name: str,
    clock: StoreClock,
    emit: Emit,
    secrets: SecretMask,
    lost_after_ms: int,
    *,
    node: str | None,
) -> WorkerParts:
    """Return the parts of the worker *name*. *node*: the node that it is a part of; None for one that is alone."""
    words: dict[str, Any] = {**LIBPQ, "application_name": f"luad {name} fetcher"}
    if target.password is not None:
        words["password"] = target.password
    fetcher = {
        "conninfo": target.url,
        "words": words,
        "queues": list(settings.work_queues),
        "concurrency": settings.max_concurrent_runs,
        "name": name,
        "poll_s": POLL_S,
    }
    return WorkerParts(
        Identity(new_life(), name, settings.work_queues, __version__, node),
        (Link(target, f"luad {name} work", DURABLE), Link(target, f"luad {name} logs", CHORES)),
        fetcher,
        partial(_bind, settings),
        clock,
        emit,
        secrets,
        settings.state_dir,
        lost_after_ms,
        settings.drain_ms,
        HandlerCode(settings.handlers_path.absolute()).digest,
    )


def _bind(settings: Settings, stored: StoredJob, start: StartAttempt) -> StartAttempt:
    """Return *start* with the rules for its handler: a job made at run time may use fewer."""
    binder = Binder(lambda _job_id: _entry(stored, start.job), wiring.dynamic_rules(settings))
    return binder(start)


def _entry(stored: StoredJob, job: Job) -> Entry:
    progress = stored.progress
    wanted = Wanted(job, stored.origin, creation=stored.creation)
    times = (stored.installed_at, progress.grid_at, progress.handled_until)
    return Entry(stored.job_id, wanted, *times, overlay=progress.overlay)


class WorkerReports(RunReports):
    """Passes reports and output of runs to the worker; the output also to the daemon's log and *follow*.

    The log of a run that another node decides for begins at once: that node has the line `run.started`.
    """

    worker: Worker
    follow: Callable[[str, str, list[dict[str, object]]], None]
    decides_for: Callable[[int], bool]

    def take_event(self, event: AttemptStarted | AttemptEnded) -> None:
        """Pass a report on to the worker, which masks it."""
        shard = self.worker.shard_of((event.run_id, event.attempt))
        self.worker.take_event(event)
        if isinstance(event, AttemptEnded) and (shard is None or not self.decides_for(shard)):
            self.order.release(event.run_id, is_last=True)

    def take_lines(
        self, run_id: str, attempt: int, job_name: str, lines: list[dict[str, object]]
    ) -> None:
        """Pass on lines of an attempt, which the worker masks."""
        self.worker.take_lines(run_id, attempt, job_name, lines)
        if not self.decides_for(shard_of(job_name)):
            self.order.release(run_id, is_last=False)
        self.order.put(run_id, job_name, lines)
        self.follow(run_id, job_name, lines)

    def let_go(self) -> None:
        """Write the output that waits for a line of this node: another one decides now."""
        for run_id, _ in self.worker.running:
            self.order.release(run_id, is_last=False)
