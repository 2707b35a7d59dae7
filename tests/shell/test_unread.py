"""Files that look like job files and are not read are told; those that say so themselves are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from luad.errors import Severity
from luad.watcher import SnapshotReader


def told(folder: Path, *more: Path) -> list[str]:
    reader = SnapshotReader([folder, *more], permit_insecure=True)
    problems = reader.read(0, is_settled=True).problems
    assert all(each.code == "LU511" for each in problems)
    assert all(each.severity is Severity.WARNING for each in problems)
    return [each.path for each in problems]


@pytest.mark.parametrize("name", ["a.YAML", "a.Yml", "a.yaml.txt", "a.yml.TXT", "a.json"])
def test_a_file_with_nearly_the_right_name_is_told_with_the_command(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("name: a\n")
    reader = SnapshotReader([tmp_path], permit_insecure=True)
    (problem,) = reader.read(0, is_settled=True).problems
    assert problem.path == str(tmp_path / name)
    assert problem.help == f"run: mv {tmp_path / name} {tmp_path}/a.yaml"


@pytest.mark.parametrize(
    "name",
    [
        "a.yaml",
        ".a.YAML",
        "_a.YAML",
        "a.yaml~",
        "#a.yaml#",
        "README.md",
        "a.yaml.bak",
        "a.yaml.tmp",
        "4913",
        "notes.txt",
        "run.sh",
    ],
)
def test_other_files_are_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    assert told(tmp_path) == []


def test_a_subfolder_with_job_files_is_told_once(tmp_path: Path) -> None:
    deep = tmp_path / "team" / "nightly"
    deep.mkdir(parents=True)
    (deep / "a.yaml").write_text("")
    (tmp_path / "team" / "b.yml").write_text("")
    assert told(tmp_path) == [str(tmp_path / "team")]


def test_a_subfolder_without_job_files_or_one_that_is_read_is_left_alone(tmp_path: Path) -> None:
    for name in ("empty", "..data", ".git", "_old", "read"):
        (tmp_path / name).mkdir()
    for name in ("..data", ".git", "_old", "read"):
        (tmp_path / name / "a.yaml").write_text("")
    assert told(tmp_path, tmp_path / "read") == []


def test_what_was_mended_is_not_told_again(tmp_path: Path) -> None:
    reader = SnapshotReader([tmp_path], permit_insecure=True)
    (tmp_path / "a.YAML").write_text("")
    assert len(reader.read(0, is_settled=True).problems) == 1
    (tmp_path / "a.YAML").rename(tmp_path / "a.yaml")
    assert reader.read(0, is_settled=True).problems == ()
