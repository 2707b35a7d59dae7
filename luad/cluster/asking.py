"""Asks the owner of a shard, from any node: a row of the inbox, and the wait for its reply.

Rule: the request id makes repeating safe. An asker that gives up withdraws its row; then either the row was still
there, and the request was surely not carried out, or an owner has taken it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from luad.cluster import ask_rows
from luad.cluster.inbox import reply_of
from luad.core.events import Reply
from luad.core.requests import CreateRequested
from luad.core.shards import shard_of
from luad.core.values import replace
from luad.errors import StoreUnavailableError, UnavailableError
from luad.store.postgresql.connect import Link
from luad.store.postgresql.session import LockKind

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from luad.config.settings.store_target import Target
    from luad.core.requests import NewJob, Request

T = TypeVar("T")

WITHIN_S: Final = 15.0
"""So long an asker waits for a reply."""

_LOOK_S: Final = 1.0
"""A notice may be lost with its connection: so often an asker looks by itself."""

_ASKING: Final = {
    "statement_timeout": "10s",
    "idle_in_transaction_session_timeout": "10s",
    "lock_timeout": "5s",
    "synchronous_commit": "on",
}


class NoOwnerError(UnavailableError):
    """No node decides for the shard of the request, which was withdrawn."""

    code = "no_owner"


class Asker:
    """Brings the requests of one node to the owners of their shards. *lock_space*: of the store's locks."""

    def __init__(
        self, target: Target, node: str, lock_space: int, *, within_s: float = WITHIN_S
    ) -> None:
        self._node = node
        self._lock_space = lock_space
        self._within_s = within_s
        self._link = Link(target, f"luad {node} requests", _ASKING)
        self._thread = ThreadPoolExecutor(1, "luad-asker")
        self._waiting: dict[str, asyncio.Future[Reply]] = {}
        self._fetching = asyncio.Lock()

    async def ask(self, event: Request) -> Reply:
        """Return the reply of the owner. Raises UnavailableError when there is none in time.

        A request for jobs of several shards is several requests, and has one reply.
        """
        if not isinstance(event, CreateRequested):
            return await self._ask(event)
        parts = _by_shard(event)
        replies = await asyncio.gather(*(self._ask(part) for part, _ in parts))
        return _joined(
            event, [(places, reply) for (_, places), reply in zip(parts, replies, strict=True)]
        )

    async def notice(self) -> None:
        """Look for replies: a notice has come."""
        if self._waiting:
            await self._fetch()

    async def close(self) -> None:
        """End the connection; requests that wait fail."""
        for future in self._waiting.values():
            future.cancel()
        await self._work(self._link.close)
        self._thread.shutdown(wait=False)

    # --- one request ---

    async def _ask(self, event: Request) -> Reply:
        loop = asyncio.get_running_loop()
        future = self._waiting[event.request_id] = loop.create_future()
        ends_at = loop.time() + self._within_s
        try:
            shard = await self._insert(event, ends_at)
            while not future.done() and loop.time() < ends_at:
                left_s = min(_LOOK_S, ends_at - loop.time())
                await asyncio.wait([future], timeout=max(0.0, left_s))
                if not future.done():
                    await self._fetch()
            return future.result() if future.done() else await self._give_up(event, shard, future)
        finally:
            del self._waiting[event.request_id]

    async def _insert(self, event: Request, ends_at: float) -> int:
        """Insert the row, again if the answer of the insert is lost; return its shard."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                return await self._in_transaction(
                    partial(ask_rows.insert, event=event, asker=self._node)
                )
            except StoreUnavailableError as error:
                if loop.time() + _LOOK_S >= ends_at:
                    message = "the store cannot be reached; the request may still be carried out"
                    raise UnavailableError(
                        message, hint="luad status; repeat it with its key"
                    ) from error
                await asyncio.sleep(_LOOK_S)

    async def _give_up(self, event: Request, shard: int, future: asyncio.Future[Reply]) -> Reply:
        """Withdraw the row; what an owner has taken may have been answered meanwhile."""
        withdrawn = await self._in_transaction(
            partial(ask_rows.withdraw, request_id=event.request_id)
        )
        if withdrawn:
            key = self._lock_space + LockKind.SHARD
            if not await self._in_transaction(partial(ask_rows.has_owner, shard=shard, space=key)):
                raise NoOwnerError(
                    "no node decides for this job; the request was not carried out",
                    hint="start a node, or look at `luad nodes`",
                )
            message = "the node that decides for this job does not answer; the request was not carried out"
            raise UnavailableError(message, hint="try again")
        await self._fetch()
        if future.done():
            return future.result()
        raise UnavailableError(
            "the node that decides for this job has taken the request and does not answer; it may still be"
            " carried out",
            hint="look before you repeat it, or repeat it with an Idempotency-Key",
        )

    async def _fetch(self) -> None:
        """Take the replies for this node, and hand them to those who wait."""
        async with self._fetching:
            try:
                found = await self._in_transaction(
                    partial(ask_rows.take_replies, asker=self._node, waiting=tuple(self._waiting))
                )
            except StoreUnavailableError:
                return  # the next look finds them
        for request_id, body in found.items():
            future = self._waiting.get(request_id)
            if future is not None and not future.done():
                future.set_result(reply_of(request_id, body))

    async def _in_transaction(self, call: Callable[[Connection], T]) -> T:
        return await self._work(partial(self._do, call))

    def _do(self, call: Callable[[Connection], T]) -> T:
        if not self._link.is_open:
            self._link.open()
        with self._link.transaction() as connection:
            return call(connection)

    async def _work(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


def _by_shard(event: CreateRequested) -> list[tuple[CreateRequested, list[int]]]:
    """Return *event* as one request a shard, each with the places of its jobs; the first one has the key."""
    places: dict[int, list[int]] = {}
    for place, new in enumerate(event.jobs):
        places.setdefault(shard_of(new.wanted.job.name), []).append(place)
    if len(places) <= 1:
        return [(event, list(range(len(event.jobs))))]
    parts: list[tuple[CreateRequested, list[int]]] = []
    for number, own in enumerate(places.values()):
        jobs: tuple[NewJob, ...] = tuple(event.jobs[place] for place in own)
        key = None if number else event.key
        part = replace(event, request_id=f"{event.request_id}.{number}", jobs=jobs, key=key)
        parts.append((part, own))
    return parts


def _joined(event: CreateRequested, replies: list[tuple[list[int], Reply]]) -> Reply:
    """Return the replies of the parts of *event* as one, its outcomes in the order of the jobs."""
    failed = next((reply for _, reply in replies if reply.error is not None), None)
    if failed is not None:
        return replace(failed, request_id=event.request_id)
    outcomes: Mapping[int, object] = {
        place: outcome
        for places, reply in replies
        for place, outcome in zip(places, reply.value, strict=True)
    }
    return Reply(event.request_id, tuple(outcomes[place] for place in sorted(outcomes)))
