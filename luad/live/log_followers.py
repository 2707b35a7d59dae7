"""Log lines for the clients that follow them.

Rule: publishing never waits and never fails. A client that is too slow loses lines, and gets their number.
The store has each line a moment later; to close the gap, this module keeps the latest lines of open runs and
of runs that have just ended.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

Line: TypeAlias = Mapping[str, Any]
"""A log line: ``ts``, ``level``, ``logger``, ``message``, ``stream``, ``attempt`` and the handler's fields.

The job and the run stand beside it."""

QUEUE_LINES: Final = 1_000
TAIL_LINES: Final = 256
ENDED_TAILS: Final = 64


@dataclass(frozen=True, slots=True)
class RunLine:
    """A line with its run and its job."""

    run_id: str
    job: str
    line: Line


@dataclass(frozen=True, slots=True)
class Lost:
    """A gap of *count* lines, for which the client was too slow."""

    run_id: str
    job: str
    count: int


class Subscription:
    """The lines of one run, of one job or of all jobs, from now on; a context manager.

    It may begin with the latest lines before now, which the store may already have (see `overlap`). It is
    over when its run has ended, or when luad closes the log followers.
    """

    def __init__(
        self, followers: LogFollowers, run_id: str | None, job: str | None, limit: int
    ) -> None:
        self.run_id = run_id
        self.job = job
        self.is_over = False
        self._followers = followers
        self._queue: list[RunLine] = []
        self._limit = limit
        self._lost = 0
        self._news = asyncio.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._followers.drop(self)
        self.end()

    def end(self) -> None:
        """Mark the subscription as over; waiting lines can still be taken."""
        self.is_over = True
        self._news.set()

    def put(self, run_id: str, job: str, lines: Sequence[Line]) -> None:
        """Queue *lines*; over the limit, the newest are lost, so that there is one gap."""
        room = max(0, self._limit - len(self._queue))
        self._queue += [RunLine(run_id, job, line) for line in lines[:room]]
        self._lost += max(0, len(lines) - room)
        self._news.set()

    def take(self) -> list[RunLine | Lost]:
        """Return the waiting lines; a gap comes last."""
        items: list[RunLine | Lost] = [*self._queue]
        if self._lost:
            last = self._queue[-1]
            items.append(Lost(last.run_id, last.job, self._lost))
        self._queue.clear()
        self._lost = 0
        if not self.is_over:
            self._news.clear()
        return items

    async def wait(self, timeout_s: float) -> bool:
        """Wait for lines or the end; return False after *timeout_s* without either."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return False
        return True


@dataclass(slots=True)
class _Tail:
    job: str
    lines: deque[Line]


class LogFollowers:
    """The log lines that the daemon publishes and the API subscribes to; for one event loop."""

    def __init__(self) -> None:
        self._by_run: dict[str, set[Subscription]] = {}
        self._others: set[Subscription] = set()
        self._tails: dict[str, _Tail] = {}
        self._ended: OrderedDict[str, _Tail] = OrderedDict()
        self._is_closed = False

    def publish(self, run_id: str, job: str, lines: Sequence[Line]) -> None:
        """Give lines of a run to its followers; nearly free without any."""
        tail = self._tails.get(run_id)
        if tail is None:
            # A line may come after the end of its run, whose tail is among the ended ones.
            tail = self._ended.get(run_id) or _Tail(job, deque(maxlen=TAIL_LINES))
            if run_id not in self._ended:
                self._tails[run_id] = tail
        tail.lines.extend(lines)
        for subscription in self._by_run.get(run_id, ()):
            subscription.put(run_id, job, lines)
        for subscription in self._others:
            if subscription.job in {None, job}:
                subscription.put(run_id, job, lines)

    def end_run(self, run_id: str) -> None:
        """End the subscriptions of a run that has ended, and keep its tail for a while."""
        for subscription in self._by_run.pop(run_id, ()):
            subscription.end()
        tail = self._tails.pop(run_id, None)
        if tail is not None:
            self._ended[run_id] = tail
            if len(self._ended) > ENDED_TAILS:
                self._ended.popitem(last=False)

    def subscribe(
        self,
        run_id: str | None = None,
        job: str | None = None,
        *,
        has_tails: bool = False,
        limit: int = QUEUE_LINES,
    ) -> Subscription:
        """Return a subscription to one run, one job or all; *has_tails*: with the latest lines."""
        subscription = Subscription(self, run_id, job, limit)
        if self._is_closed:
            subscription.end()
            return subscription
        if run_id is None:
            self._others.add(subscription)
        else:
            self._by_run.setdefault(run_id, set()).add(subscription)
        if has_tails:
            for each, tail in self._tails.items() if run_id is None else self._tail_of(run_id):
                if job in {None, tail.job} and tail.lines:
                    subscription.put(each, tail.job, list(tail.lines))
        return subscription

    def _tail_of(self, run_id: str) -> Iterable[tuple[str, _Tail]]:
        tail = self._tails.get(run_id)
        return [] if tail is None else [(run_id, tail)]

    def tail(self, run_id: str) -> list[RunLine]:
        """Return the latest lines of a run that is open or has just ended."""
        tail = self._tails.get(run_id) or self._ended.get(run_id)
        return [] if tail is None else [RunLine(run_id, tail.job, each) for each in tail.lines]

    def drop(self, subscription: Subscription) -> None:
        """Remove *subscription*, if present."""
        self._others.discard(subscription)
        run_id = subscription.run_id or ""
        siblings = self._by_run.get(run_id)
        if siblings is not None:
            siblings.discard(subscription)
            if not siblings:
                del self._by_run[run_id]

    def close(self) -> None:
        """End all subscriptions, and every later one at once."""
        self._is_closed = True
        for subscription in tuple(self._all()):
            subscription.end()

    @property
    def is_closed(self) -> bool:
        """True once luad stops."""
        return self._is_closed

    def __len__(self) -> int:
        return sum(1 for _ in self._all())

    def _all(self) -> Iterator[Subscription]:
        yield from self._others
        for siblings in self._by_run.values():
            yield from siblings


def overlap(stored: Sequence[Line], live: Sequence[Line]) -> int:
    """Return how many of the first *live* lines are already *stored*.

    Both are in the same order, and the last stored line is somewhere among the published ones.
    """
    ends = [_mark(line) for line in stored[-len(live) :]] if live else []
    starts = [_mark(line) for line in live]
    for size in range(len(starts) if ends else 0, 0, -1):
        width = min(size, len(ends))
        if ends[-width:] == starts[size - width : size]:
            return size
    return 0


def _mark(line: Line) -> tuple[Any, ...]:
    return line.get("ts"), line.get("stream"), line.get("attempt"), line.get("message")
