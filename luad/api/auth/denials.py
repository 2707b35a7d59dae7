"""Refusals of clients without a valid token: counters, and a bounded number of log lines.

Such a client can neither fill a disk with lines nor be refused without a trace.

    counters      by reason, without an address: `luad_api_refused_total`
    lines         one for an address and minute (`api.denied`), 59 a minute for all addresses together,
                  and one that says how many more there were
    wrong tokens  five a minute from one address; further wrong ones are refused unread, with 429

Rule: memory is bounded for any number of addresses. A line holds no text of a client.
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
"""The number of addresses in memory; beyond it the least recent one is dropped."""


@dataclass(slots=True)
class _Record:
    """The refusals of one address."""

    told_at: Instant | None = None
    untold: int = 0
    wrong_at: deque[Instant] = field(default_factory=lambda: deque(maxlen=MOST_WRONG))


@dataclass(slots=True)
class Denials:
    """The refusals since the start of the daemon."""

    service: Service
    counts: Counter[str] = field(default_factory=Counter)
    _records: OrderedDict[str, _Record] = field(default_factory=OrderedDict)
    _told: deque[Instant] = field(default_factory=deque)
    _more: int = 0
    _more_since: Instant = 0

    def refuse(self, group: str, address: str, reason: str, status: int) -> None:
        """Count a refusal, and log it unless the rate is exceeded. *group*: the key of the counter."""
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
        """Log the number of refusals without a line of their own, once a minute is over."""
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
    """Limits the log lines of one actor in a minute."""

    clock: Clock
    most: int = MOST_LINES
    _told: dict[str, deque[Instant]] = field(default_factory=dict)
    _left_out: Counter[str] = field(default_factory=Counter)

    def may_log(self, actor: str) -> int | None:
        """Return the number of lines of *actor* left out before this one; None if it is left out too."""
        now = self.clock.now().elapsed
        told = self._told.setdefault(actor, deque())
        while told and now - told[0] >= MINUTE:
            told.popleft()
        if len(told) >= self.most:
            self._left_out[actor] += 1
            return None
        told.append(now)
        return self._left_out.pop(actor, 0)
