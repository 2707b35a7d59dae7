"""The pages about security: each rule has its package and its tests, and so has each row of the crash table."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.named_tests import PROJECT, exists

PAGE = PROJECT / "docs/explanation/security.md"
SHOWN = Path(__file__).parent / "rules.toml"
RULES = range(1, 11)
HOLES = range(1, 18)
ROW = re.compile(r"^(?:- |\| )\*\*(A|\d+)\.(\d+)\*\*(?: \|)? (.+)$", re.MULTILINE)


def mistakes(page: str, shown: dict[str, Any]) -> Iterator[str]:
    """Yield each thing that is wrong with a page of rules, or with the tests that show them."""
    rows = [(rule, int(clause)) for rule, clause, _ in ROW.findall(page)]
    if page.count("\n| **A.") + len(re.findall(r"\n- \*\*\d", page)) != len(rows):
        yield "a row cannot be read"
    for rule in (*map(str, RULES), "A"):
        clauses = [clause for each, clause in rows if each == rule]
        expected = HOLES if rule == "A" else range(1, len(clauses) + 1)
        if clauses != list(expected) or not clauses:
            yield f"{rule}: its clauses are {clauses}"
    for rule, clause, text in ROW.findall(page):
        entry = shown.get(f"{rule}.{clause}", {"tests": []})
        files = dict.fromkeys(name.partition("::")[0] for name in entry["tests"])
        if rule == "A" and not text.endswith(f"| {', '.join(f'`{each}`' for each in files)} |"):
            yield f"A.{clause}: the page names other tests"
    numbers = {f"{rule}.{clause}" for rule, clause in rows}
    for number in sorted(numbers ^ {*shown}):
        yield f"{number}: is in only one of the two files"
    for number, entry in shown.items():
        places, tests = entry.get("where", []), entry["tests"]
        if not tests or not (places or number.startswith("A.")):
            yield f"{number}: names too little"
        for place in places:
            if not (PROJECT / place).exists():
                yield f"{number}: there is no {place}"
        for name in tests:
            if not exists(name):
                yield f"{number}: there is no {name}"


def _shown() -> str:
    return SHOWN.read_text()


def test_every_rule_has_its_place_and_tests_that_are_there() -> None:
    assert list(mistakes(PAGE.read_text(), tomllib.loads(_shown()))) == []


@pytest.mark.parametrize(
    ("old", "new", "mistake"),
    [
        ("**3.2**", "**3.9**", "3: its clauses are"),
        ("**10.1**", "**9.3**", "10: its clauses are []"),
        ("**4.2**", "**four**", "4: its clauses are"),
        ("**4.2** No", "**4.2 No**", "a row cannot be read"),
        ("**A.3**", "**A.30**", "A: its clauses are"),
        ('["A.17"]', '["A.18"]', "A.17: is in only one of the two files"),
        ('"luad/trust"', '"luad/nowhere"', "1.1: there is no luad/nowhere"),
        ('where = ["luad/trust"]', "where = []", "1.1: names too little"),
        ('test_a_revoked_token_is_out"', 'test_gone"', "3.5: there is no"),
        ('test_a_renewed_pair_is_used_once_both_fit"', 'test_gone"', "A.10: there is no"),
        (
            "`tests/api/test_tokens.py`",
            "`tests/api/test_jobs.py`",
            "A.9: the page names other tests",
        ),
    ],
)
def test_a_wrong_page_is_told(old: str, new: str, mistake: str) -> None:
    page, shown = PAGE.read_text(), _shown()
    assert old in page + shown
    told = list(mistakes(page.replace(old, new, 1), tomllib.loads(shown.replace(old, new, 1))))
    assert any(each.startswith(mistake) for each in told), told


def test_every_row_of_the_crash_table_is_shown_by_tests_that_are_there() -> None:
    page = (PROJECT / "docs/explanation/delivery.md").read_text()
    table = page.split("## If luad is killed, or the machine")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \|", table, re.MULTILINE)
    shown = tomllib.loads((Path(__file__).parent / "crashes.toml").read_text())
    assert rows == [*shown] == [str(number) for number in range(1, 12)]
    assert all(shown.values())
    assert [name for names in shown.values() for name in names if not exists(name)] == []


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
