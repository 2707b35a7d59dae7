"""Describes the asyncio tasks that an async handler leaves running.

Rule: values in, values out; it must not fail for any name that a handler gives its tasks.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from luad.runner.result import shorten

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Sequence

_MAX_NAME: Final = 256
_NAMED_TASKS: Final = 5
_NUMBERED_TASK: Final = re.compile(r"Task-\d+")


def name_tasks(tasks: Iterable[asyncio.Task[Any]]) -> tuple[str, ...]:
    """Return a description of each task: the name from the handler, or the coroutine and its place."""
    return tuple(sorted(_name_task(task) for task in tasks))


def _name_task(task: asyncio.Task[Any]) -> str:
    with suppress(Exception):
        name, coroutine = task.get_name(), task.get_coro()
        code = getattr(coroutine, "cr_code", None)
        where = f" ({code.co_filename}:{code.co_firstlineno})" if code is not None else ""
        function = getattr(coroutine, "__qualname__", "")
        shown = function if not name or _NUMBERED_TASK.fullmatch(name) else name
        return shorten(f"`{shown or name}`{where}", _MAX_NAME)
    return "a task without a name"


def left_tasks(report: object) -> list[str]:
    """Return the names of asyncio tasks in *report*, which a handler's process has sent."""
    names = report.get("left_tasks") if isinstance(report, dict) else None
    return [str(name)[:_MAX_NAME] for name in names] if isinstance(names, list) else []


def tasks_message(names: Sequence[str]) -> str:
    """Return the message for the run's log about asyncio tasks that the handler left running."""
    named = ", ".join(names[:_NAMED_TASKS])
    more = f" and {len(names) - _NAMED_TASKS:,} more" if len(names) > _NAMED_TASKS else ""
    tasks = "1 asyncio task" if len(names) == 1 else f"{len(names):,} asyncio tasks"
    return (
        f"luad cancelled {tasks} that the handler left running: {named}{more}; a run ends with "
        "its handler, so await them, or start them in an `asyncio.TaskGroup`"
    )
