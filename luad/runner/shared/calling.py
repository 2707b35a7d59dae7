"""Calls the handlers of shared runs: plain functions in the calling thread, coroutine functions as tasks.

Rule: each run has a context of its own, so that context variables of one run never reach another.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from luad.clock import wall_ms
from luad.runner.calling import check_is_done, is_async
from luad.runner.execution import if_awaited, not_started, outcome_of
from luad.runner.handler_params import refuse_bad_metadata
from luad.runner.left_tasks import name_tasks, tasks_message
from luad.runner.loading import Fault, HandlerError, load_handler, takes_job
from luad.runner.outcome import Outcome, returned
from luad.runner.shared.messages import end_message
from luad.runner.shared.output import admit_level, is_forked
from luad.runner.shared.run import current_run
from luad.runner.shipped_handlers import refuse_hidden
from luad.sdk.both import Job as JobForBoth
from luad.sdk.job import Cancelled, Job, JobCore, mark_cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from luad.runner.shared.messages import SetupMessage
    from luad.runner.shared.run import SharedRun

_LEFT_TASKS_S: Final = 1.0  # for tasks that a handler left running, once they are cancelled
_NAMED: Final = 5
_POOLS: Final = ("asyncio_", "ThreadPoolExecutor-")
"""The names of threads that wait for the work of any run."""


@dataclass(frozen=True, slots=True)
class Handler:
    """An imported handler. *face*: the kind of job that it can use."""

    name: str
    function: Callable[..., Any]
    face: type[JobCore]
    takes_job: bool
    is_async: bool


class Caller:
    """Calls handlers, and passes each run that is over to *on_end*."""

    def __init__(self, setup: SetupMessage, on_end: Callable[[SharedRun], None]) -> None:
        self._setup = setup
        self._on_end = on_end
        self._known: dict[tuple[str, bool], Handler] = {}

    def is_known_async(self, run: SharedRun) -> bool:
        """Return True if the handler of *run* is loaded, and is a coroutine function."""
        known = self._known.get((run.message["handler"], run.message["is_bound"]))
        return known is not None and known.is_async

    # --- plain functions, and every first call ---------------------------------------------------

    def call(self, run: SharedRun, to_loop: Callable[[SharedRun], None]) -> None:
        """Execute *run* in this thread; *to_loop* gets it if its handler is a coroutine function."""
        job = run.begin()
        if job is not None and Context().run(self._call, run, job):
            to_loop(run)

    def _call(self, run: SharedRun, job: JobCore) -> bool:
        """Call the handler; return True if it must run on the event loop."""
        current_run.set(run)
        admit_level(run)
        run.interrupt.thread_id = threading.get_ident()
        try:
            run.interrupt.open(job)
            try:
                outcome = self._outcome(run, job)
            finally:
                run.interrupt.close()
        except BaseException as error:  # noqa: BLE001 - an exception of the handler is its outcome
            outcome = outcome_of(error, is_stopped=run.interrupt.is_fired)
        if outcome is None:
            return True
        self._finish(run, replace(outcome, left_tasks=run.interrupt.left_tasks))
        return False

    def _outcome(self, run: SharedRun, job: JobCore) -> Outcome | None:
        """Return the outcome; None for a coroutine function."""
        handler = self._prepare(run, job)
        if isinstance(handler, Outcome):
            return handler
        if handler.is_async:
            return None
        value = handler.function(*((run.job,) if handler.takes_job else ()))
        if inspect.isawaitable(value):
            value = asyncio.run(run.interrupt.supervise(value))
        check_is_done(value)
        return returned(value, self._setup["result_limit"])

    def _prepare(self, run: SharedRun, job: JobCore) -> Handler | Outcome:
        """Return the handler, and give the job its face; or the outcome of a run that cannot start."""
        try:
            handler = self._load(run)
            run.job = job.with_face(handler.face)
            refuse_bad_metadata(handler.name, handler.function, job.metadata)
        except (Cancelled, asyncio.CancelledError):
            raise
        except BaseException as error:  # noqa: BLE001 - the module's own code runs in here
            return not_started(error)
        return handler

    def _load(self, run: SharedRun) -> Handler:
        name, is_bound = run.message["handler"], run.message["is_bound"]
        if run.message["refusal"]:
            raise HandlerError(Fault.NOT_ALLOWED, run.message["refusal"])
        known = self._known.get((name, is_bound))
        if known is not None:
            return known
        function = load_handler(name, self._setup["handlers_path"])
        if is_bound:
            refuse_hidden(self._setup["allowed"], name, function)
        on_loop = is_async(function)
        face: type[JobCore] = Job if on_loop else JobForBoth
        found = Handler(name, function, face, takes_job(name, function), on_loop)
        self._known[name, is_bound] = found
        return found

    # --- coroutine functions ---------------------------------------------------------------------

    def start(self, loop: asyncio.AbstractEventLoop, run: SharedRun) -> None:
        """Start *run* as a task of *loop*, which is the loop of this thread."""
        if run.started_at is None and run.begin() is None:
            return
        context = Context()
        context.run(current_run.set, run)
        run.root = loop.create_task(self._await(run), context=context)
        if run.cause:  # it was stopped while its handler was loaded
            run.root.cancel()

    async def _await(self, run: SharedRun) -> None:
        admit_level(run)
        try:
            outcome = await self._async_outcome(run)
        except BaseException as error:  # noqa: BLE001 - an exception of the handler is its outcome
            outcome = outcome_of(error, is_stopped=bool(run.cause))
        run.calls.is_over = True
        if len(run.tasks) > 1 and not run.cause:
            await asyncio.sleep(0)  # let tasks end that have done their work
        left = [task for task in run.tasks if task is not run.root and not task.done()]
        if left and not run.cause:
            outcome = replace(outcome, left_tasks=name_tasks(left))
        for task in left:
            task.cancel()
        if left:
            with suppress(asyncio.CancelledError):  # a stop in this moment changes nothing
                await asyncio.wait(left, timeout=_LEFT_TASKS_S)
        self._finish(run, outcome)

    async def _async_outcome(self, run: SharedRun) -> Outcome:
        assert run.job is not None, "it has begun"
        handler = self._prepare(run, run.job)
        if isinstance(handler, Outcome):
            return handler
        value = await handler.function(*((run.job,) if handler.takes_job else ()))
        check_is_done(value)
        return returned(value, self._setup["result_limit"])

    # --- the end -----------------------------------------------------------------------------------

    def _finish(self, run: SharedRun, outcome: Outcome) -> None:
        if is_forked():
            os._exit(0)  # a child that the handler has forked returned from the handler's code
        outcome = if_awaited(outcome, run.calls.error())
        if outcome.left_tasks:
            run.warn(tasks_message(outcome.left_tasks))
        self._restore_folder(run)
        if run.threads:
            _report_threads(run)
        end = end_message(outcome, wall_ms(), cause=run.cause, timeout_ms=run.timeout_ms)
        if run.close(end):
            self._on_end(run)

    def _restore_folder(self, run: SharedRun) -> None:
        """Undo a change of the working directory, which all runs of the process share."""
        folder = self._setup["cwd"]
        try:
            now = os.getcwd()
        except FileNotFoundError:
            now = "a deleted folder"
        if now == folder:
            return
        with suppress(OSError):
            os.chdir(folder)
        run.warn(
            f"the working directory was {now} at the end of this run; luad has set it back, because all "
            "runs of a shared process have the same: use absolute paths"
        )


def cancel(run: SharedRun, cause: str) -> bool:
    """Ask *run* to stop; return True if it has not begun, and never will."""
    with run.lock:
        if run.is_over or run.cause:
            return False
        run.cause = cause
        has_begun = run.started_at is not None
    if not has_begun:
        return run.close({"kind": "cancelled", "ts": wall_ms(), "error": ["Cancelled", EARLY, ""]})
    if run.root is None:
        run.interrupt.fire()
        return False
    if run.job is not None:
        mark_cancelled(run.job)
    run.root.get_loop().call_soon_threadsafe(run.root.cancel)
    return False


EARLY: Final = "the run was cancelled before its handler was called"


def task_factory(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
    **options: Any,
) -> asyncio.Future[Any]:
    """Make a task, and note it for its run."""
    task = asyncio.Task(coroutine, loop=loop, **options)
    context = options.get("context")
    run = current_run.get() if context is None else context.get(current_run)
    if run is not None:
        run.tasks.add(task)
        task.add_done_callback(run.tasks.discard)
    return task


def _report_threads(run: SharedRun) -> None:
    names = [each.name for each in run.threads if each.is_alive() and not _is_of_pool(each.name)]
    if names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        run.warn(
            f"the handler left threads running: {', '.join(names[:_NAMED])}{more}; they go on in the shared "
            "process, and what they print goes to the log of luad itself"
        )


def _is_of_pool(name: str) -> bool:
    return name.startswith(_POOLS)
