"""The judgement about attempts whose worker is silent, or whose hand-over has ended without a report.

Rule: pure. The owner of a shard judges for its own shard, from rows of one snapshot, and only while it has been
in touch with the store without a gap: heartbeats hang with every other commit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from luad.core.model import Instant

LONGEST_GAP_MS: Final = 2_000
"""A pulse that was committed later than this after the one before is a gap in the contact."""

SEEN_TWICE_MS: Final = 5_000
"""A hand-over that is over without a report must be seen so twice, this far apart."""


class Contact:
    """The time since which every pulse of a node was committed in time."""

    def __init__(self) -> None:
        self._since: int | None = None
        self._latest = 0

    def note(self, elapsed: int) -> None:
        """Note a pulse that was committed at *elapsed* of the node's steady clock."""
        if self._since is None or elapsed - self._latest > LONGEST_GAP_MS:
            self._since = elapsed
        self._latest = elapsed

    def lose(self) -> None:
        """Note that the session is gone."""
        self._since = None

    def has_lasted(self, ms: int, elapsed: int) -> bool:
        """Return whether the contact has had no gap for *ms*."""
        if self._since is None or elapsed - self._latest > LONGEST_GAP_MS:
            return False
        return elapsed - self._since >= ms


class HandOverState(StrEnum):
    """The state of the row that hands an attempt over."""

    WAITING = "waiting"
    DOING = "doing"  # a fetcher has it
    OVER = "over"  # it is over, or gone


@dataclass(frozen=True, slots=True)
class RunningAttempt:
    """A running attempt of a shard, as the store has it.

    *worker*: the life of the worker that launched it, None while no worker has. *seen_at*: the latest
    heartbeat of that worker, None where its row is gone. *doing_since*: when a fetcher took the row.
    *has_report*: an inbox row reports its end.
    """

    run_id: str
    attempt: int
    worker: str | None
    seen_at: Instant | None
    hand_over: HandOverState
    doing_since: Instant | None = None
    has_report: bool = False


class Verdict(StrEnum):
    """The fate of an attempt that no worker will report about."""

    LOST = "lost"  # `on_lost` decides
    UNTOUCHED = "untouched"  # nothing of it has run: it is handed over again


Attempt = tuple[str, int]
"""A run id and the number of an attempt."""


class Reaper:
    """Judges the running attempts of the shards of one node."""

    def __init__(self, lost_after_ms: int) -> None:
        self._lost_after_ms = lost_after_ms
        self._over_since: dict[Attempt, int] = {}
        self._ahead_since: dict[tuple[Attempt, Instant], int] = {}

    def forget(self) -> None:
        """Forget what was seen: the node was not in touch with the store."""
        self._over_since.clear()

    def judge(
        self, running: Collection[RunningAttempt], now: Instant, elapsed: int, contact: Contact
    ) -> Mapping[Attempt, Verdict]:
        """Return the attempts that are lost or untouched. *now*: the store's clock at the snapshot."""
        self._note_ahead(running, now, elapsed)
        if not contact.has_lasted(self._lost_after_ms, elapsed):
            self.forget()
            return {}
        over: dict[Attempt, int] = {}
        verdicts: dict[Attempt, Verdict] = {}
        for each in running:
            key = (each.run_id, each.attempt)
            if each.has_report:
                continue
            if each.hand_over is HandOverState.OVER:
                over[key] = self._over_since.get(key, elapsed)
            if self._is_silent(each, now, elapsed) or (
                key in over and elapsed - over[key] >= SEEN_TWICE_MS
            ):
                verdicts[key] = Verdict.LOST
            elif self._is_untouched(each, now, elapsed):
                verdicts[key] = Verdict.UNTOUCHED
        self._over_since = over
        return verdicts

    def _note_ahead(self, running: Iterable[RunningAttempt], now: Instant, elapsed: int) -> None:
        """Note since when each instant is ahead of *now*: the store's clock went back behind it.

        `forget` keeps this: no verdict follows without a contact that has lasted, and a living worker's instant
        changes in that time.
        """
        instants = [
            ((each.run_id, each.attempt), at)
            for each in running
            for at in (each.seen_at, each.doing_since)
            if at is not None and at > now
        ]
        self._ahead_since = {each: self._ahead_since.get(each, elapsed) for each in instants}

    def _age(self, each: RunningAttempt, at: Instant, now: Instant, elapsed: int) -> int:
        """Return the time since *at*; since it was first seen, where the store's clock is behind it."""
        since = self._ahead_since.get(((each.run_id, each.attempt), at))
        return now - at if since is None else elapsed - since

    def _is_silent(self, each: RunningAttempt, now: Instant, elapsed: int) -> bool:
        """Return whether the worker that launched the attempt has been silent for too long."""
        if each.worker is None:
            return False
        return (
            each.seen_at is None
            or self._age(each, each.seen_at, now, elapsed) > self._lost_after_ms
        )

    def _is_untouched(self, each: RunningAttempt, now: Instant, elapsed: int) -> bool:
        """Return whether a fetcher has had the row for too long, and no worker has launched it."""
        at = each.doing_since
        if each.worker is not None or each.hand_over is not HandOverState.DOING or at is None:
            return False
        return self._age(each, at, now, elapsed) > self._lost_after_ms
