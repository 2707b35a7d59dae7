"""`luad check` and the names of handler files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

JOB = "name: {name}\nhandler: {handler}\nschedule: {{type: interval, every: 1h}}\n"
RUN = "def run(job):\n    return 1\n"


@pytest.fixture
def project(luad: Any, tmp_path: Path) -> Path:
    assert luad("init").code == 0
    return tmp_path


def coded(result: Any, code: str) -> list[dict[str, Any]]:
    return [each for each in result.json if each["code"] == code]


@pytest.mark.parametrize("options", [(), ("--no-import",)])
def test_a_job_that_names_a_reserved_file_is_told_the_new_name(
    luad: Any, project: Path, options: tuple[str, ...]
) -> None:
    (project / "handlers/email.py").write_text(RUN)
    (project / "jobs.d/mail.yaml").write_text(JOB.format(name="mail", handler="email:run"))
    result = luad("check", "--json", *options)
    assert result.code == 1
    [found] = coded(result, "LU310")
    assert found["filename"].endswith("jobs.d/mail.yaml")
    assert "`email` is a module of Python's standard library" in found["message"]
    assert "handlers/email_jobs.py, and write  handler: email_jobs:run" in found["help"]


@pytest.mark.slow
def test_check_names_the_file_that_is_never_imported(luad: Any, project: Path) -> None:
    (project / "handlers/click.py").write_text(RUN)
    (project / "handlers/json").mkdir()
    result = luad("check", "--json")
    assert result.code == 0
    assert [Path(each["filename"]).name for each in coded(result, "LU311")] == ["click.py", "json"]
    assert "`click` is a library that luad needs" in coded(result, "LU311")[0]["message"]
    assert luad("check", "--strict").code == 1


@pytest.mark.slow
def test_check_warns_where_a_file_hides_an_installed_package(luad: Any, project: Path) -> None:
    (project / "handlers/pytest.py").write_text(RUN)
    (project / "handlers/pluggy").mkdir()
    (project / "handlers/not_installed.py").write_text(RUN)
    result = luad("check", "--json")
    assert result.code == 0
    found = coded(result, "LU312")
    assert [Path(each["filename"]).name for each in found] == ["pluggy", "pytest.py"]
    assert "hides the installed package `pytest` (" in found[1]["message"]


def test_a_file_does_not_hide_itself(
    luad: Any, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "handlers/mine.py").write_text(RUN)
    monkeypatch.setenv("PYTHONPATH", str(project / "handlers"))
    assert coded(luad("check", "--json"), "LU312") == []


@pytest.mark.slow
def test_a_fresh_project_has_no_such_warning(luad: Any, project: Path) -> None:
    assert project.is_dir()
    assert luad("check", "--strict").code == 0


def test_new_does_not_make_a_file_that_is_never_imported(luad: Any, project: Path) -> None:
    for name in ("click", "json"):
        assert luad("new", name, "--every", "1h").code == 0
        assert (project / f"handlers/job_{name}.py").is_file()
    assert luad("check", "--strict").code == 0
