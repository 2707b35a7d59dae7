"""Finds jobs whose user, handler module or function is missing, waiting dynamic jobs included.

Rule: a scan runs every ten seconds and after each reading of the files; `luad status` shows the last result.
It looks at the distinct handlers and users, and only at the jobs of those that are missing. A file of handlers
is read again only after a change, and never imported.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from luad.config.jobs.reserved_names import is_reserved
from luad.config.schema.locate import place_in
from luad.config.schema.violations import Mistake
from luad.config.settings.allowed_handlers import missing_function
from luad.core.job_index import Kind, in_order, key_at
from luad.core.model import Origin
from luad.daemon.recovery import PLACE
from luad.daemon.reloading import log_fields
from luad.errors import Problem, Severity
from luad.runner.module_presence import missing_module
from luad.suggestions import close_to

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from luad.core.engine import Engine
    from luad.core.model import Wanted
    from luad.daemon.user_directory import UserDirectory
    from luad.logs import Logging

_EVERY_S: Final = 10.0
_JOBS_AT_ONCE: Final = 1_000  # jobs, in about a millisecond
_MOST_LOGGED: Final = 100
_MOST_LISTED: Final = 8


class MissingReferences:
    """The users and modules that jobs of one daemon name, and that do not exist."""

    def __init__(
        self, engine: Engine, directory: UserDirectory, logs: Logging, handlers_path: Path
    ) -> None:
        self.problems: tuple[Problem, ...] = ()
        self._directory = directory
        self._engine = engine
        self._handlers_path = handlers_path
        self._logs = logs
        self._seen: set[str] = set()  # handlers whose module existed at an earlier scan
        self._requested = asyncio.Event()
        self._scanning = asyncio.Lock()

    def request(self) -> None:
        """Ask for a scan soon, because files or users have changed."""
        self._requested.set()

    async def run(self) -> None:
        """Scan again and again, until cancelled."""
        while True:
            await self.look()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._requested.wait(), _EVERY_S)
            self._requested.clear()

    async def look(self) -> None:
        """Scan once, and log the problems that the previous scan did not find."""
        async with self._scanning:
            await self._look()

    async def _look(self) -> None:
        handlers = {*self._values(Kind.HANDLER, False), *self._values(Kind.HANDLER, True)}
        users = {*self._values(Kind.USER, True), *self._values(Kind.ALERTED, True)}
        known = self._directory.ids()
        (modules, functions), unknown = await asyncio.to_thread(
            lambda: (
                self._missing(sorted(handlers)),
                sorted(user for user in users if user not in known),
            )
        )
        self._seen = (self._seen | handlers) - modules.keys() | (self._seen & modules.keys())
        names = (*sorted(modules)[:_MOST_LOGGED], *sorted(functions)[:_MOST_LOGGED])
        groups = {name: await self._jobs([Kind.HANDLER], name, [False, True]) for name in names}
        found = await asyncio.to_thread(self._of_handlers, groups, modules, functions)
        for user in unknown[:_MOST_LOGGED]:
            # Unknown users of static jobs are problems of the files.
            jobs = await self._jobs([Kind.USER, Kind.ALERTED], user, [True])
            if jobs.count:
                found.append(_no_user(user, jobs, self._directory.ids_near(user)))
        before, self.problems = self.problems, tuple(found[:_MOST_LOGGED])
        for problem in self.problems:
            if problem not in before:
                self._logs.emit("warning", "config.problem", log_fields(problem))

    async def of_files(self, wanted: Iterable[Wanted]) -> list[Problem]:
        """Return what a scan would find if *wanted*, jobs of files, were in force."""
        groups: dict[str, _Jobs] = {}
        for each in wanted:
            groups.setdefault(each.job.handler, _Jobs()).add(each.job.name, each.origin)
        return await asyncio.to_thread(
            lambda: self._of_handlers(groups, *self._missing(sorted(groups)))
        )

    def _of_handlers(
        self,
        groups: Mapping[str, _Jobs],
        modules: Mapping[str, str],
        functions: Mapping[str, tuple[str, ...]],
    ) -> list[Problem]:
        """Return the problems of the jobs in *groups*, by handler. Reads their files, so it runs in a thread."""
        found = []
        for name, jobs in groups.items():
            if jobs.count and name in modules:
                found.append(_no_module(name, modules[name], jobs, was_there=name in self._seen))
            elif jobs.count and name in functions:
                found.append(_no_function(name, functions[name], jobs))
        return [_at_handler(each) for each in found[:_MOST_LOGGED]]

    def _values(self, kind: Kind, is_dynamic: bool) -> Collection[str]:
        return self._engine.index.values(kind, is_dynamic=is_dynamic)

    async def _jobs(self, kinds: Sequence[Kind], value: str, sides: Sequence[bool]) -> _Jobs:
        """Return the jobs that have *value*, without those that are over: they start no run."""
        found, entries = _Jobs(), self._engine.entries
        for is_dynamic in sides:
            after: str | None = ""
            while after is not None:
                groups = [
                    group
                    for kind in kinds
                    for group in self._engine.index.groups(
                        is_dynamic=is_dynamic, kind=kind, values=[value]
                    )
                ]
                places = list(islice(in_order(groups, after), _JOBS_AT_ONCE))
                after = places[-1] if len(places) == _JOBS_AT_ONCE else None
                for place in places:
                    entry = entries[key_at(place)]
                    if not entry.makes_room:
                        found.add(entry.key, entry.wanted.origin)
                if after is not None:
                    await asyncio.sleep(0)
        return found

    def _missing(
        self, handlers: Sequence[str]
    ) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
        """Return the missing module of handlers, and for others without a function those that exist."""
        roots = [str(self._handlers_path)]
        modules, functions = {}, {}
        for handler in handlers:
            if module := missing_module(handler, roots):
                modules[handler] = module
            elif not is_reserved(handler.partition(":")[0].partition(".")[0]):
                listed = missing_function(handler, self._handlers_path)
                if listed is not None:
                    functions[handler] = listed
        return modules, functions


class _Jobs:
    """A group of jobs: their number, and one example, which is from a file if any job is."""

    def __init__(self) -> None:
        self.count = 0
        self.name = ""
        self.origin: Origin | None = None

    def add(self, name: str, origin: Origin | None) -> None:
        if not self.count or (self.origin is None and origin is not None):
            self.name, self.origin = name, origin
        self.count += 1

    def __str__(self) -> str:
        if self.count == 1:
            return f"the job `{self.name}`"
        return f"{self.count} jobs (one is `{self.name}`)"

    def problem(self, code: str, message: str, hint: str) -> Problem:
        path, line = (self.origin.path, self.origin.line) if self.origin else (PLACE, 0)
        column = 1 if line else 0
        return Problem(path, line, column, code, message, hint, Severity.WARNING, job=self.name)


def _at_handler(problem: Problem) -> Problem:
    """Return *problem* placed at the key `handler` of its job, if the file can be read and has it."""
    if not problem.line:
        return problem
    origin = Origin(problem.path, problem.line)
    mistake = Mistake(("handler",), problem.code, problem.message)
    try:
        data = Path(problem.path).read_bytes()
    except OSError:
        return problem
    (placed,) = place_in([mistake], origin, data)
    return replace(
        problem,
        line=placed.line,
        column=placed.column,
        end_line=placed.end_line,
        end_column=placed.end_column,
        pointer=placed.pointer,
        excerpt=placed.excerpt,
    )


def _no_module(handler: str, module: str, jobs: _Jobs, *, was_there: bool) -> Problem:
    if jobs.origin is not None and not was_there:  # in the words of `luad check`
        message = f"the module `{module}` does not exist; {jobs} cannot run `{handler}`"
        hint = "put it into the folder of handlers_path, or change the job's `handler`"
        if ":" not in handler:
            message = f"no installed package has the entry point `{handler}`; {jobs} cannot run"
            hint = "write package.module:function"
        return jobs.problem("LU304", message, hint)
    message = f"the module `{module}` is gone; {jobs} cannot run `{handler}`"
    if ":" not in handler:
        message = f"no installed package has the entry point `{handler}`; {jobs} cannot run"
    hint = "put the module back into the folder of handlers_path, or change the job's `handler`"
    if jobs.origin is None:
        hint = f"put the module back into the folder of handlers_path, or  luad delete {jobs.name}"
    return jobs.problem("LU512", message, hint)


def _no_function(handler: str, listed: Sequence[str], jobs: _Jobs) -> Problem:
    """Return the problem in the words of `luad check`, which imports the module."""
    module, _, function = handler.partition(":")
    message = f"`{module}` has no function `{function}`; {jobs} cannot run"
    near = close_to(function, listed)
    some = ", ".join(f"`{each}`" for each in listed[:_MOST_LISTED])
    hint = f"it has {some}" if some else "it has no public function"
    return jobs.problem("LU301", message, f"did you mean `{near[0]}`?" if near else hint)


def _no_user(user: str, jobs: _Jobs, near_ids: Sequence[str]) -> Problem:
    verb = "waits" if jobs.count == 1 else "wait"
    message = f"{jobs} {verb} for `{user}`, a user that does not exist"
    near = close_to(user, near_ids)
    hint = f"did you mean `{near[0]}`?" if near else f"add users.d/{user}.yaml"
    return jobs.problem("LU404", message, f"{hint}; or  luad delete {jobs.name}")
