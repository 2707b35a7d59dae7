"""The conditions of a filter for runs, and the walks along indexes that find its rows.

For a filter with several values, each value is a walk of its own, and the walks are merged.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    exists,
    literal_column,
    not_,
    or_,
    select,
    text,
    tuple_,
)

from luad.core.messaging import DeliveryState
from luad.core.model import OPEN_STATES, Trigger
from luad.store.dialects import contains, tags_in
from luad.store.query_types import RunFilter
from luad.store.tables import deliveries, jobs, messages, revisions, runs

NEWEST: Final = (runs.c.claimed_at.desc(), runs.c.id.desc())
_WALKS: Final = 32  # above this number of walks, a sort is cheaper
_OPEN: Final = sorted(state.value for state in OPEN_STATES)
_failed_to_send: Final = (
    select(messages.c.run_id)
    .join(deliveries, deliveries.c.message_id == messages.c.id)
    .where(messages.c.run_id.is_not(None), deliveries.c.state == DeliveryState.FAILED.value)
)
_tag: Final = tags_in(jobs.c.definition_json).table_valued("value", name="tag")
_tag_of_job: Final = exists(select(1).select_from(jobs.join(_tag, text("1 = 1")))).where(
    jobs.c.job_id == runs.c.job_id
)


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk along an index, newest first. *index*: its name; empty if the database chooses one."""

    index: str
    condition: ColumnElement[bool]

    def of(self, query: Select[Any]) -> Select[Any]:
        """Return *query* along this walk."""
        query = query.where(self.condition)
        return query.with_hint(runs, f"INDEXED BY {self.index}", "sqlite") if self.index else query


_ALL: Final = Walk("runs_by_time", literal_column("1") == literal_column("1"))

Place = tuple[int, str]
"""The instant and the id of a row."""


def before(place: Place) -> ColumnElement[bool]:
    """Return the condition for rows older than *place*."""
    # The first condition enters the index; the second one decides between equal instants.
    older = tuple_(runs.c.claimed_at, runs.c.id) < tuple_(*place)
    return and_(runs.c.claimed_at <= place[0], older)


def from_on(place: Place) -> ColumnElement[bool]:
    """Return the condition for the row at *place* and newer ones."""
    newer = tuple_(runs.c.claimed_at, runs.c.id) >= tuple_(*place)
    return and_(runs.c.claimed_at >= place[0], newer)


def bounds(wanted: RunFilter) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions on the time, which every walk enters its index with."""
    if wanted.since is not None:
        yield runs.c.claimed_at >= wanted.since
    if wanted.until is not None:
        yield runs.c.claimed_at < wanted.until


def sieve(
    wanted: RunFilter, job_ids: Collection[str] | None, walks: Sequence[Walk]
) -> list[ColumnElement[bool]]:
    """Return the conditions that *walks* do not fulfil by themselves: rows must be read to check them."""
    found = [*_of_states(wanted, walks), *_of_jobs(wanted), *_of_messages(wanted, walks)]
    if job_ids is not None and len(job_ids) > _WALKS:
        found.append(runs.c.job_id.in_(job_ids))
    if wanted.triggers and not _has(walks, "runs_by_rare_trigger"):
        found.append(runs.c.trigger.in_(sorted(wanted.triggers)))
    if wanted.user is not None and not _has(walks, "runs_by_user"):
        found.append(runs.c.user_id == wanted.user)
    if wanted.q is not None:
        texts = (runs.c.job_name, runs.c.error_type, runs.c.error_message)
        found.append(or_(*(contains(each, wanted.q) for each in texts)))
    if wanted.min_duration_ms is not None:
        ended = runs.c.ended_at - runs.c.started_at >= wanted.min_duration_ms
        began = (wanted.now or 0) - wanted.min_duration_ms
        going_on = runs.c.state.in_(_OPEN) & (runs.c.started_at <= began)
        found.append(or_(ended, going_on))
    return found


def _of_states(wanted: RunFilter, walks: Sequence[Walk]) -> Iterator[ColumnElement[bool]]:
    if wanted.statuses and not _has(walks, "runs_by_state"):
        yield runs.c.state.in_(sorted(wanted.statuses))
    if wanted.reasons:
        yield runs.c.reason.in_(sorted(wanted.reasons))


def _of_jobs(wanted: RunFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.tags:
        yield _tag_of_job.where(_tag.c.value.in_(sorted(wanted.tags)))
    if wanted.not_tags:
        yield not_(_tag_of_job.where(_tag.c.value.in_(sorted(wanted.not_tags))))
    if wanted.not_jobs:
        yield runs.c.job_name.not_in(sorted(wanted.not_jobs))


def _of_messages(wanted: RunFilter, walks: Sequence[Walk]) -> Iterator[ColumnElement[bool]]:
    if wanted.has_arrived is None:
        return
    sent = exists().where(messages.c.run_id == runs.c.id)
    lost = exists().where(
        messages.c.run_id == runs.c.id,
        deliveries.c.message_id == messages.c.id,
        deliveries.c.state == DeliveryState.FAILED.value,
    )
    if wanted.has_arrived:
        yield and_(sent, ~lost)
    elif not _has(walks, ""):
        yield lost


def _has(walks: Sequence[Walk], index: str) -> bool:
    return any(each.index == index for each in walks)


def walks_of(wanted: RunFilter, job_ids: Collection[str] | None) -> list[Walk]:
    """Return walks that together cover all rows of *wanted*, which is for the jobs *job_ids*."""
    if job_ids is not None:
        if len(job_ids) > _WALKS:
            return [_ALL]
        return [Walk("runs_by_job", runs.c.job_id == each) for each in job_ids]
    if wanted.triggers and Trigger.SCHEDULE not in wanted.triggers:
        rare = text("trigger <> 'schedule'")  # word for word the index's own condition
        return [
            Walk("runs_by_rare_trigger", and_(runs.c.trigger == each.value, rare))
            for each in sorted(wanted.triggers)
        ]
    if wanted.user is not None:
        there = text("user_id IS NOT NULL")  # word for word the index's own condition
        return [Walk("runs_by_user", and_(runs.c.user_id == wanted.user, there))]
    if wanted.has_arrived is False:
        # Few messages fail: finding them costs less than checking the messages of every run.
        return [Walk("", runs.c.id.in_(_failed_to_send))]
    if wanted.statuses:
        return [
            Walk("runs_by_state", runs.c.state == each.value) for each in sorted(wanted.statuses)
        ]
    return [_ALL]


def job_ids_of(connection: Connection, wanted: RunFilter) -> list[str] | None:
    """Return the ids of the jobs that *wanted* names; None if it names none."""
    if wanted.job is None:
        return None if wanted.job_id is None else [wanted.job_id]
    query = select(revisions.c.job_id).where(revisions.c.name == wanted.job).distinct()
    ids = list(connection.execute(query).scalars())
    return ids if wanted.job_id is None else [each for each in ids if each == wanted.job_id]
