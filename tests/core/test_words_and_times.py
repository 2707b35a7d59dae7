"""The words for a cron line say exactly when it fires: an independent reader takes them back to times."""

from __future__ import annotations

import random  # noqa: TID251 - a test may throw dice, with a seed
from collections.abc import Sequence

import pytest
from support.phrase_model import Day, Read, read_sentence, read_short

from luad.core.cron.crontext import describe_shortly
from luad.core.cron.search import CronError, CronRule, compile_cron, describe

LENGTHS = {1: (31,), 2: (28, 29), 4: (30,), 6: (30,), 9: (30,), 11: (30,)}
DAYS: list[tuple[Day, int]] = [
    ((month, day, (first + day - 1) % 7, length), first)
    for month in range(1, 13)
    for length in LENGTHS.get(month, (31,))
    for first in range(7)
    for day in range(1, length + 1)
]


def bits(mask: int) -> frozenset[int]:
    return frozenset(number for number in range(mask.bit_length()) if mask >> number & 1)


def assert_same(
    rule: CronRule, read: Read, what: str, days: Sequence[tuple[Day, int]] = DAYS
) -> None:
    assert read.seconds == bits(rule.seconds), what
    assert read.minutes == bits(rule.minutes), what
    for day, first in days:
        month, number, _, length = day
        fires = rule.months >> month & 1 and rule.days[first][length - 28] >> number & 1
        assert bool(fires) is read.is_day(day), (what, day)


def field(dice: random.Random, low: int, high: int) -> str:
    def value() -> str:
        return str(dice.randint(low, high))

    def span() -> str:
        first, last = sorted((dice.randint(low, high), dice.randint(low, high)))
        return f"{first}-{last}"

    kinds = ("*", value(), value(), f"{value()},{value()}", span(), f"*/{dice.choice('23456')}")
    whole = (f"{low}-{high}", f"{span()},{value()}", f"{low}-{high}/{dice.choice('23')}")
    return dice.choice((*kinds, *kinds, *whole))


def weekday(dice: random.Random) -> str:
    ordinal = f"{dice.randint(0, 6)}#{dice.randint(1, 5)}"
    special = (ordinal, f"L{dice.randint(0, 6)}", f"{ordinal},L{dice.randint(0, 6)}", "1-5", "0-6")
    return dice.choice(("*", "*", "*", field(dice, 0, 6), field(dice, 0, 7), dice.choice(special)))


def dice_of(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - no secrets here


def expressions(count: int, seed: int) -> list[str]:
    """Lines as people write them, and lines that nobody would write; all can fire."""
    dice = dice_of(seed)
    found: list[str] = []
    while len(found) < count:
        fields = [field(dice, 0, 59), field(dice, 0, 23)]
        day = dice.choice(("*", "*", field(dice, 1, 31), "L", f"{dice.randint(1, 31)},L", "1-31"))
        fields += [day, dice.choice(("*", "*", field(dice, 1, 12))), weekday(dice)]
        if dice.random() < 0.3:
            fields.insert(0, dice.choice(("0", field(dice, 0, 59))))
        line = " ".join(fields)
        try:
            compile_cron(line)
        except CronError:
            continue
        found.append(line)
    return found


@pytest.mark.parametrize(
    "line",
    ["0 0 1-31 * 5", "0 0 1 * 0-6", "0 0 1-31 6 5", "0 0 1-31 * 5#2", "0 0 */2 * 0-6", "0 0 L * 5"],
)
def test_the_words_of_odd_day_fields_are_their_times(line: str) -> None:
    assert_same(compile_cron(line), read_sentence(describe(line)), line)


@pytest.mark.slow
def test_the_sentence_of_ten_thousand_lines_describes_their_times() -> None:
    dice = dice_of(1)
    for line in expressions(10_000, seed=2026):
        words, days = describe(line), dice.sample(DAYS, 200)
        assert_same(compile_cron(line), read_sentence(words), f"{line}: {words}", days)


@pytest.mark.slow
def test_the_text_in_a_table_describes_the_times_or_is_the_line_itself() -> None:
    dice = dice_of(2)
    for line in expressions(5_000, seed=7):
        words, days = describe_shortly(line), dice.sample(DAYS, 200)
        if words != line:
            assert_same(compile_cron(line), read_short(words), f"{line}: {words}", days)
