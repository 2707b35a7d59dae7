"""The table of faults: no row is missing, and each has tests that are there, or its reason."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.named_tests import PROJECT, exists

PAGE = PROJECT / "docs/explanation/faults.md"
SHOWN = Path(__file__).parent / "faults.toml"
FAULTS = range(1, 128)
CELLS = ["n", "fault", "what luad does"]
MOST_WORDS = 25
REASONS = ("does not apply, because ", "cannot be tested here, because ")


def mistakes(page: str, shown: dict[str, Any]) -> Iterator[str]:
    """Yield each thing that is wrong with a page of faults, or with the tests that show them."""
    seen: set[int] = set()
    for number, fault, answer in _rows(page):
        if not number.isdigit() or int(number) not in FAULTS:
            yield f"{number}: there is no such fault"
            continue
        if int(number) in seen:
            yield f"{number}: stands twice"
        seen.add(int(number))
        if not fault or not answer:
            yield f"{number}: says nothing"
        if max(len(fault.split()), len(answer.split())) > MOST_WORDS:
            yield f"{number}: a cell has more than {MOST_WORDS} words"
        if "See below" in answer and f"\n**{number}, " not in page:
            yield f"{number}: there is nothing below"
        yield from _unshown(number, shown.get(number, []), page)
    for missing in sorted(set(FAULTS) - seen):
        yield f"{missing}: has no row"
    for number in sorted({*shown} - {str(each) for each in FAULTS}):
        yield f"{number}: there is no such fault"
    for number in re.findall(r"^\*\*(\d+),? ", page, re.MULTILINE):
        if int(number) not in FAULTS:
            yield f"{number}: there is no such fault"


def _unshown(number: str, tests: list[str] | str, page: str) -> Iterator[str]:
    if isinstance(tests, str):
        if not any(tests.startswith(each) and tests != each for each in REASONS):
            yield f"{number}: {tests!r} is not a reason"
        elif tests not in page:
            yield f"{number}: the page does not say that it {tests}"
    elif not tests:
        yield f"{number}: no test shows it"
    else:
        yield from (f"{number}: there is no {name}" for name in tests if not exists(name))


def _rows(page: str) -> Iterator[list[str]]:
    for line in page.splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip().strip("|").split(" |")]
            cells += [""] * (len(CELLS) - len(cells))
            if cells != CELLS and not cells[0].startswith("---"):
                assert len(cells) == len(CELLS), f"{line}: a row has {len(CELLS)} cells"
                yield cells


def test_every_fault_has_tests_that_are_there_or_a_reason() -> None:
    assert list(mistakes(PAGE.read_text(), tomllib.loads(SHOWN.read_text()))) == []


HERE = "tests/shell/test_faults.py"
TEST = f"{HERE}::test_every_fault_has_tests_that_are_there_or_a_reason"
CASES = f"{HERE}::test_a_wrong_page_is_told"
GOOD = {str(n): f"| {n} | f | a |" for n in FAULTS}
REASON = "cannot be tested here, because it needs a moon"


@pytest.mark.parametrize(
    ("row", "mistake"),
    [
        ("| 7 |  | a |", "7: says nothing"),
        ("| 7 | f |  |", "7: says nothing"),
        (f"| 7 | f | {'a ' * 26}|", "7: a cell has more"),
        ("| 7 | f | a. See below. |", "7: there is nothing below"),
        ("| 8 | f | a |", "8: stands twice"),
        ("| 128 | f | a |", "128: there is no such fault"),
        ("| 7 | f | a |\n\n**128, a.** b", "128: there is no such fault"),
        ("", "7: has no row"),
    ],
)
def test_a_wrong_page_is_told(row: str, mistake: str) -> None:
    _expect(mistake, row, [TEST])


@pytest.mark.parametrize(
    ("tests", "mistake"),
    [
        ([], "7: no test shows it"),
        ([f"{HERE}::test_gone"], "7: there is no "),
        (["tests/shell/test_gone.py::test_a"], "7: there is no "),
        ([f"{HERE}::mistakes"], "7: there is no "),
        ([HERE], "7: there is no "),
        ([f"{TEST}[1]"], "7: there is no "),
        ("probably", "7: 'probably' is not a reason"),
        ("does not apply, because ", "7: 'does not apply, because ' is not a reason"),
        (REASON, "7: the page does not say"),
    ],
)
def test_wrong_tests_are_told(tests: list[str] | str, mistake: str) -> None:
    _expect(mistake, GOOD["7"], tests)


def test_tests_of_a_fault_that_there_is_not_are_told() -> None:
    shown = _shown_with([TEST]) | {"128": [TEST]}
    assert list(mistakes("\n".join(GOOD.values()), shown)) == ["128: there is no such fault"]


@pytest.mark.parametrize(
    ("row", "tests"),
    [
        ("| 7 | f | a |", [CASES]),
        ("| 7 | f | a |", [f"{CASES}[7]", TEST]),
        ("| 7 | f | a. See below. |\n\n**7, b.** c", [TEST]),
        (f"| 7 | f | It {REASON}. |", REASON),
    ],
)
def test_a_right_page_is_not(row: str, tests: list[str] | str) -> None:
    assert list(mistakes(_page_with(row), _shown_with(tests))) == []


def _expect(mistake: str, row: str, tests: list[str] | str) -> None:
    told = list(mistakes(_page_with(row), _shown_with(tests)))
    assert any(each.startswith(mistake) for each in told), told


def _page_with(row: str) -> str:
    return "\n".join((GOOD | {"7": row}).values())


def _shown_with(tests: list[str] | str) -> dict[str, Any]:
    return {number: [TEST] for number in GOOD} | {"7": tests}
