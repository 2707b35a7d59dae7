"""Calls a handler, and returns its outcome.

Rule: only this module calls handlers; the process of a run and `luad test` share it.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from luad.runner.calling import check_is_done, is_async, must_be_awaited
from luad.runner.handler_params import refuse_bad_metadata
from luad.runner.left_tasks import name_tasks
from luad.runner.loading import HandlerError, load_handler, takes_job
from luad.runner.outcome import Failure, Outcome, describe, describe_raised, returned, traceback_of
from luad.sdk.both import Job as JobForBoth
from luad.sdk.job import Cancelled, Job, JobCore, mark_cancelled, set_current_job
from luad.sdk.not_retryable import NotRetryable
from luad.sdk.pending import begin_run, close_run, end_run

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Sequence

    from luad.sdk.exceptions import NotAwaited

    HandlerCheck = Callable[[str, Callable[..., Any]], None]


class Interrupt:
    """Stops a handler on a signal: a blocking one with `Cancelled`, an async one by its task.

    It raises only inside `execute`, and only once, because a second exception would interrupt the handler's
    own clean-up.
    """

    def __init__(self) -> None:
        self.is_fired = False
        self.left_tasks: tuple[str, ...] = ()
        self._job: JobCore | None = None
        self._task: asyncio.Task[Any] | None = None

    def fire(self, *_signal: object) -> None:
        """Interrupt the handler; the kernel's signal calls this."""
        is_first = not self.is_fired
        self.is_fired = True
        if not is_first or self._job is None:
            return
        mark_cancelled(self._job)
        if self._task is None:
            raise Cancelled
        self._task.get_loop().call_soon_threadsafe(self._task.cancel)

    def open(self, job: JobCore) -> None:
        """Let `fire` interrupt *job*'s handler. Raises `Cancelled` if it has fired already."""
        self._job = job
        if self.is_fired:
            raise Cancelled

    def close(self) -> None:
        """Let `fire` only set `is_fired`."""
        self._job = None

    async def supervise(self, awaitable: Awaitable[Any]) -> Any:
        """Await *awaitable* so that `fire` can cancel it; record the tasks that it leaves running."""
        import asyncio  # noqa: PLC0415 - as in `_call`

        self._task = asyncio.current_task()
        try:
            return await awaitable
        finally:
            self._task = None
            if not self.is_fired:
                self.left_tasks = await _tasks_left()
            close_run()


async def _tasks_left() -> tuple[str, ...]:
    """Return the names of the tasks that still run after the handler; its loop cancels them."""
    import asyncio  # noqa: PLC0415 - as in `_call`

    await asyncio.sleep(0)  # let tasks end that have done their work
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
    check: HandlerCheck | None = None,
) -> Outcome:
    """Import *handler*, call it with *job*, and return the outcome. Never raises.

    *on_error* gets the exception, for a debugger. *check* gets the name and the imported function, and
    raises if the job may not call it.
    """
    set_current_job(job)
    begin_run()
    try:
        interrupt.open(job)
        try:
            function = _load(handler, handlers_path, check)
            outcome = _call(job, handler, function, interrupt, result_limit)
        finally:
            interrupt.close()
    except BaseException as error:  # noqa: BLE001 - an exception of the handler is its outcome
        if on_error is not None:
            on_error(error.error if isinstance(error, _NotStarted) else error)
        if isinstance(error, _NotStarted):
            outcome = not_started(error.error)
        else:
            outcome = outcome_of(error, is_stopped=interrupt.is_fired)
    finally:
        set_current_job(None)
    if interrupt.left_tasks:
        outcome = replace(outcome, left_tasks=interrupt.left_tasks)
    return if_awaited(outcome, end_run())


def if_awaited(outcome: Outcome, forgotten: NotAwaited | None) -> Outcome:
    """Return *outcome*, or a failure if the handler succeeded and did not await a call of luad."""
    if forgotten is None:
        return outcome
    is_success = outcome.kind == "returned" or (outcome.kind, outcome.exit_code) == ("exited", 0)
    if not is_success:
        return outcome
    failure = Failure("NotAwaited", f"{forgotten.message}; {forgotten.hint}")
    return Outcome("raised", failure=failure, is_retryable=False, left_tasks=outcome.left_tasks)


class _NotStarted(BaseException):
    """Wraps an error from before the call of the handler."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


def _load(
    handler: str, handlers_path: Sequence[str], check: HandlerCheck | None
) -> Callable[..., Any]:
    try:
        function = load_handler(handler, handlers_path)
        if check is not None:
            check(handler, function)
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
        job = _job_for(function, job)
        arguments = (job,) if takes_job(handler, function) else ()
        refuse_bad_metadata(handler, function, job.metadata)
    except Cancelled:
        raise
    except BaseException as error:  # noqa: BLE001 - the module's own code runs in here
        raise _NotStarted(error) from None
    value = function(*arguments)
    if must_be_awaited(value):
        import asyncio  # noqa: PLC0415 - each module that is imported before a fork makes it slower

        value = asyncio.run(interrupt.supervise(value))
    check_is_done(value)
    return returned(value, result_limit)


def _job_for(function: Callable[..., Any], job: JobCore) -> JobCore:
    """Return *job* with methods that *function* can call.

    A coroutine function awaits them. A plain function may call them itself, or pass the job to a coroutine,
    so its job supports both.
    """
    job = job.with_face(Job if is_async(function) else JobForBoth)
    set_current_job(job)
    return job


def not_started(error: BaseException) -> Outcome:
    """Return the outcome of a handler that could not be called because of *error*."""
    if isinstance(error, HandlerError):
        failure = Failure("HandlerError", str(error))
    else:
        failure = describe(error)
    return Outcome("not_started", failure=failure, is_retryable=_may_load_later(error))


def outcome_of(error: BaseException, *, is_stopped: bool) -> Outcome:
    """Return the outcome of a handler that raised *error*. *is_stopped*: luad has interrupted it."""
    if is_stopped and (isinstance(error, Cancelled) or _is_cancelled_task(error)):
        where = traceback_of(error.__traceback__)
        return Outcome("interrupted", failure=Failure("Cancelled", "", where))
    if isinstance(error, SystemExit):
        return Outcome("exited", exit_code=_exit_code(error))
    is_retryable = not isinstance(error, NotRetryable)
    return Outcome("raised", failure=describe_raised(error), is_retryable=is_retryable)


def _is_cancelled_task(error: BaseException) -> bool:
    asyncio = sys.modules.get("asyncio")  # not imported unless the handler has done so
    return asyncio is not None and isinstance(error, asyncio.CancelledError)


def _may_load_later(error: BaseException) -> bool:
    """Return True if a later attempt may load the handler, because its code is not the cause."""
    if isinstance(error, ImportError):  # a system that lacks memory or descriptors raises it, too
        is_missing_name = str(error).startswith("cannot import name")
        return not is_missing_name and not isinstance(error, ModuleNotFoundError)
    return not isinstance(error, HandlerError | SyntaxError)


def _exit_code(error: SystemExit) -> int:
    """Return the exit status that Python derives from *error*."""
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        # Python turns an integer above 64 bits into -1, which must not count as success.
        return error.code & 0xFF if error.code.bit_length() < 64 else 255
    with suppress(Exception):
        sys.stderr.write(f"{error.code}\n")
    return 1
