"""Warnings for misspelt variables of the environment.

Rule: it compares names and reads no value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from luad.config.settings.setting_keys import VARIABLES
from luad.suggestions import close_to

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX: Final = "LUAD_"
OTHERS: Final = (
    "URL",
    "TOKEN",
    "CONFIG",
    "SHELL",
    "BOOT_ID",
    "JOB",
    "RUN",
    "RUN_ID",
    "EVENT",
    "ATTEMPT",
    "SCHEDULED_FOR",
)
"""The variables that luad reads or sets besides the settings."""


def misspelt_variables(names: Iterable[str]) -> list[str]:
    """Return a warning for each of *names* that is similar to a variable of luad."""
    known = [*(each.removeprefix(PREFIX) for each in VARIABLES), *OTHERS]
    lines = []
    for name in sorted(names):
        word = name.removeprefix(PREFIX)
        if word not in known and (near := close_to(word, known)):
            lines.append(
                f"warning: luad does not read the variable {name}; did you mean {PREFIX}{near[0]}?"
            )
    return lines
