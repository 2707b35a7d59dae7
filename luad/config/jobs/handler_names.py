"""Problems with the names of handler files: reserved names, and names of packages.

Rule: lists the folder of handlers; imports nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from luad.config.jobs.reserved_names import is_reserved, module_names, reserved_files
from luad.errors import Problem, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from luad.config.jobs.reserved_names import Reserved
    from luad.core.model import Wanted


def reserved_handlers(wanted: Mapping[str, Wanted], folder: Path) -> tuple[Problem, ...]:
    """Return a problem for each job whose handler is in a file that luad never imports."""
    reserved = {each.name: each for each in reserved_files(folder)}
    if not reserved:
        return ()
    found = []
    for each in wanted.values():
        module, colon, function = each.job.handler.partition(":")
        top, dot, rest = module.partition(".")
        if not colon or top not in reserved or each.origin is None:
            continue
        file = reserved[top]
        origin = each.origin
        new = f"{file.new_name}{dot}{rest}:{function}"
        help_text = f"{_rename(file)}, and write  handler: {new}"
        message = file.message
        found.append(
            Problem(origin.path, origin.line, 1, "LU310", message, help_text, job=each.job.name)
        )
    return tuple(found)


def file_problems(folder: Path, hidden: Mapping[str, str]) -> Iterator[Problem]:
    """Yield a warning for each file of *folder* that luad never imports, or that hides a package.

    *hidden* has the places of installed packages of the same names.
    """
    for each in reserved_files(folder):
        yield Problem(each.path, 0, 0, "LU311", each.message, _rename(each), Severity.WARNING)
    for name, path in sorted(module_names(folder).items()):
        is_itself = Path(hidden.get(name, "")).is_relative_to(folder.resolve())
        if name in hidden and not is_itself and not is_reserved(name):
            message = f"{path} hides the installed package `{name}` ({hidden[name]})"
            help_text = (
                "rename the file, unless runs are meant to import it in place of the package"
            )
            yield Problem(path, 0, 0, "LU312", message, help_text, Severity.WARNING)


def _rename(file: Reserved) -> str:
    return f"rename it to {file.new_path}"
