"""A short soak, and that its verdicts can fail."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from soak import verdict
from soak.scene import Scene
from soak.soak import Goal, Report, soak
from soak.verdict import MB, Sample

SEED = 20261127
GOAL = Goal(runs=1_000, reloads=40, kills=5, seconds=240)


@pytest.fixture(scope="module")
def soaked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    folder = tmp_path_factory.mktemp("soak")
    return folder, soak(folder, GOAL, SEED, sample_every_s=5.0)


@pytest.mark.slow
def test_runs_reloads_and_kills_break_no_promise(soaked: tuple[Path, Report]) -> None:
    _, report = soaked
    assert report.violations == (), str(report)
    assert report.runs >= GOAL.runs, "it must not have stood still"
    assert report.reloads >= GOAL.reloads
    assert report.kills >= GOAL.kills


def altered(soaked: tuple[Path, Report], folder: Path, *statements: str) -> list[str]:
    """The verdict on the killed life once its database says something else."""
    there = soaked[0] / "killed"
    shutil.copy(there / "state" / "luad.db", folder / "luad.db")
    shutil.copy(there / "ledger", folder / "ledger")
    with closing(sqlite3.connect(folder / "luad.db")) as connection, connection:
        for statement in statements:
            connection.execute(statement.replace("ONE", ONE).replace("LAST", LAST))
    return verdict.promises(Scene(folder, 20), folder / "luad.db")


ONE = """(
    SELECT id FROM runs WHERE job_name = 'job-3' AND state = 'succeeded' AND attempt = 1
    ORDER BY scheduled_for LIMIT 1 OFFSET 1
)"""
LAST = "(SELECT max(started_at) + 1 FROM runs WHERE job_name = 'job-3')"


@pytest.mark.parametrize(
    ("statement", "invariant"),
    [
        ("DELETE FROM runs WHERE id = ONE", "I4: job-3"),
        ("UPDATE runs SET state = 'running' WHERE id = ONE", "I15: "),
        ("UPDATE runs SET state = 'skipped' WHERE id = ONE", "I6: "),
        ("UPDATE runs SET claimed_at = fire_at - 1 WHERE id = ONE", "I1: run_"),
        ("UPDATE runs SET end_at = LAST WHERE id = ONE", "I8: "),
    ],
)
def test_a_database_that_tells_another_story_is_noticed(
    soaked: tuple[Path, Report], tmp_path: Path, statement: str, invariant: str
) -> None:
    assert altered(soaked, tmp_path) == []
    assert any(each.startswith(invariant) for each in altered(soaked, tmp_path, statement))


@pytest.mark.parametrize(
    ("changes", "invariant"),
    [
        ({"again": "begin"}, "I3: "),
        ({"at": -5_000}, "I1: "),
        ({"other_run": "run_else"}, "I8: "),
    ],
)
def test_a_ledger_that_tells_another_story_is_noticed(
    soaked: tuple[Path, Report], tmp_path: Path, changes: dict[str, object], invariant: str
) -> None:
    altered(soaked, tmp_path)
    ledger = tmp_path / "ledger"
    begun = next(each for each in Scene(tmp_path, 20).witnessed() if each.attempt == 1)
    line = [begun.what, begun.run_id, "1", begun.job, str(begun.scheduled_for), str(begun.at)]
    if "at" in changes:
        line[1], line[5] = "run_early", str(begun.scheduled_for - 5_000)
    if "other_run" in changes:
        line[0], line[1], line[5] = "end", "run_else", str(begun.at + 1)
    ledger.write_text(ledger.read_text() + " ".join(line) + "\n")
    found = verdict.promises(Scene(tmp_path, 20), tmp_path / "luad.db")
    assert any(each.startswith(invariant) for each in found), found


CALM = [
    Sample(1_000 * number, 80 * MB, 20, 5, frozenset(), 10 * MB, 1_000 * number)
    for number in range(40)
]


def test_what_does_not_grow_is_fine() -> None:
    assert verdict.growth(CALM) == []


@pytest.mark.parametrize(
    ("what", "step", "said"),
    [
        ("resident", MB // 5, "memory grows"),
        ("resident", 3 * MB, "MB resident"),
        ("descriptors", 1, "descriptors only grow"),
        ("descriptors", 20, "descriptors"),
        ("threads", 1, "threads only grow"),
    ],
)
def test_what_grows_is_noticed(what: str, step: int, said: str) -> None:
    growing = [
        replace(each, **{what: getattr(each, what) + step * number})
        for number, each in enumerate(CALM)
    ]
    assert any(said in each for each in verdict.growth(growing))


def test_zombies_that_stay_are_noticed() -> None:
    assert verdict.growth([replace(each, zombies=frozenset({1})) for each in CALM]) != []
    others = [replace(each, zombies=frozenset({n})) for n, each in enumerate(CALM)]
    assert verdict.growth(others) == []


def test_a_database_beyond_what_it_keeps_is_noticed() -> None:
    assert verdict.growth([*CALM, replace(CALM[-1], database=200 * MB)]) != []
