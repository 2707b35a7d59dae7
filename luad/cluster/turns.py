"""The transactions of an owner: take a shard, and turn shards.

A turn deletes rows of the inbox, decides on the event loop, writes the records of all shards, hands attempts over and
stores replies, all in one transaction. Only after the commit are lines logged.

Rule: after any error the caller drops all engines and the session; what was committed is read back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from luad.cluster.bodies import BadBodyError
from luad.cluster.inbox import event_of
from luad.cluster.merging import merged
from luad.core.events import (
    ClaimRun,
    Deliver,
    Log,
    RecordSkip,
    ReleaseOutput,
    Reply,
    StartAttempt,
    StopAttempt,
)
from luad.core.requests import CreateRequested, RetryRequested, TriggerRequested

if TYPE_CHECKING:
    from luad.cluster.engine_set import EngineSet
    from luad.cluster.inbox import InboxRow
    from luad.cluster.session import Session, Transaction
    from luad.core.events import Effect, Event, Record
    from luad.core.model import Now

MOST_ROWS: Final = 2_000
"""The largest number of inbox rows that one turn takes."""

MOST_RECORDS: Final = 5_000
"""After so many records, a turn takes no further shard."""

_CARRIED_OUT: Final = "luad has already carried out a request with this Idempotency-Key"

Announced: TypeAlias = Log | ReleaseOutput
"""What follows a commit, and may be lost."""


@dataclass(slots=True)
class Turned:
    """The outcome of a transaction that was committed.

    *records* and *refused*: what was written, for the memory of lookers. *replies*: those to events that were not rows
    of the inbox. *bad_rows*: rows that were set aside, with
    their errors. *is_more*: something that is due was left for the next turn.
    """

    records: list[Record] = field(default_factory=list)
    refused: tuple[str, ...] = ()
    announced: list[Announced] = field(default_factory=list)
    starts: list[StartAttempt] = field(default_factory=list)
    stops: list[StopAttempt] = field(default_factory=list)
    delivers: list[Deliver] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    rows: Sequence[InboxRow] = ()
    bad_rows: list[tuple[InboxRow, str]] = field(default_factory=list)
    is_more: bool = False


class _Batch:
    """The effects of a transaction, sorted."""

    def __init__(self) -> None:
        self.turned = Turned()
        self.replies: list[Reply] = []
        self.shard_of_claim: dict[str, int] = {}
        self._records: list[list[Record]] = []
        self.record_count = 0

    def add(self, shard: int, effects: Sequence[Effect]) -> None:
        """Add the effects of one shard."""
        records: list[Record] = []
        for effect in effects:
            match effect:
                case StartAttempt():
                    self.turned.starts.append(effect)
                case StopAttempt():
                    self.turned.stops.append(effect)
                case Deliver():
                    self.turned.delivers.append(effect)
                case Reply():
                    self.replies.append(effect)
                case Log() | ReleaseOutput():
                    self.turned.announced.append(effect)
                case _:
                    records.append(effect)
                    if isinstance(effect, ClaimRun):
                        self.shard_of_claim[effect.run.id] = shard
                    elif isinstance(effect, RecordSkip):
                        self.shard_of_claim[effect.row_id] = shard
        self._records.append(records)
        self.record_count += len(records)

    async def write(self, transaction: Transaction, askers: dict[str, str], now: Now) -> None:
        """Write everything in *transaction*; attempts whose claim is refused are not handed over."""
        turned = self.turned
        turned.records = merged(self._records)
        if turned.records:
            turned.refused = tuple(await transaction.write(turned.records, now.wall))
        refused = set(turned.refused)
        turned.starts = [each for each in turned.starts if each.run.id not in refused]
        if turned.starts:
            await transaction.offer(turned.starts)
        if turned.stops:
            await transaction.stop(turned.stops, now.wall)
        if turned.delivers:
            await transaction.deliver(turned.delivers)
        addressed = [
            (askers[each.request_id], each) for each in self.replies if each.request_id in askers
        ]
        if addressed:
            await transaction.reply(addressed)
        turned.replies = [each for each in self.replies if each.request_id not in askers]


class Turner:
    """Takes and turns the shards of one node."""

    def __init__(self, engines: EngineSet) -> None:
        self._engines = engines

    async def take(self, session: Session, shard: int, now: Now) -> Turned | None:
        """Take *shard* if its lock is free; None if another session holds it."""
        async with session.begin(is_take=True) as transaction:
            if not await transaction.lock(shard):
                return None
            rows = await transaction.read_shard(shard)
            batch = _Batch()
            batch.add(shard, self._engines.take(shard, rows, now))
            await batch.write(transaction, {}, now)
            await transaction.see([shard], now.wall)
        self._note_refused(batch)
        return batch.turned

    async def turn(
        self,
        session: Session,
        shards: Collection[int],
        now: Now,
        *,
        posted: Mapping[int, Sequence[Event]] | None = None,
        most_rows: int = MOST_ROWS,
        on_rows: Callable[[tuple[InboxRow, ...]], None] = lambda _: None,
    ) -> Turned:
        """Turn *shards*: those with rows in the inbox, and those that are due at *now*.

        *posted*: events that are not rows, by shard. *on_rows* learns the rows before an engine gets them.
        """
        batch = _Batch()
        turned = batch.turned
        async with session.begin() as transaction:
            rows = await transaction.take_rows(shards, most_rows)
            turned.rows = rows
            on_rows(tuple(rows))
            events, turned.bad_rows = _events_by_shard(rows)
            batch.replies += await _refuse_known_keys(transaction, events)
            for shard, more in (posted or {}).items():
                if more:
                    events[shard] = [*more, *events.get(shard, ())]
            due = [each for each in self._engines.due(now) if each in shards]
            turned.is_more = len(rows) == most_rows
            seen: list[int] = []
            for shard in dict.fromkeys((*events, *due)):
                if batch.record_count >= MOST_RECORDS and shard not in events:
                    turned.is_more = True
                    break
                batch.add(shard, self._engines.handle(shard, events.get(shard, ()), now))
                seen.append(shard)
            askers = {row.request_id: row.asker for row in rows if row.request_id and row.asker}
            await batch.write(transaction, askers, now)
            await _set_aside(transaction, turned.bad_rows)
            await transaction.see(seen, now.wall)
        self._note_refused(batch)
        return turned

    async def set_aside(self, session: Session, row: InboxRow, error: str) -> None:
        """Set a row aside that made a turn fail on its own."""
        async with session.begin() as transaction:
            await _set_aside(transaction, [(row, error)])

    def _note_refused(self, batch: _Batch) -> None:
        """Let the engines know which claims the store refused."""
        by_shard: dict[int, list[str]] = {}
        for row_id in batch.turned.refused:
            by_shard.setdefault(batch.shard_of_claim[row_id], []).append(row_id)
        for shard, row_ids in by_shard.items():
            self._engines.note_refused(shard, row_ids)


async def _refuse_known_keys(
    transaction: Transaction, events: dict[int, list[Event]]
) -> list[Reply]:
    """Take requests out of *events* whose idempotency key was used before, at whatever node; return the refusals."""
    keyed = [
        (shard, event, event.key.key)
        for shard, each in events.items()
        for event in each
        if isinstance(event, TriggerRequested | RetryRequested | CreateRequested)
        and event.key is not None
    ]
    if not keyed:
        return []
    known = set(await transaction.known_keys([key for _, _, key in keyed]))
    refusals: list[Reply] = []
    for shard, event, key in keyed:
        if key in known:
            events[shard].remove(event)
            refusals.append(Reply(event.request_id, None, "conflict", _CARRIED_OUT))
        known.add(key)
    return refusals


async def _set_aside(transaction: Transaction, bad_rows: Sequence[tuple[InboxRow, str]]) -> None:
    if not bad_rows:
        return
    await transaction.set_aside(bad_rows)
    failed = [
        (row.asker, Reply(row.request_id, None, "internal", f"no engine can take it: {error}"))
        for row, error in bad_rows
        if row.asker and row.request_id
    ]
    if failed:
        await transaction.reply(failed)


def _events_by_shard(
    rows: Sequence[InboxRow],
) -> tuple[dict[int, list[Event]], list[tuple[InboxRow, str]]]:
    """Return the events of *rows* by shard, and the bad rows with their errors."""
    events: dict[int, list[Event]] = {}
    bad: list[tuple[InboxRow, str]] = []
    for row in rows:
        try:
            event = event_of(row)
        except BadBodyError as error:
            bad.append((row, str(error)))
        else:
            events.setdefault(row.shard, []).append(event)
    return events, bad
