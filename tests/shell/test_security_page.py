"""The table of security rules: none is missing, and each names a place and tests that are there. So does
each row of the crash table."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from named import PROJECT, exists

PAGE = PROJECT / "docs/explanation/security.md"
RULES = range(1, 11)
HOLES = range(1, 18)
HOLE = re.compile(r"^\| A\.(\d+) \| (.+) \| (.+) \|$", re.MULTILINE)
ROW = re.compile(r"^\| (\d+)\.(\d+) \| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)


def mistakes(page: str) -> Iterator[str]:
    """What is wrong with a page of rules."""
    rows = ROW.findall(page)
    numbers = [(int(rule), int(clause)) for rule, clause, *_ in rows]
    holes = HOLE.findall(page)
    if page.count("\n| ") != len(rows) + len(holes) + 2:  # the two heads
        yield "a row cannot be read"
    for rule in RULES:
        clauses = [clause for each, clause in numbers if each == rule]
        if clauses != list(range(1, len(clauses) + 1)) or not clauses:
            yield f"{rule}: its clauses are {clauses}"
    if [int(number) for number, *_ in holes] != list(HOLES):
        yield f"A: its rows are {[number for number, *_ in holes]}"
    for number, _, tests in holes:
        for name in tests.split("<br>"):
            if not exists(name.strip("`")):
                yield f"A.{number}: there is no {name}"
    for rule, clause, _, places, tests in rows:
        for place in places.split(", "):
            if not (PROJECT / place.strip("`")).is_file():
                yield f"{rule}.{clause}: there is no {place}"
        for name in tests.split("<br>"):
            if not exists(name.strip("`")):
                yield f"{rule}.{clause}: there is no {name}"


def test_every_rule_has_its_place_and_tests_that_are_there() -> None:
    assert list(mistakes(PAGE.read_text())) == []


@pytest.mark.parametrize(
    ("old", "new", "mistake"),
    [
        ("| 3.2 |", "| 3.9 |", "3: its clauses are"),
        ("| 10.1 |", "| 9.3 |", "10: its clauses are []"),
        ("`luad/api/access.py`", "`luad/api/nowhere.py`", "3.5: there is no"),
        ("test_a_revoked_token_is_out`", "test_gone`", "3.5: there is no"),
        ("| 4.2 |", "| four |", "a row cannot be read"),
        ("| A.3 |", "| A.30 |", "A: its rows are"),
        ("test_a_renewed_pair_is_used_once_both_fit`", "test_gone`", "A.10: there is no"),
    ],
)
def test_a_wrong_page_is_told(old: str, new: str, mistake: str) -> None:
    page = PAGE.read_text()
    assert old in page
    told = list(mistakes(page.replace(old, new, 1)))
    assert any(each.startswith(mistake) for each in told), told


def test_every_row_of_the_crash_table_is_shown_by_tests_that_are_there() -> None:
    page = (PROJECT / "docs/explanation/delivery.md").read_text()
    table = page.split("| shown by |\n|---|---|---|---|---|\n")[1].split("\n\n")[0]
    rows = [re.findall(r"`(tests/[^`]+)`", line) for line in table.splitlines()]
    assert len(rows) == 11
    assert all(rows)
    assert [name for names in rows for name in names if not exists(name)] == []


def test_the_readme_and_the_threat_model_promise_the_same() -> None:
    """Both say which harm handlers cannot do, and that the promise holds for accidents alone."""
    texts = [
        " ".join((PROJECT / page).read_text().replace("*", "").split())
        for page in ("README.md", "docs/explanation/threat-model.md")
    ]
    for text in texts:
        assert "cannot hurt the daemon or its neighbours by accident" in text
        for word in ("segfault", "`sys.exit`", "100 MB of output", "file with an unlucky name"):
            assert word in text
    assert "handlers-that-mean-harm" in texts[0]
    assert "### Handlers that mean harm" in texts[1]
