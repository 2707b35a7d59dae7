"""Rows of the store by digest, read at most twice a second.

Rule: a failed read keeps the rows of the read before.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from luad.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

T = TypeVar("T")

FRESH_S: Final = 0.5
"""The age of a read that is still used. Streams check each second, so what is revoked ends within two."""


@dataclass(slots=True)
class FreshRows(Generic[T]):
    """The rows that *read* returns by digest."""

    read: Callable[[], Awaitable[Mapping[str, T]]]
    _rows: dict[str, T] = field(default_factory=dict)
    _read_at: float | None = None
    _reading: asyncio.Task[None] | None = None

    async def get(self, digest: str) -> T | None:
        """Return the row of *digest*. Raises `StoreUnavailableError` if no read has ever succeeded."""
        await self._refresh()
        return self._rows.get(digest)

    def put(self, digest: str, row: T) -> None:
        """Replace the row of *digest* until the next read."""
        self._rows[digest] = row

    def forget(self) -> None:
        """Read all rows again before the next request: one has changed."""
        self._read_at = self._reading = None  # a read that is under way may be of before the change

    async def _refresh(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._read_at is not None and now - self._read_at < FRESH_S:
            return
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read(now), name="api-access")
        reading = self._reading
        await asyncio.shield(reading)
        if reading is not self._reading and self._read_at is None:
            await self._refresh()  # what was read was forgotten meanwhile

    async def _read(self, now: float) -> None:
        try:
            found = await self.read()
        except StoreUnavailableError:
            if self._read_at is None:
                raise
            return  # nothing can be revoked meanwhile, either; expired ones are out all the same
        if asyncio.current_task() is self._reading:
            self._rows = dict(found)
            self._read_at = now
