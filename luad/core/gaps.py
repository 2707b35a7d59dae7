"""The shortest time between two occurrences of a schedule.

Rule: pure, and exact for the civil calendar; a change of the clocks is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Final, assert_never

from luad.core.cron.search import CronRule, compile_cron
from luad.core.model import DAY, MINUTE, SECOND, Cron, Instant, Interval, Once, Schedule

_MINUTES: Final = 24 * 60
_LENGTHS: Final = (
    (31,),
    (28, 29),
    (31,),
    (30,),
    (31,),
    (30,),
    (31,),
    (31,),
    (30,),
    (31,),
    (30,),
    (31,),
)


def least_gap_ms(schedule: Schedule) -> Instant | None:
    """Return the shortest time between two occurrences in milliseconds; None where there is only one."""
    match schedule:
        case Interval():
            return schedule.every_ms
        case Cron():
            return _least_gap_of_cron(schedule.expression)
        case Once():
            return None
        case _ as unreachable:
            assert_never(unreachable)


@lru_cache(maxsize=1024)
def _least_gap_of_cron(expression: str) -> int:
    """Return the shortest gap of a cron line; what fires less than once a day counts as a day."""
    rule = compile_cron(expression)
    seconds = list(_bits(rule.seconds))
    minutes = list(_bits(rule.minutes))
    wait = (seconds[0] - seconds[-1]) * SECOND  # from the last second of a minute to the next first
    gaps = [(later - earlier) * SECOND for earlier, later in pairwise(seconds)]
    gaps += [(later - earlier) * MINUTE + wait for earlier, later in pairwise(minutes)]
    if _has_neighbours(rule):
        gaps.append((_MINUTES + minutes[0] - minutes[-1]) * MINUTE + wait)
    return min(gaps, default=DAY)


def _has_neighbours(rule: CronRule) -> bool:
    """Say whether the line can fire on two days of which one follows the other."""
    for month, lengths in enumerate(_LENGTHS, start=1):
        if not rule.months >> month & 1:
            continue
        has_next = bool(rule.months >> (month % 12 + 1) & 1)
        for first_weekday in range(7):
            for length in lengths:
                days = rule.days[first_weekday][length - 28] & ((1 << (length + 1)) - 1)
                if days & (days >> 1):
                    return True
                following = rule.days[(first_weekday + length) % 7]
                if has_next and days >> length & 1 and any(each >> 1 & 1 for each in following):
                    return True
    return False


def _bits(mask: int) -> Iterator[int]:
    return (place for place in range(mask.bit_length()) if mask >> place & 1)
