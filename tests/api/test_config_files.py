"""A job file as it is on disk: who sees what of it, and which files are shown at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from luad.api.config_files import MOST_BYTES, id_of, is_job_file, path_of, read_file
from luad.core.model import Origin
from luad.errors import Problem

TEXT = """name: report
handler: reports:daily
env:
  API_KEY: sesame-open-12345
  URL: https://ann:sesame-open-12345@example.com/
expresion: "0 9 * * *"
"""


@pytest.fixture
async def broken(daemon: Any, kit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write a broken file whose last good version is in force; return its id."""
    folder = tmp_path / "jobs.d"
    folder.mkdir()
    path = folder / "report.yaml"
    path.write_text(TEXT)
    status = daemon.status
    monkeypatch.setattr(daemon, "status", lambda: {**status(), "jobs_dirs": [str(folder)]})
    good = {"name": "report", "env": {"API_KEY": "sesame-open-12345"}}
    await daemon.install(
        kit.make_job("report", definition=good), origin=Origin(str(path), 1), stale=True
    )
    daemon.troubles = (
        Problem(str(path), 6, 1, "LU102", "unknown key `expresion`", "write expression"),
        Problem(str(path), 4, 3, "LU102", "a problem beside a secret"),
    )
    return id_of(str(path))


def remove(path: str) -> None:
    Path(path).unlink()


async def test_a_viewer_sees_the_problems_and_an_operator_the_text(far: Any, broken: str) -> None:
    await far.make_token("eve", "viewer")
    await far.make_token("ann", "operator")
    files = (await far.api.get("/v1/config")).json["files"]
    assert [each["id"] for each in files] == [broken]
    for name in ("eve", "ann"):
        status, answer = await far.get(f"/v1/config/files/{broken}", name)
        assert (status, answer["is_readable"], answer["is_whole"]) == (200, True, True)
        first, second = answer["problems"]
        assert (
            first["excerpt"][-2] == {"line": 6, "text": 'expresion: "0 9 * * *"'}
            or first["excerpt"]
        )
        assert [each["line"] for each in second["excerpt"]] == [3, 4, 5]
        (job,) = answer["jobs"]
        assert (job["name"], job["definition"]["env"]) == ("report", {"API_KEY": "***"})
        assert "sesame" not in str(answer)
        if name == "eve":
            assert answer["text"] is None
        else:
            assert answer["text"].splitlines()[0] == "name: report"
            assert answer["text"].splitlines()[5] == TEXT.splitlines()[5]


async def test_a_file_that_is_gone_has_no_text(api: Any, daemon: Any, broken: str) -> None:
    remove(daemon.troubles[0].path)
    answer = (await api.get(f"/v1/config/files/{broken}")).json
    assert (answer["is_readable"], answer["text"]) == (False, None)
    assert len(answer["jobs"]) == 1


@pytest.mark.usefixtures("broken")
async def test_only_job_files_that_luad_knows_are_shown(api: Any, tmp_path: Path) -> None:
    (tmp_path / "jobs.d/other.yaml").write_text("name: other")
    (tmp_path / "jobs.d/report.txt").write_text("x")
    for path in (
        "/etc/passwd",
        str(tmp_path / "jobs.d/other.yaml"),
        str(tmp_path / "jobs.d/report.txt"),
        str(tmp_path / "jobs.d/../jobs.d/report.yaml"),
        str(tmp_path / "users.d/ann.yaml"),
    ):
        assert (await api.get(f"/v1/config/files/{id_of(path)}")).status == 404, path
    assert (await api.get("/v1/config/files/%C3%A4")).status == 404


def test_a_long_file_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "long.yaml"
    path.write_text("a: b\n" * MOST_BYTES)
    found = read_file(str(path), ())
    assert found.lines is not None
    assert (found.is_whole, found.lines[0]) == (False, "a: b")


def test_an_id_holds_any_path() -> None:
    for path in ("jobs.d/a.yaml", "/srv/jörg/b.yml", "jobs.d/\udc80.yaml"):
        assert path_of(id_of(path)) == path
        assert "/" not in id_of(path)
    assert is_job_file("/srv/jobs.d/team/a.yaml", ["/srv/jobs.d"])
    assert not is_job_file("/srv/jobs.d-other/a.yaml", ["/srv/jobs.d"])
