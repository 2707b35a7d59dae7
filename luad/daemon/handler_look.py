"""Looks at one handler: whether it can be called, and the parameters that it declares.

Rule: a process of `runner.import_check` imports it, one at a time and within a time limit; this process does not.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from luad.config.settings.daemon_settings import working_directory
from luad.daemon.ownership import permits_insecure
from luad.errors import UnavailableError
from luad.runner.import_check import check_handlers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from luad.config.settings.daemon_settings import Settings
    from luad.runner.import_check import Checked

LONGEST_S: Final = 5.0
MOST_WAITING: Final = 8


@dataclass(slots=True)
class HandlerLook:
    """Implements `luad.api.service.Handlers`. The fields are those of runs."""

    handlers_path: Sequence[Path] = ()
    pass_env: Sequence[str] = ()
    cwd: Path | None = None
    is_permissive: bool = False
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)
    _waiting: int = 0

    @classmethod
    def of(cls, settings: Settings) -> HandlerLook:
        """Return the look with the environment of the runs of a daemon."""
        folder = working_directory(settings)
        return cls(
            [settings.handlers_path],
            settings.pass_env,
            folder if folder.is_dir() else None,
            permits_insecure(settings),
        )

    async def look(self, handler: str) -> Checked:
        """Return what an import of *handler* finds. Raises `UnavailableError`."""
        if self._waiting >= MOST_WAITING:
            raise UnavailableError(f"luad already imports {MOST_WAITING} handlers for clients")
        self._waiting += 1
        try:
            async with self._one:
                return await asyncio.to_thread(self._check, handler)
        except OSError as error:
            raise UnavailableError(
                f"luad cannot start a process that imports the handler: {error.strerror or error}"
            ) from error
        finally:
            self._waiting -= 1

    def _check(self, handler: str) -> Checked:
        return check_handlers(
            [handler],
            handlers_path=self.handlers_path,
            timeout_s=LONGEST_S,
            permit_insecure=self.is_permissive,
            pass_env=self.pass_env,
            cwd=self.cwd,
        )[handler]
