"""Handlers that cannot be imported or called, as problems at their place in the job file.

Room rule: the import itself happens in a process of `runner.imports`; this one only says where.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from luad.cli.failure import CommandError
from luad.config.check import Mistake
from luad.config.locate import locate
from luad.config.marks import read_marks
from luad.config.problems import with_excerpts
from luad.config.yaml import Limits, parse_yaml
from luad.runner.imports import ImportProblem, check_handlers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from luad.config.settings import Settings
    from luad.config.yaml import Document
    from luad.core.model import Origin, Wanted
    from luad.errors import Problem
    from luad.watcher import FileVersion


def handler_problems(
    chosen: Settings, wanted: Mapping[str, Wanted], files: Mapping[str, FileVersion]
) -> tuple[Problem, ...]:
    """Import the handlers of all *wanted* jobs; return what is wrong with them.

    Raises `CommandError` when no process can be started for it.
    """
    names = sorted({each.job.handler for each in wanted.values()})
    if not names:
        return ()
    try:
        checked = check_handlers(names, handlers_path=[chosen.handlers_path])
    except OSError as error:
        raise CommandError(
            f"the handlers cannot be imported for a look: {error.strerror or error}",
            hint="--no-import leaves them out",
        ) from error
    bad = {name: each for name, each in checked.items() if isinstance(each, ImportProblem)}
    return tuple(_problems(wanted.values(), bad, files))


def _problems(
    wanted: Iterable[Wanted], bad: Mapping[str, ImportProblem], files: Mapping[str, FileVersion]
) -> Iterator[Problem]:
    for each in wanted:
        found = bad.get(each.job.handler)
        if found is None or each.origin is None:
            continue
        data = files[each.origin.path].data
        document = document_of(each.origin, data)
        problem = locate(_mistake(each.job.handler, found), document, read_marks(document))
        yield from with_excerpts([replace(problem, job=each.job.name)], data)


def document_of(origin: Origin, data: bytes) -> Document:
    """Return the YAML document of *data* that begins where *origin* says."""
    limits = Limits(max_bytes=len(data) + 1)
    documents = parse_yaml(data, origin.path, limits)
    return next(each for each in documents if each.line == origin.line)


def _mistake(handler: str, found: ImportProblem) -> Mistake:
    """Underline the half of the handler that is wrong, and name the user's own line."""
    module_end = handler.find(":") if ":" in handler else len(handler)
    is_function = found.code in {"LU301", "LU303"} and module_end < len(handler)
    within = (module_end + 1, len(handler)) if is_function else (0, module_end)
    where = f"{_shown(found.place)}  {found.source}".rstrip() if found.place else ""
    parts = [found.help, f"({where})" if found.help and where else where]
    text = "  ".join(part for part in parts if part)
    return Mistake(("handler",), found.code, found.message, text, within=within)


def _shown(place: str) -> str:
    """A place in a file, from here where that is shorter."""
    path, _, line = place.rpartition(":")
    if not os.path.isabs(path):  # noqa: PTH117 - `<string>` is no path at all
        return place
    near = os.path.relpath(path)
    return place if near.startswith("..") else f"{Path(near)}:{line}"
