"""Messages, and their deliveries on each channel.

luad stores a message before it sends it. Of messages to one user with the same dedupe key, a channel delivers
one: if one has arrived, the next is marked as a repetition.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    Connection,
    Row,
    Text,
    bindparam,
    column,
    delete,
    exists,
    func,
    select,
    tuple_,
    update,
    values,
)
from sqlalchemy.dialects.sqlite import insert

from luad.core.messaging import Delivery, DeliveryState, Message
from luad.core.model import Instant
from luad.cursors import make_cursor, read_row_cursor
from luad.store import delivery_pages
from luad.store.columns import to_int, to_json, to_text, to_text_or_none
from luad.store.delivery_pages import DeliveryFilter, DeliveryPage
from luad.store.query_budget import QueryBudget
from luad.store.tables import deliveries, messages
from luad.store.transactions import Transactions

INTERRUPTED: Final = "luad was stopped while it was being sent; it may have arrived"

_insert_message = insert(messages).on_conflict_do_nothing()
_insert_delivery = insert(deliveries)
_begin_delivery = _insert_delivery.on_conflict_do_update(
    index_elements=["message_id", "channel"],
    set_={
        name: _insert_delivery.excluded[name]
        for name in ("state", "started_at", "ended_at", "error", "answer", "is_degraded")
    },
    where=deliveries.c.state != DeliveryState.DELIVERED.value,
)
_end = (
    update(deliveries)
    .where(
        deliveries.c.message_id == bindparam("b_message_id"),
        deliveries.c.channel == bindparam("b_channel"),
        deliveries.c.state != DeliveryState.DELIVERED.value,
    )
    .values(
        {
            name: bindparam(f"b_{name}")
            for name in ("state", "ended_at", "error", "answer", "is_degraded")
        }
    )
)
_of_message = exists().where(deliveries.c.message_id == messages.c.id)
_is_repeated = _of_message & ~_of_message.where(deliveries.c.state != DeliveryState.REPEATED.value)
_arrived = select(deliveries.c.channel).where(
    deliveries.c.message_id == bindparam("b_id"),
    deliveries.c.state == DeliveryState.DELIVERED.value,
)
_arrived_by_key = (
    select(deliveries.c.channel)
    .join(messages, messages.c.id == deliveries.c.message_id)
    .where(
        messages.c.user_id == bindparam("b_user"),
        messages.c.dedupe_key == bindparam("b_key"),
        deliveries.c.state == DeliveryState.DELIVERED.value,
    )
)


class StoredMessage(NamedTuple):
    """A message and its deliveries, in order of channels."""

    message: Message
    deliveries: tuple[Delivery, ...]

    @property
    def is_repetition(self) -> bool:
        """True if it had arrived before on all its channels, so that none delivered it again."""
        return {each.state for each in self.deliveries} == {DeliveryState.REPEATED}


class Messages:
    """The messages of a `Store`; raises `StoreUnavailableError` as it does."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def begin(
        self, wanted: Sequence[Message], channels: Mapping[str, Sequence[str]], now: Instant
    ) -> list[Delivery]:
        """Store *wanted* with a delivery for each channel, and return the deliveries.

        *channels* are by message id. A delivery is `sending`, or `repeated` if the channel has already delivered
        this message, or one to the same user with the same dedupe key. A failed or interrupted delivery begins
        again.
        """
        return await self._transactions.write(lambda c: _begin(c, wanted, channels, now))

    async def end(self, ended: Sequence[Delivery]) -> None:
        """Store the outcomes of deliveries; a delivered one never changes."""
        if ended:
            await self._transactions.write(lambda c: _end_all(c, ended))

    async def fail_interrupted(self, now: Instant) -> int:
        """Mark deliveries that an earlier daemon left unfinished as failed; return their number."""
        return await self._transactions.write(lambda c: _fail_interrupted(c, now))

    async def fail_removed_channels(
        self, message_id: str, there: Collection[str], now: Instant
    ) -> list[Delivery]:
        """Mark interrupted deliveries to channels that are not *there* any more as failed for good."""
        return await self._transactions.write(
            lambda c: _fail_removed_channels(c, message_id, there, now)
        )

    async def undelivered(self) -> list[Message]:
        """Return the alerts without a delivery, and those that a stop of luad interrupted."""
        return await self._transactions.read(_undelivered)

    async def page(
        self,
        *,
        user: str | None = None,
        run_id: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> tuple[list[StoredMessage], str | None]:
        """Return messages, newest first, and the cursor of the next page, if there is one.

        Raises UsageError for a text that is not a cursor.
        """
        return await self._transactions.read(lambda c: _page(c, user, run_id, limit, cursor))

    async def find(self, message_id: str) -> Message | None:
        """Return the message of that id; None without one."""
        query = select(messages).where(messages.c.id == to_text(message_id))

        def read(connection: Connection) -> Message | None:
            row = connection.execute(query).one_or_none()
            return None if row is None else _read_message(row)

        return await self._transactions.read(read)

    async def deliveries(
        self, wanted: DeliveryFilter, limit: int, cursor: str | None = None
    ) -> DeliveryPage:
        """Return a page of the deliveries that match *wanted*, newest first, as far as found in time.

        Raises UsageError for a text that is not a cursor.
        """
        return await self._transactions.read(
            lambda c: delivery_pages.page(c, wanted, limit, cursor, QueryBudget.begin())
        )

    async def last_deliveries(
        self, users: Sequence[str], most: int
    ) -> dict[tuple[str, str], Delivery]:
        """Return the last delivery by user and channel, among the newest *most* messages to each user.

        A repetition, which no channel has delivered again, does not count.
        """
        return await self._transactions.read(
            lambda c: _last_deliveries(c, list(map(to_text, users)), most)
        )

    async def counts(self, run_ids: Iterable[str]) -> dict[str, tuple[int, int]]:
        """Return the numbers of arrived and of all deliveries, by run that sent messages."""
        ids = [to_text(each) for each in run_ids]
        return await self._transactions.read(lambda c: _counts(c, ids))


# --- statements --------------------------------------------------------------------------------


def insert_messages(connection: Connection, wanted: Sequence[Message]) -> None:
    """Insert messages; an existing message stays as it is."""
    connection.execute(_insert_message, [_message_row(each) for each in wanted])


def prune(connection: Connection, before: Instant, limit: int) -> int:
    """Remove up to *limit* messages older than *before*, and return the number removed."""
    old = select(messages.c.id).where(messages.c.at < before).order_by(messages.c.at).limit(limit)
    ids = list(connection.execute(old).scalars())
    if ids:
        connection.execute(
            delete(messages).where(messages.c.id == bindparam("b_id")),
            [{"b_id": each} for each in ids],
        )
    return len(ids)


def _begin(
    connection: Connection,
    wanted: Sequence[Message],
    channels: Mapping[str, Sequence[str]],
    now: Instant,
) -> list[Delivery]:
    insert_messages(connection, wanted)
    begun: list[Delivery] = []
    for message in wanted:
        arrived = set(connection.execute(_arrived, {"b_id": to_text(message.id)}).scalars())
        if message.dedupe_key is not None:
            names = {"b_user": to_text(message.user), "b_key": to_text(message.dedupe_key)}
            arrived.update(connection.execute(_arrived_by_key, names).scalars())
        for channel in channels[message.id]:
            is_repeated = channel in arrived
            state = DeliveryState.REPEATED if is_repeated else DeliveryState.SENDING
            ended_at = now if is_repeated else None
            begun.append(Delivery(message.id, channel, state, now, ended_at))
    if begun:
        connection.execute(_begin_delivery, [_delivery_row(each) for each in begun])
    return begun


def _end_all(connection: Connection, ended: Sequence[Delivery]) -> None:
    rows = [{f"b_{key}": each for key, each in _delivery_row(one).items()} for one in ended]
    for row in rows:
        del row["b_started_at"]
    connection.execute(_end, rows)


def _fail_interrupted(connection: Connection, now: Instant) -> int:
    query = (
        update(deliveries)
        .where(deliveries.c.state == DeliveryState.SENDING.value)
        .values(state=DeliveryState.FAILED.value, ended_at=now, error=INTERRUPTED)
    )
    return connection.execute(query).rowcount


def _fail_removed_channels(
    connection: Connection, message_id: str, there: Collection[str], now: Instant
) -> list[Delivery]:
    query = (
        update(deliveries)
        .where(deliveries.c.message_id == to_text(message_id))
        .where(deliveries.c.error == INTERRUPTED, deliveries.c.channel.not_in(list(there)))
        .values(ended_at=now, error=f"{INTERRUPTED}, and the user no longer has this channel")
        .returning(deliveries)
    )
    return [_read_delivery(row) for row in connection.execute(query)]


def _undelivered(connection: Connection) -> list[Message]:
    of_it = exists().where(deliveries.c.message_id == messages.c.id)
    was_interrupted = of_it.where(deliveries.c.error == INTERRUPTED)
    query = select(messages).where(messages.c.kind == "alert", ~of_it | was_interrupted)
    return [_read_message(row) for row in connection.execute(query.order_by(messages.c.at))]


def _page(
    connection: Connection, user: str | None, run_id: str | None, limit: int, cursor: str | None
) -> tuple[list[StoredMessage], str | None]:
    query = select(messages).order_by(messages.c.at.desc(), messages.c.id.desc()).limit(limit + 1)
    if user is not None:  # without repetitions, which no channel delivered again
        query = query.where(messages.c.user_id == to_text(user), ~_is_repeated)
    if run_id is not None:
        query = query.where(messages.c.run_id == to_text(run_id))
    if cursor is not None:
        query = query.where(tuple_(messages.c.at, messages.c.id) < tuple_(*read_row_cursor(cursor)))
    rows = connection.execute(query).all()
    found = rows[:limit]
    by_message: dict[str, list[Delivery]] = {row.id: [] for row in found}
    of_these = select(deliveries).where(deliveries.c.message_id.in_(list(by_message)))
    for row in connection.execute(of_these.order_by(deliveries.c.channel)):
        by_message[row.message_id].append(_read_delivery(row))
    page = [StoredMessage(_read_message(row), tuple(by_message[row.id])) for row in found]
    following = None
    if len(rows) > limit:
        following = make_cursor((found[-1].at, found[-1].id))
    return page, following


def _last_deliveries(
    connection: Connection, users: Sequence[str], most: int
) -> dict[tuple[str, str], Delivery]:
    if not users:
        return {}
    user = values(column("id", Text), name="user").data([(each,) for each in users]).cte()
    newest = messages.alias("newest")
    within = (
        select(newest.c.id)
        .where(newest.c.user_id == user.c.id)
        .order_by(newest.c.at.desc(), newest.c.id.desc())
        .limit(most)
        .correlate(user)
    )
    query = (
        select(user.c.id.label("user_id"), messages.c.at, deliveries)
        .select_from(user.join(deliveries, deliveries.c.message_id.in_(within)))
        .join(messages, messages.c.id == deliveries.c.message_id)
        .where(deliveries.c.state != DeliveryState.REPEATED.value)
    )
    found: dict[tuple[str, str], Delivery] = {}
    for row in sorted(connection.execute(query), key=lambda row: (row.at, row.message_id)):
        found[row.user_id, row.channel] = _read_delivery(row)
    return found


def _counts(connection: Connection, run_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    counts: dict[str, tuple[int, int]] = {}
    arrived = (DeliveryState.DELIVERED.value, DeliveryState.REPEATED.value)
    for start in range(0, len(run_ids), 500):
        query = (
            select(
                messages.c.run_id,
                func.count().filter(deliveries.c.state.in_(arrived)),
                func.count(),
            )
            .join(deliveries, deliveries.c.message_id == messages.c.id)
            .where(messages.c.run_id.in_(run_ids[start : start + 500]))
            .group_by(messages.c.run_id)
        )
        for run_id, good, total in connection.execute(query):
            counts[run_id] = (int(good), int(total))
    return counts


def _message_row(message: Message) -> dict[str, object]:
    channels = message.channels
    return {
        "id": to_text(message.id),
        "user_id": to_text(message.user),
        "at": to_int(message.at),
        "kind": message.kind,
        "title": to_text(message.title),
        "parts_json": to_json([dict(part) for part in message.parts]),
        "priority": message.priority,
        "channels_json": None if channels is None else to_json(list(channels)),
        "job_name": to_text_or_none(message.job_name),
        "run_id": to_text_or_none(message.run_id),
        "dedupe_key": to_text_or_none(message.dedupe_key),
    }


def _read_message(row: Row[Any]) -> Message:
    channels = row.channels_json
    return Message(
        row.id,
        row.user_id,
        row.at,
        tuple(json.loads(row.parts_json)),
        row.title,
        row.priority,
        None if channels is None else tuple(json.loads(channels)),
        row.kind,
        row.job_name,
        row.run_id,
        row.dedupe_key,
    )


def _delivery_row(delivery: Delivery) -> dict[str, object]:
    return {
        "message_id": to_text(delivery.message_id),
        "channel": to_text(delivery.channel),
        "state": delivery.state.value,
        "started_at": to_int(delivery.started_at),
        "ended_at": None if delivery.ended_at is None else to_int(delivery.ended_at),
        "error": to_text(delivery.error),
        "answer": to_text(delivery.answer),
        "is_degraded": delivery.is_degraded,
    }


def _read_delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        row.message_id,
        row.channel,
        DeliveryState(row.state),
        row.started_at,
        row.ended_at,
        row.error,
        row.answer,
        bool(row.is_degraded),
    )
