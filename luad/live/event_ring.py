"""The event ring: a stream of recent events that clients can resume.

Rule: keeps the last thousand events, and never waits for a client. A client that is too slow, or was away
for too long, gets a `resync` event and must read everything again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from luad.core.events import ClaimRun, InstallJob, RemoveJob, SaveProgress, SaveRun

if TYPE_CHECKING:
    from luad.core.events import Record

KEPT: Final = 1_000
MAX_WAITING: Final = 200


class LiveEvent(NamedTuple):
    """One event: its number, its kind and its data."""

    number: int
    kind: str
    data: Mapping[str, Any]


class Reader:
    """One client; *missed* is true once the client was too slow."""

    def __init__(self) -> None:
        self.waiting: deque[LiveEvent] = deque()
        self.wake = asyncio.Event()
        self.missed = False


class EventRing:
    """The events of one daemon. *boot* distinguishes its event numbers from those of other daemons."""

    def __init__(self, boot: str) -> None:
        self.boot = boot
        self._ring: deque[LiveEvent] = deque(maxlen=KEPT)
        self._readers: set[Reader] = set()
        self._count = 0
        self._is_closed = False

    def observe(self, records: Iterable[Record], refused: Iterable[str] = ()) -> None:
        """Publish the events of *records*, which were just committed."""
        not_ours = frozenset(refused)
        for record in records:
            match record:
                case ClaimRun(run) | SaveRun(run) if run.id not in not_ours:
                    kind = "run.claimed" if isinstance(record, ClaimRun) else "run.changed"
                    data = {"id": run.id, "job": run.job_name, "status": run.state.value}
                    self.publish(kind, data)
                case InstallJob(job_id, job):
                    self.publish("job.installed", {"id": job_id, "name": job.name})
                case RemoveJob(job_id, name):
                    self.publish("job.removed", {"id": job_id, "name": name})
                case SaveProgress(job_id):
                    self.publish("job.changed", {"id": job_id})

    def publish(self, kind: str, data: Mapping[str, object]) -> None:
        """Add an event, and wake the clients."""
        self._count += 1
        event = LiveEvent(self._count, kind, data)
        self._ring.append(event)
        for reader in self._readers:
            if len(reader.waiting) >= MAX_WAITING:
                reader.waiting.clear()
                reader.missed = True
            reader.waiting.append(event)
            reader.wake.set()

    def close(self) -> None:
        """End every stream."""
        self._is_closed = True
        for reader in self._readers:
            reader.wake.set()

    def name_of(self, number: int) -> str:
        """Return the id of an event, which clients send back to resume."""
        return f"{self.boot}-{number}"

    async def follow(self, last_id: str | None, beat_s: float) -> AsyncIterator[LiveEvent | None]:
        """Yield events after *last_id*, or from now on; None after *beat_s* without an event.

        A `resync` event comes first if events are lost, or if the id is not of this daemon.
        """
        reader = Reader()
        after = self._place(last_id)
        if after is None:
            reader.waiting.append(LiveEvent(self._count, "resync", {}))
        else:
            reader.waiting.extend(each for each in self._ring if each.number > after)
        self._readers.add(reader)
        try:
            while not self._is_closed:
                # Checked before each event, so that `resync` precedes every event behind a gap.
                if reader.missed:
                    reader.missed = False
                    first = reader.waiting[0].number if reader.waiting else self._count
                    yield LiveEvent(first - 1, "resync", {})
                elif reader.waiting:
                    yield reader.waiting.popleft()
                else:
                    reader.wake.clear()
                    try:
                        async with asyncio.timeout(beat_s):
                            await reader.wake.wait()
                    except TimeoutError:
                        yield None
        finally:
            self._readers.discard(reader)

    def _place(self, last_id: str | None) -> int | None:
        """Return the number to resume after; None if later events are not in the ring any more."""
        if last_id is None:
            return self._count
        boot, _, number = last_id.rpartition("-")
        if boot != self.boot or not number.isascii() or not number.isdigit() or len(number) > 18:
            return None
        oldest = self._ring[0].number if self._ring else self._count + 1
        place = int(number)
        return place if oldest - 1 <= place <= self._count else None
