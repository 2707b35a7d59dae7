"""The table of faults: no row is missing, and each names tests that are there, or its reason."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from named import PROJECT, exists

PAGE = PROJECT / "docs/explanation/faults.md"
FAULTS = range(1, 103)
CELLS = ["n", "fault", "what luad does", "tests", "outcome"]
REASONS = ("does not apply, because ", "cannot be tested here, because ")


def mistakes(page: str) -> Iterator[str]:
    """What is wrong with a page of faults."""
    seen: set[int] = set()
    for cells in _rows(page):
        number, fault, answer, tests, outcome = cells
        if not number.isdigit() or int(number) not in FAULTS:
            yield f"{number}: there is no such fault"
            continue
        if int(number) in seen:
            yield f"{number}: stands twice"
        seen.add(int(number))
        if not fault or not answer:
            yield f"{number}: says nothing"
        names = re.findall(r"`([^`]+)`", tests)
        if re.sub(r"`[^`]+`(<br>|$)", "", tests):
            yield f"{number}: tests stand in backquotes, with <br> between"
        for name in names:
            if not exists(name):
                yield f"{number}: there is no {name}"
        if outcome == "holds" and not names:
            yield f"{number}: holds, but no test says so"
        has_reason = any(outcome.startswith(each) and outcome != each for each in REASONS)
        if not has_reason and outcome != "holds":
            yield f"{number}: {outcome!r} is no outcome"
    for missing in sorted(set(FAULTS) - seen):
        yield f"{missing}: has no row"


def _rows(page: str) -> Iterator[list[str]]:
    for line in page.splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip().strip("|").split(" |")]
            cells += [""] * (len(CELLS) - len(cells))
            if cells != CELLS and not cells[0].startswith("---"):
                assert len(cells) == len(CELLS), f"{line}: a row has {len(CELLS)} cells"
                yield cells


def test_every_fault_has_tests_that_are_there_or_a_reason() -> None:
    assert list(mistakes(PAGE.read_text())) == []


HERE = "tests/shell/test_faults.py"
GOOD = "\n".join(
    f"| {n} | f | a | `{HERE}::test_every_fault_has_tests_that_are_there_or_a_reason` | holds |"
    for n in FAULTS
)
CASES = f"`{HERE}::test_a_wrong_page_is_told`"


@pytest.mark.parametrize(
    ("row", "mistake"),
    [
        (f"| 7 | f | a | `{HERE}::test_gone` | holds |", "7: there is no "),
        ("| 7 | f | a | `tests/shell/test_gone.py::test_a` | holds |", "7: there is no "),
        (f"| 7 | f | a | `{HERE}::mistakes` | holds |", "7: there is no "),
        (f"| 7 | f | a | `{HERE}` | holds |", "7: there is no "),
        (
            f"| 7 | f | a | `{HERE}::test_every_fault_has_tests_that_are_there_or_a_reason[1]` | holds |",
            "7: there is no ",
        ),
        (f"| 7 | f | a | {HERE}::test_a_wrong_page_is_told | holds |", "7: tests stand in "),
        ("| 7 | f | a |  | holds |", "7: holds, but "),
        ("| 7 | f | a |  | does not apply, because  |", "7: 'does not apply, because'"),
        (f"| 7 | f | a | {CASES} | probably |", "7: 'probably' is no outcome"),
        (f"| 7 | f | a | {CASES} | not yet |", "7: 'not yet' is no outcome"),
        (f"| 7 |  | a | {CASES} | holds |", "7: says nothing"),
        (f"| 8 | f | a | {CASES} | holds |", "8: stands twice"),
        (f"| 103 | f | a | {CASES} | holds |", "103: there is no such fault"),
        ("", "7: has no row"),
    ],
)
def test_a_wrong_page_is_told(row: str, mistake: str) -> None:
    told = list(mistakes(_page_with(row)))
    assert any(each.startswith(mistake) for each in told), told


@pytest.mark.parametrize(
    "row",
    [
        f"| 7 | f | a | {CASES} | holds |",
        f"| 7 | f | a | `{HERE}::test_a_wrong_page_is_told[7]`<br>{CASES} | holds |",
        "| 7 | f | a |  | cannot be tested here, because it needs a moon |",
    ],
)
def test_a_right_page_is_not(row: str) -> None:
    assert list(mistakes(_page_with(row))) == []


def _page_with(row: str) -> str:
    return "\n".join(row if line.startswith("| 7 |") else line for line in GOOD.splitlines())
