"""Finds the row or the shard that makes turns fail, so that all others go on.

Rule: pure. A whole turn that fails twice is cut into shards, a shard that fails alone into rows; a row that fails alone
is set aside, and a shard that fails without a row is given up for a minute.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

GIVEN_UP_MS: Final = 60_000
"""So long a node leaves a shard alone that it can neither read nor turn."""

_WHOLE_TURNS: Final = 2
_ONE_ROW: Final = 1


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of what is to be turned: these shards, with so many rows. None: as many as a turn takes."""

    shards: tuple[int, ...]
    most_rows: int | None = None


class Isolation:
    """The shards of one node that are turned apart from the others, and those that are given up."""

    def __init__(self) -> None:
        self._failures = 0
        self._alone: dict[int, int | None] = {}
        self._given_up: dict[int, int] = {}

    def given_up(self, elapsed: int) -> frozenset[int]:
        """Return the shards that the node does not take at *elapsed*."""
        self._given_up = {
            shard: until for shard, until in self._given_up.items() if until > elapsed
        }
        return frozenset(self._given_up)

    def cuts(self, shards: Iterable[int]) -> list[Cut]:
        """Return the turns that take *shards*."""
        together = tuple(shard for shard in shards if shard not in self._alone)
        alone = [Cut((shard,), self._alone[shard]) for shard in shards if shard in self._alone]
        return [*([Cut(together)] if together else []), *alone]

    def succeeded(self, cut: Cut, row_count: int) -> None:
        """Note a turn that was committed."""
        self._failures = 0
        if len(cut.shards) == 1 and not row_count:
            self._alone.pop(cut.shards[0], None)

    def failed(self, cut: Cut, seqs: Collection[int], elapsed: int) -> int | None:
        """Note a turn that failed although the connection was good.

        *seqs*: the rows that it had taken. Returns the row to set aside, if one failed alone.
        """
        if len(cut.shards) > 1 or cut.shards[0] not in self._alone:
            self._failures += 1
            if self._failures >= _WHOLE_TURNS:
                self._failures = 0
                self._alone |= dict.fromkeys(cut.shards)
            return None
        shard = cut.shards[0]
        if not seqs:
            self.give_up(shard, elapsed)
            return None
        self._alone[shard] = _ONE_ROW
        return next(iter(seqs)) if cut.most_rows == _ONE_ROW else None

    def give_up(self, shard: int, elapsed: int) -> None:
        """Leave *shard* alone for a while."""
        self._alone.pop(shard, None)
        self._given_up[shard] = elapsed + GIVEN_UP_MS
