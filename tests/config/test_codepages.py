"""Every problem code has a page, and every finding leads to it and says whether --fix can mend it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from luad.config.jobs.job_file import load_file
from luad.config.problem_pages import EXAMPLES, FIXABLE, PAGES, page_of, url_of
from luad.config.problems import (
    CODES,
    render_concise,
    render_full,
    render_github,
    render_json,
    render_sarif,
)
from luad.config.settings.daemon_settings import Settings

PROJECT = Path(__file__).parents[2]
TEXT = b"name: a\nhandler: m:f\ntimout: 5m\nschedule: {type: cron, expression: '0 25 * * *'}\n"


def test_the_pages_are_those_of_the_codes() -> None:
    assert PAGES.keys() == CODES.keys()
    assert CODES.keys() >= FIXABLE


def test_every_code_of_the_source_has_a_page() -> None:
    used: set[str] = set()
    for path in (PROJECT / "luad").rglob("*.py"):
        used |= set(re.findall(r"\"(LU\d{3})\"", path.read_text()))
    assert used <= PAGES.keys()


def test_the_page_of_the_docs_has_a_section_for_each_code() -> None:
    script = PROJECT / "docs/reference/problems.py"
    done = subprocess.run([sys.executable, script, "--check"], check=False)
    assert done.returncode == 0, "run python docs/reference/problems.py"
    sections = re.findall(r"(?m)^## (LU\d+)$", (script.with_suffix(".md")).read_text())
    assert sections == list(CODES)


@pytest.mark.parametrize("code", CODES)
def test_a_page_fits_a_terminal(code: str) -> None:
    page = page_of(code, CODES[code])
    assert all(len(line) <= 80 for line in page.splitlines())
    assert "--fix" in page


def test_each_form_has_the_address_and_says_whether_fix_mends_it() -> None:
    problems = load_file("a.yaml", TEXT, settings=Settings()).problems
    assert [each.code for each in problems] == ["LU102", "LU201"]
    full = render_full(problems)
    assert "= more: luad help LU102; luad check --fix corrects it" in full
    assert "= more: luad help LU201; write what the help says" in full
    first, second = render_concise(problems).splitlines()
    assert first.endswith(" [fix]")
    assert not second.endswith(" [fix]")
    found = json.loads(render_json(problems))
    assert [each["fixable"] for each in found] == [True, False]
    assert [each["url"] for each in found] == [url_of("LU102"), url_of("LU201")]
    run = json.loads(render_sarif(problems))["runs"][0]
    rules = {each["id"]: each["helpUri"] for each in run["tool"]["driver"]["rules"]}
    assert rules == {"LU102": url_of("LU102"), "LU201": url_of("LU201")}
    assert [each["properties"]["fixable"] for each in run["results"]] == [True, False]
    change = run["results"][0]["fixes"][0]["artifactChanges"][0]["replacements"][0]
    assert change["insertedContent"]["text"] == "timeout"
    lines = render_github(problems).splitlines()
    assert "luad check --fix corrects it; https://" in lines[0]
    assert url_of("LU201") in lines[1]


@pytest.mark.parametrize("code", EXAMPLES)
def test_a_page_has_its_example(code: str) -> None:
    before, after = EXAMPLES[code]
    page = page_of(code, CODES[code])
    assert before != after
    assert f"Not:\n    {before}\n" in page
    assert "But:\n    " in page
