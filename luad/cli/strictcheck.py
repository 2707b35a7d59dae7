"""Told by `luad check --strict` alone: what a job asks for on purpose, and a reader should know.

Room rule: the daemon says none of it, because the author has written it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from luad.cli.handlercheck import document_of
from luad.config.check import Mistake
from luad.config.locate import locate
from luad.config.marks import read_marks
from luad.config.problems import with_excerpts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from luad.core.model import Wanted
    from luad.errors import Problem
    from luad.watcher import FileVersion


def strict_problems(
    wanted: Mapping[str, Wanted], files: Mapping[str, FileVersion]
) -> Iterator[Problem]:
    """Yield a warning for each job without a time limit."""
    for name, each in wanted.items():
        if each.job.timeout_ms is not None or each.origin is None:
            continue
        data = files[each.origin.path].data
        document = document_of(each.origin, data)
        message = "`timeout: none`: a run that hangs is never ended"
        hint = "write how long a run may take, such as  timeout: 36h"
        mistake = Mistake(("timeout",), "LU513", message, hint, is_warning=True)
        problem = replace(locate(mistake, document, read_marks(document)), job=name)
        yield from with_excerpts([problem], data)
