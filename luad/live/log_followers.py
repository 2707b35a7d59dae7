"""Log lines on their way to whoever follows them.

Rule: publishing never waits and never fails; a reader that does not keep up loses lines, and is
told how many. The store has every line anyway, a moment later: so that nothing falls between the
two, the latest lines of open runs, and of those that have just ended, are kept here as well.
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
"""A line as the runner makes it and the store keeps it: ``ts``, ``level``, ``logger``, ``message``,
``stream``, ``attempt`` and what the handler added; job and run are said beside it."""

QUEUE_LINES: Final = 1_000
TAIL_LINES: Final = 256
ENDED_TAILS: Final = 64


@dataclass(frozen=True, slots=True)
class RunLine:
    """A line and where it belongs."""

    run_id: str
    job: str
    line: Line


@dataclass(frozen=True, slots=True)
class Lost:
    """In the place of *count* lines for which the reader was too slow."""

    run_id: str
    job: str
    count: int


class Subscription:
    """The lines of one run, of one job or of all, from now on. A context: leave it, and it ends.

    It may begin with the latest lines before now, which the store may have already (see `overlap`).
    It is over when the run that it is for has ended, and when the hub is closed.
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
        """Nothing more will come; what waits can still be taken."""
        self.is_over = True
        self._news.set()

    def put(self, run_id: str, job: str, lines: Sequence[Line]) -> None:
        """Queue *lines*. The oldest stay and the newest are lost, so that there is one gap."""
        room = max(0, self._limit - len(self._queue))
        self._queue += [RunLine(run_id, job, line) for line in lines[:room]]
        self._lost += max(0, len(lines) - room)
        self._news.set()

    def take(self) -> list[RunLine | Lost]:
        """Return what waits; a gap is told behind it."""
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
        """Wait until there is something to take or it is over; False when *timeout_s* passed."""
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
    """Where the daemon publishes log lines and the API subscribes to them; one loop only."""

    def __init__(self) -> None:
        self._by_run: dict[str, set[Subscription]] = {}
        self._others: set[Subscription] = set()
        self._tails: dict[str, _Tail] = {}
        self._ended: OrderedDict[str, _Tail] = OrderedDict()
        self._is_closed = False

    def publish(self, run_id: str, job: str, lines: Sequence[Line]) -> None:
        """Hand lines of a run to whoever follows it; next to free when nobody does."""
        tail = self._tails.get(run_id)
        if tail is None:
            # a line may come behind the end: the tail is still where it was put
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
        """The run has ended: so do the streams that follow it. Its tail is kept for a while."""
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
        """Follow one run, or one job, or everything; *has_tails*: with the latest lines so far."""
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
        """The latest lines of a run that is open or has just ended."""
        tail = self._tails.get(run_id) or self._ended.get(run_id)
        return [] if tail is None else [RunLine(run_id, tail.job, each) for each in tail.lines]

    def drop(self, subscription: Subscription) -> None:
        """Forget *subscription*; an unknown one is fine."""
        self._others.discard(subscription)
        run_id = subscription.run_id or ""
        siblings = self._by_run.get(run_id)
        if siblings is not None:
            siblings.discard(subscription)
            if not siblings:
                del self._by_run[run_id]

    def close(self) -> None:
        """End every stream, and every one that is asked for from now on."""
        self._is_closed = True
        for subscription in tuple(self._all()):
            subscription.end()

    @property
    def is_closed(self) -> bool:
        """Whether luad ends."""
        return self._is_closed

    def __len__(self) -> int:
        return sum(1 for _ in self._all())

    def _all(self) -> Iterator[Subscription]:
        yield from self._others
        for siblings in self._by_run.values():
            yield from siblings


def overlap(stored: Sequence[Line], live: Sequence[Line]) -> int:
    """How many of the first *live* lines are *stored* already: both are in the same order, and the
    end of what is stored lies somewhere in what was published."""
    ends = [_mark(line) for line in stored[-len(live) :]] if live else []
    starts = [_mark(line) for line in live]
    for size in range(len(starts) if ends else 0, 0, -1):
        width = min(size, len(ends))
        if ends[-width:] == starts[size - width : size]:
            return size
    return 0


def _mark(line: Line) -> tuple[Any, ...]:
    return line.get("ts"), line.get("stream"), line.get("attempt"), line.get("message")
