"""Applies the settings' rules for handlers: dynamic jobs, and jobs changed over TCP, may use fewer of them.

Rule: this module reads the engine's state and the settings; it changes neither.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from luad.core.events import StartAttempt
from luad.core.installed import Pause
from luad.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from luad.api.service import DynamicRules
    from luad.config.settings.allowed_handlers import Refusal
    from luad.core.events import StoredJob
    from luad.core.model import Instant, Job
    from luad.core.state import Entry

AUTHOR = "luad"
_NOT_ALLOWED = "its handler is not allowed: "


class Binder:
    """Adds to an attempt the rules that its handler is bound to; a removed job counts as dynamic.

    A rule may read the module of the handler. Starts of one moment of the loop share the answer.
    """

    def __init__(self, find: Callable[[str], Entry | None], rules: DynamicRules) -> None:
        self._find = find
        self._rules = rules
        self._refusals: dict[str, Refusal | None] = {}

    def __call__(self, action: StartAttempt) -> StartAttempt:
        """Return *action* with the rules for its handler."""
        entry, handler = self._find(action.run.job_id), action.job.handler
        is_known = entry is not None and entry.job_id == action.run.job_id
        is_dynamic = not is_known or entry is None or entry.wanted.is_dynamic
        is_remote = action.run.is_remote or (entry is not None and bool(entry.overlay.remote))
        if not (is_dynamic or is_remote) or self._rules.names(handler):
            return action
        refusal = self._refusal(handler)
        if refusal is None:
            return StartAttempt(action.run, action.job, is_bound=True)
        cause = "it was made at run time" if is_dynamic else "its metadata were changed over TCP"
        text = f"{handler} is not called: {refusal.reason}; the job needs an allowed handler, for {cause}"
        return StartAttempt(action.run, action.job, refusal=text)

    def _refusal(self, handler: str) -> Refusal | None:
        if not self._refusals:
            asyncio.get_running_loop().call_soon(self._refusals.clear)
        if handler not in self._refusals:
            self._refusals[handler] = self._rules.refusal(handler)
        return self._refusals[handler]


def paused(stored: StoredJob, reason: str, now: Instant) -> StoredJob:
    """Return *stored*, paused because of its handler; a user's pause is kept, without its end."""
    was = stored.progress.pause
    if was is not None and not is_ours(was):
        pause = replace(was, until=None)
    else:
        pause = Pause(now if was is None else was.at, _NOT_ALLOWED + reason, AUTHOR)
    return replace(stored, progress=replace(stored.progress, pause=pause))


def resumed(stored: StoredJob) -> StoredJob:
    """Return *stored*, whose handler is allowed, without the pause that luad had set."""
    was = stored.progress.pause
    if was is None or not is_ours(was):
        return stored
    return replace(stored, progress=replace(stored.progress, pause=None))


def is_ours(pause: Pause) -> bool:
    """Return whether luad paused the job because of its handler."""
    return pause.author == AUTHOR and pause.reason.startswith(_NOT_ALLOWED)


def not_allowed(place: str, job: Job, reason: str) -> Problem:
    """Return the problem of a stored job whose handler is not allowed."""
    return Problem(
        place,
        0,
        0,
        "LU307",
        f"the dynamic job `{job.name}` is paused: its handler `{job.handler}` is not allowed ({reason})",
        f"name it in dynamic.handlers and restart luad, or luad delete {job.name}",
        job=job.name,
    )
