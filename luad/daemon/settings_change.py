"""A warning for a `luad.yaml` that has changed since the daemon started.

Rule: the settings in force do not change while the daemon runs, so a change has to be said.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from luad.config.settings.daemon_settings import check_settings
from luad.errors import Problem, Severity

if TYPE_CHECKING:
    from luad.config.settings.daemon_settings import SettingsFile


def settings_change(started_with: SettingsFile | None) -> tuple[Problem, ...]:
    """Return a warning if the settings file differs from the one that the daemon *started_with*."""
    if started_with is None:
        return ()
    path = started_with.path
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        return (_warning(path, f"cannot be read any more: {error.strerror}", "put it back"),)
    if data == started_with.data:
        return ()
    _, found = check_settings(type(started_with)(path, data))
    if any(each.severity is Severity.ERROR for each in found):
        why = "has changed and has an error, so luad would not start again"
        return (_warning(path, why, f"luad check {path}"),)
    why = "has changed; the settings of the start stay in force"
    return (_warning(path, why, "restart luad"),)


def _warning(path: str, why: str, remedy: str) -> Problem:
    return Problem(path, 0, 0, "LU514", f"`luad.yaml` {why}", remedy, Severity.WARNING)
