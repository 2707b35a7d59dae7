"""Every broken or treacherous file gets its message, and none of them harms its neighbours.

`tests/corpus/expected.txt` holds the messages. After a change that is meant, write it anew and read
the difference::

    python tests/config/test_corpus.py && git diff tests/corpus/expected.txt
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from luad.config.jobs.catalogue import Catalogue
from luad.config.jobs.job_file import load_file
from luad.config.problems import render_concise, render_full, to_github, to_json, to_sarif
from luad.config.settings.daemon_settings import Settings
from luad.errors import Problem

CORPUS = Path(__file__).parent.parent / "corpus"
EXPECTED = CORPUS / "expected.txt"
FILES = sorted(CORPUS.glob("*.yaml"))
NOW = 1_795_341_600_000  # 2026-11-22T10:00:00Z
GOOD = b'name: good\nhandler: m:f\nschedule: {type: cron, expression: "0 9 * * *"}\n'


@dataclass(frozen=True)
class Version:
    data: bytes
    key: str
    problem: Problem | None = None


def messages_of(path: Path) -> str:
    parsed = load_file(path.name, path.read_bytes(), settings=Settings(), now=NOW)
    jobs = "1 job" if len(parsed.jobs) == 1 else f"{len(parsed.jobs)} jobs"
    return f"== {path.name}: {jobs}\n{render_concise(parsed.problems)}"


def expected_messages() -> dict[str, str]:
    blocks = re.split(r"(?m)^(?=== )", EXPECTED.read_text(encoding="utf-8"))
    return {block.split(":")[0].removeprefix("== "): block for block in blocks if block}


def test_the_corpus_and_its_messages_belong_together() -> None:
    assert len(FILES) >= 150
    assert list(expected_messages()) == [path.name for path in FILES]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_file_gets_its_messages(path: Path) -> None:
    assert messages_of(path) == expected_messages()[path.name]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_problem_of_each_file_can_be_shown(path: Path) -> None:
    parsed = load_file(path.name, path.read_bytes(), settings=Settings(), now=NOW)
    for problem in parsed.problems:
        text = render_full([problem]) + to_github(problem)
        assert all(char.isprintable() or char == "\n" for char in text)
        json.dumps([to_json(problem), to_sarif([problem])]).encode()
        assert problem.message
        assert problem.line <= 12, "a place outside of the file"
        assert problem.end_column >= problem.column


@pytest.mark.slow
def test_a_good_job_beside_each_file_stays_the_same_object() -> None:
    catalogue = Catalogue(Settings())
    good = Version(GOOD, "good")
    before = catalogue.update({"good.yaml": good}).wanted["good"]
    for path in FILES:
        loaded = catalogue.update(
            {"good.yaml": good, "other.yaml": Version(path.read_bytes(), path.name)}
        )
        assert loaded.wanted["good"] is before, path.name
        assert "good.yaml" not in loaded.stale


@pytest.mark.slow
def test_a_file_that_breaks_in_any_of_these_ways_keeps_its_last_good_job() -> None:
    expected = expected_messages()
    broken = [path for path in FILES if ": 0 jobs\n" in expected[path.name]]
    stale = 0
    for path in broken:
        catalogue = Catalogue(Settings())
        good = catalogue.update({"a.yaml": Version(GOOD, "good")}).wanted["good"]
        loaded = catalogue.update({"a.yaml": Version(path.read_bytes(), path.name)})
        if not loaded.problems:
            assert not loaded.wanted, "a file without documents asks for nothing"
            continue
        assert loaded.wanted["good"].job is good.job
        assert loaded.wanted["good"].stale
        assert loaded.stale == ("a.yaml",)
        stale += 1
    assert stale >= 300


@pytest.mark.slow
def test_no_file_costs_more_than_400_turns_or_50_mb() -> None:
    command = [sys.executable, str(Path(__file__).parent / "hostile.py"), str(CORPUS)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": str(CORPUS.parent)},
    )
    costs = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(costs) > len(FILES)
    assert not [cost for cost in costs if cost["turns"] >= 400]
    assert not [cost for cost in costs if cost["grown_mb"] >= 50]
    hostile = costs[len(FILES) :]
    assert all(cost["code"] and not cost["jobs"] for cost in hostile), "each of them is refused"


def write_expected() -> None:
    EXPECTED.write_text("".join(map(messages_of, FILES)), encoding="utf-8")


if __name__ == "__main__":
    write_expected()
