"""Problems for handlers that cannot be imported or called, at their place in the job file.

Rule: a process of `runner.import_check` imports the handlers; this process does not.
"""

from __future__ import annotations

import json
import os
import pathlib
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from luad.cli.terminal.failure import CommandError
from luad.config.schema.locate import place_in
from luad.config.schema.violations import Mistake
from luad.config.settings.daemon_settings import working_directory
from luad.config.yaml.text import one_line
from luad.daemon.ownership import permits_insecure
from luad.runner.handler_params import SHIPPED
from luad.runner.import_check import ImportProblem, check_handlers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from luad.config.settings.daemon_settings import Settings
    from luad.config.yaml.marks import Path
    from luad.core.model import JSON, Origin, Wanted
    from luad.errors import Problem
    from luad.runner.handler_params import MetadataMistake
    from luad.runner.import_check import Checked
    from luad.watcher import FileVersion


class _Use(NamedTuple):
    """A job that names a handler. Other parts of its file may be broken."""

    handler: str
    metadata: JSON
    job: str
    origin: Origin


def handler_problems(
    chosen: Settings, wanted: Iterable[Wanted], files: Mapping[str, FileVersion]
) -> tuple[Problem, ...]:
    """Return the problems that the import of the handlers of the *wanted* jobs finds.

    A module that another user may write is not imported. That is a warning, because the daemon of another
    user may trust it. Raises `CommandError` if the process for the import cannot start.
    """
    uses = [
        _Use(each.job.handler, each.job.metadata, each.job.name, each.origin)
        for each in wanted
        if each.origin is not None
    ]
    names = sorted({each.handler for each in uses})
    if not names:
        return ()
    metadata = {
        name: _distinct(each.metadata for each in uses if each.handler == name) for name in names
    }
    folder = working_directory(chosen)
    try:
        checked = check_handlers(
            names,
            handlers_path=[chosen.handlers_path],
            pass_env=chosen.pass_env,
            cwd=folder if folder.is_dir() else None,
            metadata={key: list(each.values()) for key, each in metadata.items()},
            permit_insecure=permits_insecure(chosen),
        )
    except OSError as error:
        raise CommandError(
            f"the handlers cannot be imported for the check: {error.strerror or error}",
            hint="--no-import omits them",
        ) from error
    return tuple(_problems(uses, checked, metadata, files))


def _distinct(metadata: Iterable[JSON]) -> dict[str, JSON]:
    """Return the distinct values by their JSON; many jobs of a handler may share one."""
    return {_key(each): each for each in metadata}


def _key(metadata: JSON) -> str:
    return json.dumps(dict(metadata), sort_keys=True, default=dict)


def _problems(
    uses: Iterable[_Use],
    checked: Mapping[str, Checked],
    metadata: Mapping[str, Mapping[str, JSON]],
    files: Mapping[str, FileVersion],
) -> Iterator[Problem]:
    for each in uses:
        found = checked[each.handler]
        mistakes: list[Mistake] = []
        if isinstance(found, ImportProblem):
            mistakes.append(_mistake(each.handler, found))
        elif found.mistakes:
            index = list(metadata[each.handler]).index(_key(each.metadata))
            mistakes.extend(_about_metadata(one, each) for one in found.mistakes[index])
        if mistakes:
            data = files[each.origin.path].data
            located = place_in(mistakes, each.origin, data, each.job)
            if isinstance(found, ImportProblem) and found.code == "LU306":
                # A shortened command would be another command.
                whole = one_line(found.help, len(found.help) + 1)
                located = tuple(replace(one, help=whole) for one in located)
            yield from located


def _about_metadata(found: MetadataMistake, use: _Use) -> Mistake:
    """Return the mistake; a missing key is shown at `metadata`, or at the handler without metadata."""
    path: Path = ("metadata", *found.path)
    if found.is_missing or not found.path:
        path = path[:-1] if found.is_missing else path
        if not use.metadata:
            return Mistake(("handler",), "LU110", found.message, found.help)
    is_key = found.is_key or found.is_missing
    is_warning = found.is_guess and not use.handler.startswith(SHIPPED)
    return Mistake(path, "LU110", found.message, found.help, is_key=is_key, is_warning=is_warning)


def _mistake(handler: str, found: ImportProblem) -> Mistake:
    """Return the mistake: it underlines the wrong half of the handler and names the user's line."""
    module_end = handler.find(":") if ":" in handler else len(handler)
    is_function = found.code in {"LU301", "LU303"} and module_end < len(handler)
    within = (module_end + 1, len(handler)) if is_function else (0, module_end)
    where = f"{_shown(found.place)}  {found.source}".rstrip() if found.place else ""
    parts = [found.help, f"({where})" if found.help and where else where]
    text = "  ".join(part for part in parts if part)
    is_warning = found.code == "LU306"
    message = found.message
    if found.code in {"LU304", "LU310"}:  # LU306 has commands, which must work in any directory
        message, text = _from_here(message), _from_here(text)
    return Mistake(("handler",), found.code, message, text, within=within, is_warning=is_warning)


def _from_here(text: str) -> str:
    """Return *text* with the paths below the working directory relative to it."""
    return text.replace(f"{pathlib.Path.cwd()}{os.sep}", "")


def _shown(place: str) -> str:
    """Return a place in a file, relative to the working directory if it is below that."""
    path, _, line = place.rpartition(":")
    if not os.path.isabs(path):  # noqa: PTH117 - `<string>` is not a path
        return place
    near = os.path.relpath(path)
    return place if near.startswith("..") else f"{pathlib.Path(near)}:{line}"
