"""The time that one query may take.

Rule: a query looks at the budget between two portions of its work, so each portion is small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from luad.clock import elapsed_ms

BUDGET_MS: Final = 100
FIRST_PORTION: Final = 500
PORTION: Final = 8_000
"""Rows that a portion examines at most; examining a row takes about a microsecond."""


@dataclass(slots=True)
class QueryBudget:
    """The end of a query in ms of the steady clock. Portions grow: a short query then stays short."""

    ends_at: int
    portion: int = FIRST_PORTION

    @classmethod
    def begin(cls) -> QueryBudget:
        """Return a budget that begins now."""
        return cls(elapsed_ms() + BUDGET_MS)

    def is_over(self) -> bool:
        """Return whether nothing is left of it; if not, the next portion is twice as large."""
        self.portion = min(PORTION, 2 * self.portion)
        return elapsed_ms() >= self.ends_at
