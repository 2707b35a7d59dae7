"""The warnings that only `luad check --strict` gives.

Rule: the daemon gives none of them, because the author of the file chose these values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luad.config.schema.locate import place_in
from luad.config.schema.violations import Mistake

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from luad.core.model import Wanted
    from luad.errors import Problem
    from luad.watcher import FileVersion


def strict_problems(
    wanted: Iterable[Wanted], files: Mapping[str, FileVersion]
) -> Iterator[Problem]:
    """Yield a warning for each job without a time limit."""
    for each in wanted:
        if each.job.timeout_ms is not None or each.origin is None:
            continue
        data = files[each.origin.path].data
        message = "`timeout: none`: a run that hangs is never ended"
        hint = "write how long a run may take, such as  timeout: 36h"
        mistake = Mistake(("timeout",), "LU513", message, hint, is_warning=True)
        yield from place_in([mistake], each.origin, data, each.job.name)
