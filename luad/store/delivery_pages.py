"""Pages of deliveries, of all users, newest first.

Rule: a page is a walk along an index of instants, and ends with its budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, Select, select, text, tuple_

from luad.core.messaging import DeliveryState
from luad.core.model import Instant
from luad.cursors import make_cursor, read_cursor
from luad.errors import UsageError
from luad.store.columns import to_int, to_text
from luad.store.query_budget import QueryBudget
from luad.store.tables import deliveries, messages

_LOOKED_AT: Final = 100
_FAILED: Final = frozenset({DeliveryState.FAILED})
_PLACE: Final = (deliveries.c.started_at, deliveries.c.message_id, deliveries.c.channel)


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """A filter for deliveries; an empty field excludes nothing. *since*: inclusive, of their starts."""

    states: frozenset[DeliveryState] = frozenset()
    channel: str | None = None
    user: str | None = None
    since: Instant | None = None


class DeliveryRow(NamedTuple):
    """A delivery, and what its message is about."""

    message_id: str
    user: str
    channel: str
    state: DeliveryState
    started_at: Instant
    ended_at: Instant | None
    error: str
    answer: str
    is_degraded: bool
    title: str
    job: str | None
    run_id: str | None


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """A page of deliveries. *is_complete*: False if the time was over; *cursor* then continues."""

    rows: list[DeliveryRow]
    cursor: str | None = None
    is_complete: bool = True


def page(
    connection: Connection,
    wanted: DeliveryFilter,
    limit: int,
    cursor: str | None,
    budget: QueryBudget,
) -> DeliveryPage:
    """Return up to *limit* deliveries, newest first. Raises UsageError for a text that is not a cursor."""
    found: list[DeliveryRow] = []
    rows = connection.execute(_walk(wanted, cursor)).yield_per(_LOOKED_AT)
    for number, row in enumerate(rows, 1):
        if _fits(wanted, row):
            found.append(_read(row))
        if len(found) > limit:
            rows.close()
            last = found[limit - 1]
            return DeliveryPage(
                found[:limit], _cursor(last.started_at, last.message_id, last.channel)
            )
        if number % _LOOKED_AT == 0 and budget.is_over():
            rows.close()
            end = _cursor(row.started_at, row.message_id, row.channel)
            return DeliveryPage(found, end, is_complete=False)
    return DeliveryPage(found)


def _cursor(at: Instant, message_id: str, channel: str) -> str:
    return make_cursor((at, message_id, channel))


def _walk(wanted: DeliveryFilter, cursor: str | None) -> Select[Any]:
    about = (messages.c.user_id, messages.c.title, messages.c.job_name, messages.c.run_id)
    query = (
        select(deliveries, *about)
        .join(messages, messages.c.id == deliveries.c.message_id)
        .order_by(*(each.desc() for each in _PLACE))
    )
    index = "deliveries_by_time"
    if wanted.states == _FAILED:
        index = "deliveries_failed"
        query = query.where(text("state = 'failed'"))  # word for word the index's own condition
    query = query.with_hint(deliveries, f"INDEXED BY {index}", "sqlite")
    if wanted.since is not None:
        query = query.where(deliveries.c.started_at >= to_int(wanted.since))
    if cursor is not None:
        place = read_cursor(cursor)
        if list(map(type, place)) != [int, str, str]:
            raise UsageError("this is not a cursor of this list", hint="take it from `next_cursor`")
        query = query.where(deliveries.c.started_at <= place[0], tuple_(*_PLACE) < tuple_(*place))
    return query


def _fits(wanted: DeliveryFilter, row: Row[Any]) -> bool:
    return (
        (not wanted.states or DeliveryState(row.state) in wanted.states)
        and (wanted.channel is None or row.channel == to_text(wanted.channel))
        and (wanted.user is None or row.user_id == to_text(wanted.user))
    )


def _read(row: Row[Any]) -> DeliveryRow:
    return DeliveryRow(
        row.message_id,
        row.user_id,
        row.channel,
        DeliveryState(row.state),
        row.started_at,
        row.ended_at,
        row.error,
        row.answer,
        bool(row.is_degraded),
        row.title,
        row.job_name,
        row.run_id,
    )
