"""The event ring: a stream of recent events that clients can resume.

Rule: keeps the last thousand events, and the last change of each subject, and never waits for a client. A client that
is too slow, or was away for too long, gets a `resync` event and must read everything again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from luad.core.events import ClaimRun, InstallJob, RemoveJob, SaveProgress, SaveRun
from luad.live.change_log import KINDS, ChangeLog

if TYPE_CHECKING:
    from luad.core.events import Record

KEPT: Final = 1_000
MAX_WAITING: Final = 200

Data: TypeAlias = Mapping[str, object]


class LiveEvent(NamedTuple):
    """One event: its number, its kind and its data."""

    number: int
    kind: str
    data: Data


class Reader:
    """One client; *kinds*: those that it gets; *missed* is true once it was too slow.

    A client that *is_patient* gets no events of their own, and is only woken.
    """

    def __init__(self, kinds: Collection[str], *, is_patient: bool = False) -> None:
        self.kinds = kinds
        self.is_patient = is_patient
        self.waiting: deque[LiveEvent] = deque()
        self.wake = asyncio.Event()
        self.missed = False

    def take(self, event: LiveEvent) -> None:
        """Queue *event*, if the client gets events of its kind, and wake it."""
        if event.kind not in self.kinds:
            return
        if not self.is_patient:
            if len(self.waiting) >= MAX_WAITING:
                self.waiting.clear()
                self.missed = True
            self.waiting.append(event)
        self.wake.set()


class EventRing:
    """The events of one daemon. *boot* distinguishes its event numbers from those of other daemons."""

    def __init__(self, boot: str) -> None:
        self.boot = boot
        self._ring: deque[LiveEvent] = deque(maxlen=KEPT)
        self._changes = ChangeLog()
        self._troubled: dict[str, object] = {}  # what was published of jobs in trouble
        self._readers: set[Reader] = set()
        self._count = 0
        self._is_closed = False
        self._closing = asyncio.Event()

    def observe(self, records: Iterable[Record], refused: Iterable[str] = ()) -> None:
        """Publish the events of *records*, which were just committed."""
        not_ours = frozenset(refused)
        for record in records:
            match record:
                case ClaimRun(run) | SaveRun(run) if run.id not in not_ours:
                    kind = "run.claimed" if isinstance(record, ClaimRun) else "run.changed"
                    data = {"id": run.id, "job": run.job_name, "status": run.state.value}
                    self.publish(kind, {**data, "job_id": run.job_id, "attempt": run.attempt})
                case InstallJob(job_id, job):
                    self.publish("job.installed", {"id": job_id, "name": job.name})
                case RemoveJob(job_id, name):
                    self.publish("job.removed", {"id": job_id, "name": name})
                    self._troubled.pop(job_id, None)
                case SaveProgress(job_id):
                    self.publish("job.changed", {"id": job_id})
                    self._note_trouble(record)

    def _note_trouble(self, record: SaveProgress) -> None:
        """Publish that a job has come into trouble, is in more of it, or out of it."""
        failures, known = record.consecutive_failures, record.alert.acknowledged
        trouble = (failures, known) if failures or known else None
        if self._troubled.get(record.job_id) == trouble:
            return
        if trouble is None:
            del self._troubled[record.job_id]
        else:
            self._troubled[record.job_id] = trouble
        self.publish("attention.changed", {"id": f"failing.{record.job_id}"})

    def publish(self, kind: str, data: Data) -> None:
        """Add an event, and wake the clients."""
        self._count += 1
        event = LiveEvent(self._count, kind, data)
        self._ring.append(event)
        self._changes.note(self._count, kind, data)
        for reader in self._readers:
            reader.take(event)

    def close(self) -> None:
        """End every stream."""
        self._is_closed = True
        self._closing.set()
        for reader in self._readers:
            reader.wake.set()

    def name_of(self, number: int) -> str:
        """Return the id of an event, which clients send back to resume."""
        return f"{self.boot}-{number}"

    async def follow(
        self, last_id: str | None, beat_s: float, kinds: Collection[str] = KINDS
    ) -> AsyncIterator[LiveEvent | None]:
        """Yield events of *kinds* after *last_id*, or from now on, and None every *beat_s*.

        A `resync` event comes first if events are lost, or if the id is not of this daemon.
        """
        reader = Reader(kinds)
        after = self._place(last_id)
        if after is None:
            reader.waiting.append(LiveEvent(self._count, "resync", {}))
        else:
            missed = (each for each in self._ring if each.number > after)
            reader.waiting.extend(each for each in missed if each.kind in kinds)
        self._readers.add(reader)
        beats = _Beats(beat_s)
        try:
            while not self._is_closed:
                # Checked before each event, so that `resync` precedes every event behind a gap.
                if beats.is_due():
                    yield None
                elif reader.missed:
                    reader.missed = False
                    first = reader.waiting[0].number if reader.waiting else self._count
                    yield LiveEvent(first - 1, "resync", {})
                elif reader.waiting:
                    yield reader.waiting.popleft()
                else:
                    reader.wake.clear()
                    await beats.wait(reader.wake)
        finally:
            self._readers.discard(reader)

    async def follow_changes(
        self, last_id: str | None, beat_s: float, every_s: float, kinds: Collection[str] = KINDS
    ) -> AsyncIterator[LiveEvent | None]:
        """Yield one event `changes` every *every_s*, if there are any, and None every *beat_s*.

        An event has the subjects that changed since the one before. Its cost does not depend on how often
        each of them changed.
        """
        reader = Reader(kinds, is_patient=True)
        place = self._place(last_id, has_all=True)
        if place is None:
            place = self._count
            yield LiveEvent(place, "resync", {})
        self._readers.add(reader)
        beats = _Beats(beat_s)
        try:
            while not self._is_closed:
                if beats.is_due():
                    yield None
                elif changes := self._changes.since(place, kinds):
                    place = self._count
                    reader.wake.clear()
                    yield LiveEvent(place, "changes", changes)
                    await self._pause(every_s)
                else:
                    place = self._count
                    reader.wake.clear()
                    await beats.wait(reader.wake)
        finally:
            self._readers.discard(reader)

    async def _pause(self, seconds: float) -> None:
        """Wait so long, or until the streams end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    def _place(self, last_id: str | None, *, has_all: bool = False) -> int | None:
        """Return the number to resume after; None if later events are not in the ring any more.

        *has_all*: what changed since is known for all numbers of this daemon.
        """
        if last_id is None:
            return self._count
        boot, _, number = last_id.rpartition("-")
        if boot != self.boot or not number.isascii() or not number.isdigit() or len(number) > 18:
            return None
        oldest = self._ring[0].number if self._ring else self._count + 1
        place = int(number)
        return place if (0 if has_all else oldest - 1) <= place <= self._count else None


class _Beats:
    """Beats of a stream, each *beat_s* after the one before, however busy the stream is."""

    def __init__(self, beat_s: float) -> None:
        self._beat_s = beat_s
        self._due = asyncio.get_running_loop().time() + beat_s

    def is_due(self) -> bool:
        """Return whether a beat is due; if it is, the next one is due *beat_s* later."""
        now = asyncio.get_running_loop().time()
        if now < self._due:
            return False
        self._due = now + self._beat_s
        return True

    async def wait(self, wake: asyncio.Event) -> None:
        """Wait for *wake*, but not beyond the next beat."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._due):
                await wake.wait()
