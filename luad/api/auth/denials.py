"""Refusals of clients that have shown no valid token: counted, and told in few lines of the log.

A stranger must be able neither to fill a disk with refusals nor to be refused without a trace.

    counters      by reason, without an address: `luad_api_refused_total`
    lines         one for an address and minute (`api.denied`), 59 a minute for all addresses together,
                  and one that says how many more there were
    wrong tokens  five a minute from one address; further wrong ones are refused unread, with 429

Room rule: what is kept has a bound, whatever number of addresses asks. No text of a client is in a line.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from luad.core.events import Log
from luad.core.model import MINUTE

if TYPE_CHECKING:
    from luad.api.service import Service
    from luad.clock import Clock
    from luad.core.model import Instant

MOST_WRONG: Final = 5
MOST_LINES: Final = 59
MOST_ADDRESSES: Final = 10_000
"""Of so many addresses something is remembered; then the one that has asked nothing for longest goes."""


@dataclass(slots=True)
class _Record:
    """What is remembered of one address."""

    told_at: Instant | None = None
    untold: int = 0
    wrong_at: deque[Instant] = field(default_factory=lambda: deque(maxlen=MOST_WRONG))


@dataclass(slots=True)
class Denials:
    """The refusals of one daemon's life."""

    service: Service
    counts: Counter[str] = field(default_factory=Counter)
    _records: OrderedDict[str, _Record] = field(default_factory=OrderedDict)
    _told: deque[Instant] = field(default_factory=deque)
    _more: int = 0
    _more_since: Instant = 0

    def refuse(self, group: str, address: str, reason: str, status: int) -> None:
        """Count a refusal, and tell it if it is time to. *group*: the name under which it is counted."""
        self.counts[reason] += 1
        now = self.service.clock.now().elapsed
        record = self._record(group)
        record.untold += 1
        if record.told_at is not None and now - record.told_at < MINUTE:
            return
        self.log_rest()
        if len(self._told) >= MOST_LINES:
            if not self._more:
                self._more_since = now
            self._more += 1
            return
        self._told.append(now)
        fields = {"client": address, "reason": reason, "status": status, "count": record.untold}
        self.service.log(Log("api.denied", fields, "warning"))
        record.told_at, record.untold = now, 0

    def log_rest(self) -> None:
        """Say how many refusals had no line of their own, if a minute of them is over."""
        now = self.service.clock.now().elapsed
        while self._told and now - self._told[0] >= MINUTE:
            self._told.popleft()
        if self._more and now - self._more_since >= MINUTE:
            message = f"and {self._more} more refusals from other addresses within a minute"
            fields = {"message": message, "count": self._more}
            self._more = 0
            self.service.log(Log("api.denied_more", fields, "warning"))

    def note_wrong_token(self, group: str) -> bool:
        """Count a wrong token; return whether the address has sent too many of them."""
        now = self.service.clock.now().elapsed
        wrong_at = self._record(group).wrong_at
        is_too_many = len(wrong_at) == MOST_WRONG and now - wrong_at[0] < MINUTE
        if not is_too_many:
            wrong_at.append(now)
        return is_too_many

    def _record(self, group: str) -> _Record:
        record = self._records.get(group)
        if record is None:
            record = self._records[group] = _Record()
            if len(self._records) > MOST_ADDRESSES:
                self._records.popitem(last=False)
        self._records.move_to_end(group)
        return record


@dataclass(slots=True)
class LineRate:
    """Says whether a line may be written: so many a minute of one actor."""

    clock: Clock
    most: int = MOST_LINES
    _told: dict[str, deque[Instant]] = field(default_factory=dict)
    _left_out: Counter[str] = field(default_factory=Counter)

    def may_log(self, actor: str) -> int | None:
        """Return how many lines of *actor* were left out before this one; None to leave it out, too."""
        now = self.clock.now().elapsed
        told = self._told.setdefault(actor, deque())
        while told and now - told[0] >= MINUTE:
            told.popleft()
        if len(told) >= self.most:
            self._left_out[actor] += 1
            return None
        told.append(now)
        return self._left_out.pop(actor, 0)
