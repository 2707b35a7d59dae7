"""Call a handler, and tell how that ended.

Rule: the one place where handlers are called; the process of a run and `luad test` share it.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from luad.runner.calling import check_is_done, is_async
from luad.runner.handler_params import refuse_bad_metadata
from luad.runner.left_tasks import name_tasks
from luad.runner.loading import HandlerError, load_handler, takes_job
from luad.runner.outcome import Failure, Outcome, describe, returned, traceback_of
from luad.sdk.both import Job as JobForBoth
from luad.sdk.job import Cancelled, Job, JobCore, mark_cancelled, set_current_job
from luad.sdk.not_retryable import NotRetryable
from luad.sdk.pending import begin_run, close_run, end_run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    Guard = Callable[[str, Callable[..., Any]], None]


class Interrupt:
    """Stops a handler from a signal: a blocking one by `Cancelled`, an async one by its task.

    Nothing is raised outside of `execute`, and nothing twice: the second time would hit the
    handler's clearing up.
    """

    def __init__(self) -> None:
        self.is_fired = False
        self.left_tasks: tuple[str, ...] = ()
        self._job: JobCore | None = None
        self._task: asyncio.Task[Any] | None = None

    def fire(self, *_signal: object) -> None:
        """Be called as a signal handler."""
        is_first = not self.is_fired
        self.is_fired = True
        if not is_first or self._job is None:
            return
        mark_cancelled(self._job)
        if self._task is None:
            raise Cancelled
        self._task.get_loop().call_soon_threadsafe(self._task.cancel)

    def open(self, job: JobCore) -> None:
        """From here on `fire` interrupts *job*'s handler; it may have been called before."""
        self._job = job
        if self.is_fired:
            raise Cancelled

    def close(self) -> None:
        """From here on `fire` only takes note."""
        self._job = None

    async def supervise(self, awaitable: Awaitable[Any]) -> Any:
        """Await *awaitable* so that `fire` cancels it; note the tasks that it leaves running."""
        self._task = asyncio.current_task()
        try:
            return await awaitable
        finally:
            self._task = None
            if not self.is_fired:
                self.left_tasks = await _tasks_left()
            close_run()


async def _tasks_left() -> tuple[str, ...]:
    """The names of the tasks that still run once the handler has ended; its loop cancels them."""
    await asyncio.sleep(0)  # those that are through with their work may end
    left = asyncio.all_tasks() - {asyncio.current_task()}
    return name_tasks(task for task in left if not task.done())


def execute(
    job: JobCore,
    handler: str,
    interrupt: Interrupt,
    *,
    handlers_path: Sequence[str] = (),
    result_limit: int,
    on_error: Callable[[BaseException], None] | None = None,
    guard: Guard | None = None,
) -> Outcome:
    """Import *handler*, call it with *job*, and say how that ended. Never raises.

    *on_error* is shown the exception, for a debugger. *guard* gets the name and what was imported by it,
    and raises when that may not be called.
    """
    set_current_job(job)
    begin_run()
    try:
        interrupt.open(job)
        try:
            function = _load(handler, handlers_path, guard)
            outcome = _call(job, handler, function, interrupt, result_limit)
        finally:
            interrupt.close()
    except BaseException as error:  # noqa: BLE001 - whatever a handler raises is its outcome
        if on_error is not None:
            on_error(error.error if isinstance(error, _NotStarted) else error)
        outcome = _outcome_of(error, interrupt)
    finally:
        set_current_job(None)
    return _if_awaited(replace(outcome, left_tasks=interrupt.left_tasks))


def _if_awaited(outcome: Outcome) -> Outcome:
    """Return *outcome*, or a failure where it would be a success and a call of luad was not awaited."""
    forgotten = end_run()
    is_success = outcome.kind == "returned" or (outcome.kind, outcome.exit_code) == ("exited", 0)
    if forgotten is None or not is_success:
        return outcome
    failure = Failure("NotAwaited", f"{forgotten.message}; {forgotten.hint}")
    return Outcome("raised", failure=failure, is_retryable=False, left_tasks=outcome.left_tasks)


class _NotStarted(BaseException):
    """Wraps what went wrong before the handler was called."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


def _load(handler: str, handlers_path: Sequence[str], guard: Guard | None) -> Callable[..., Any]:
    try:
        function = load_handler(handler, handlers_path)
        if guard is not None:
            guard(handler, function)
    except Cancelled:
        raise
    except BaseException as error:  # noqa: BLE001 - the module's own code runs in here
        raise _NotStarted(error) from None
    return function


def _call(
    job: JobCore,
    handler: str,
    function: Callable[..., Any],
    interrupt: Interrupt,
    result_limit: int,
) -> Outcome:
    try:
        job = _with_its_face(job, function)
        arguments = (job,) if takes_job(handler, function) else ()
        refuse_bad_metadata(handler, function, job.metadata)
    except Cancelled:
        raise
    except BaseException as error:  # noqa: BLE001 - the module's own code runs in here
        raise _NotStarted(error) from None
    value = function(*arguments)
    if inspect.isawaitable(value):
        value = asyncio.run(interrupt.supervise(value))
    check_is_done(value)
    return returned(value, result_limit)


def _with_its_face(job: JobCore, function: Callable[..., Any]) -> JobCore:
    """Give the handler a job that it can use.

    One whose methods are awaited, where nothing but coroutines is called. A plain function may itself use the
    job, and may hand it on to a coroutine; so it gets a job that works both ways.
    """
    job = job.with_face(Job if is_async(function) else JobForBoth)
    set_current_job(job)
    return job


def _outcome_of(error: BaseException, interrupt: Interrupt) -> Outcome:
    if isinstance(error, _NotStarted):
        if isinstance(error.error, HandlerError):
            failure = Failure("HandlerError", str(error.error))
        else:
            failure = describe(error.error)
        return Outcome("not_started", failure=failure, is_retryable=_may_load_later(error.error))
    if interrupt.is_fired and isinstance(error, Cancelled | asyncio.CancelledError):
        where = traceback_of(error.__traceback__)
        return Outcome("interrupted", failure=Failure("Cancelled", "", where))
    if isinstance(error, SystemExit):
        return Outcome("exited", exit_code=_exit_code(error))
    is_retryable = not isinstance(error, NotRetryable)
    return Outcome("raised", failure=describe(error), is_retryable=is_retryable)


def _may_load_later(error: BaseException) -> bool:
    """Could the same handler be loaded in a later attempt: its code is not to blame."""
    if isinstance(error, ImportError):  # also one of a system that is short of something
        is_missing_name = str(error).startswith("cannot import name")
        return not is_missing_name and not isinstance(error, ModuleNotFoundError)
    return not isinstance(error, HandlerError | SyntaxError)


def _exit_code(error: SystemExit) -> int:
    """The exit status, as Python itself derives it."""
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        # What is no long of the machine is -1 to Python, and must not pass for success.
        return error.code & 0xFF if error.code.bit_length() < 64 else 255
    with suppress(Exception):
        sys.stderr.write(f"{error.code}\n")
    return 1
