"""Pages of the history, each from one snapshot.

Pages are bounded walks along an index: the cost of a page depends on its length, not on the number of rows.
A filter for which rows must be read is applied to one portion of the history after the other, until the page
is full or the budget is over.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, func, null, select

from luad.cursors import make_cursor, read_row_cursor
from luad.store.columns import read_run
from luad.store.query_budget import PORTION, QueryBudget
from luad.store.query_types import RunFilter, RunPage, RunRow
from luad.store.run_filters import (
    NEWEST,
    Place,
    Walk,
    before,
    bounds,
    from_on,
    job_ids_of,
    sieve,
    walks_of,
)
from luad.store.tables import runs

_LONG: Final = {
    "metadata": ("metadata_json",),
    "result": ("result_json",),
    "error": ("error_type", "error_message"),
    "traceback": ("error_traceback",),
}
"""Columns that may be long, by the member of a run that they hold."""


def page(
    connection: Connection, wanted: RunFilter, limit: int, cursor: str | None, offset: int = 0
) -> tuple[list[RunRow], str | None]:
    """Return up to *limit* rows, newest first, and the cursor of the next page, if there is one.

    It skips *offset* rows first, and has no budget. Raises UsageError for a text that is not a cursor.
    """
    found = search(connection, wanted, limit, cursor, offset)
    return found.rows, found.cursor


def search(
    connection: Connection,
    wanted: RunFilter,
    limit: int,
    cursor: str | None,
    offset: int = 0,
    without: Collection[str] = (),
    budget: QueryBudget | None = None,
) -> RunPage:
    """Return a page as `page` does, but not more of it than *budget* permits.

    It does not read the columns *without*, keys of `_LONG`.
    """
    assert limit > 0
    search = _Search(connection, wanted, None if cursor is None else read_row_cursor(cursor))
    columns, last = _columns(without), offset + limit
    found: list[Row[Any]] = []

    def look(part: list[ColumnElement[bool]]) -> bool:
        some: list[Row[Any]] = []
        for walk in search.walks:
            query = walk.of(select(*columns).select_from(runs).where(*part))
            some += connection.execute(query.order_by(*NEWEST).limit(last + 1 - len(found)))
        found.extend(sorted(some, key=_place, reverse=True))
        return len(found) > last

    stopped_at = search.run(look, budget)
    rows = [read_run(row) for row in found[offset:last]]
    if len(found) > last:
        return RunPage(rows, make_cursor(_place(found[last - 1])))
    return RunPage(
        rows, None if stopped_at is None else make_cursor(stopped_at), stopped_at is None
    )


def newest_ids(connection: Connection, wanted: RunFilter, most: int) -> list[str]:
    """Return the ids of the newest *most* rows that match *wanted*, newest first."""
    search = _Search(connection, wanted, None)
    found: list[Row[Any]] = []

    def look(part: list[ColumnElement[bool]]) -> bool:
        some: list[Row[Any]] = []
        for walk in search.walks:
            query = walk.of(select(runs.c.claimed_at, runs.c.id).where(*part))
            some += connection.execute(query.order_by(*NEWEST).limit(most - len(found)))
        found.extend(sorted(some, key=_place, reverse=True))
        return len(found) >= most

    search.run(look, None)
    return [row.id for row in found[:most]]


def count_rows(
    connection: Connection, wanted: RunFilter, most: int, budget: QueryBudget | None = None
) -> tuple[int, bool]:
    """Return the number of rows that match *wanted*, at most *most*, and whether it is all of them.

    With a *budget*, it counts not more rows than the budget permits.
    """
    search, count = _Search(connection, wanted, None), 0

    def look(part: list[ColumnElement[bool]]) -> bool:
        nonlocal count
        for walk in search.walks:
            query = walk.of(select(runs.c.id).where(*part)).limit(most - count).subquery()
            count += int(connection.execute(select(func.count()).select_from(query)).scalar_one())
        return count >= most

    stopped_at = search.run(look, budget)
    return count, stopped_at is None and count < most


@dataclass(slots=True)
class _Search:
    """A walk through the rows of a filter, newest first, in portions. *place*: where it begins."""

    connection: Connection
    wanted: RunFilter
    place: Place | None
    walks: list[Walk]
    filters: list[ColumnElement[bool]]

    def __init__(self, connection: Connection, wanted: RunFilter, place: Place | None) -> None:
        self.connection, self.wanted, self.place = connection, wanted, place
        job_ids = job_ids_of(connection, wanted)
        self.walks = walks_of(wanted, job_ids)
        self.filters = sieve(wanted, job_ids, self.walks)

    def run(
        self, look: Callable[[list[ColumnElement[bool]]], bool], budget: QueryBudget | None
    ) -> Place | None:
        """Call *look* with the conditions of each portion until it returns True.

        Return the place at which the budget was over; None otherwise.
        """
        is_cheap = not self.filters or any(not walk.index for walk in self.walks)
        while True:
            portion = budget.portion if budget else PORTION
            end = None if is_cheap else self._end_of(portion)
            part = [*bounds(self.wanted), *self.filters]
            part += [] if self.place is None else [before(self.place)]
            if look([*part, from_on(end)] if end else part) or end is None:
                return None
            self.place = end
            if budget is not None and budget.is_over():
                return end

    def _end_of(self, portion: int) -> Place | None:
        """Return the place at which each walk has at most *portion* rows; None at the end of all."""
        conditions = list(bounds(self.wanted))
        conditions += [] if self.place is None else [before(self.place)]
        ends: list[Place] = []
        for walk in self.walks:
            query = walk.of(select(runs.c.claimed_at, runs.c.id).where(*conditions))
            row = self.connection.execute(query.order_by(*NEWEST).limit(1).offset(portion)).first()
            ends += [] if row is None else [_place(row)]
        return max(ends, default=None)


def _place(row: Row[*tuple[Any, ...]]) -> Place:
    return row.claimed_at, row.id


def _columns(without: Collection[str]) -> list[ColumnElement[Any]]:
    left_out = {name for key in without for name in _LONG[key]}
    return [null().label(each.name) if each.name in left_out else each for each in runs.c]
