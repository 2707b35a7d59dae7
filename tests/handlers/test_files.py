"""luad.handlers.files with real files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from luad.handlers.files import SHOWN, PruneError, prune
from luad.sdk import Job

MakeJob = Callable[..., Job]
NOON = int(datetime(2025, 11, 22, 12, 0, tzinfo=UTC).timestamp())
HOUR = 3600


@pytest.fixture
def top(tmp_path: Path) -> Path:
    folder = tmp_path / "top"
    folder.mkdir()
    return folder


def put(path: Path, age: int = 0, text: str = "12345") -> Path:
    """Write a file that was modified *age* seconds before noon."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (NOON - age, NOON - age))
    return path


def names(top: Path) -> list[str]:
    return sorted(str(path.relative_to(top)) for path in top.rglob("*"))


def test_without_a_word_about_it_nothing_is_removed(make_job: MakeJob, top: Path) -> None:
    put(top / "old", 2 * HOUR)
    result = prune(make_job(path=str(top), older_than="1h"))
    assert result == {
        "path": str(top),
        "dry_run": True,
        "matched": 1,
        "selected": 1,
        "selected_bytes": 5,
        "removed": 0,
        "removed_bytes": 0,
        "removed_dirs": 0,
        "files": [str(top / "old")],
    }
    assert names(top) == ["old"]


def test_only_what_is_older_goes(make_job: MakeJob, top: Path) -> None:
    put(top / "older", HOUR + 1)
    put(top / "exactly as old", HOUR)
    put(top / "younger", HOUR - 1)
    put(top / "from the future", -HOUR)
    result = prune(make_job(path=str(top), older_than="1h", dry_run=False))
    assert names(top) == ["exactly as old", "from the future", "younger"]
    assert (result["matched"], result["selected"], result["removed"]) == (4, 1, 1)
    assert result["removed_bytes"] == 5


@pytest.mark.parametrize("age", [3600, "3600", "1h", "60m", "3600s"])
def test_an_age_is_seconds_or_a_duration(make_job: MakeJob, top: Path, age: Any) -> None:
    put(top / "older", HOUR + 1)
    put(top / "younger", HOUR - 1)
    assert prune(make_job(path=str(top), older_than=age))["files"] == [str(top / "older")]


def test_only_matching_names_go(make_job: MakeJob, top: Path) -> None:
    for name in ("a.log", "b.LOG", "c.txt", "d.log.gz", ".hidden.log", ".cache"):
        put(top / name, 2 * HOUR)
    common = {"path": str(top), "older_than": "1h", "dry_run": False}
    assert prune(make_job(pattern="*.log", **common))["removed"] == 1
    assert prune(make_job(pattern=["*.gz", ".*.log"], **common))["removed"] == 2
    assert names(top) == [".cache", "b.LOG", "c.txt"]
    prune(make_job(**common))
    assert names(top) == [".cache"]


def test_the_newest_are_kept_however_old(make_job: MakeJob, top: Path) -> None:
    for days in range(1, 6):
        put(top / f"backup-{days}", days * 24 * HOUR)
    prune(make_job(path=str(top), keep=2, dry_run=False))
    assert names(top) == ["backup-1", "backup-2"]
    prune(make_job(path=str(top), keep=1, older_than="3d", dry_run=False))
    assert names(top) == ["backup-1", "backup-2"]


def test_below_is_only_looked_at_when_asked(make_job: MakeJob, top: Path) -> None:
    put(top / "a", 2 * HOUR)
    put(top / "sub" / "b", 2 * HOUR)
    put(top / "sub" / "deep" / "c", 2 * HOUR)
    common = {"path": str(top), "older_than": "1h", "dry_run": False}
    assert prune(make_job(**common))["removed"] == 1
    assert names(top) == ["sub", "sub/b", "sub/deep", "sub/deep/c"]
    assert prune(make_job(recursive=True, **common))["removed"] == 2
    assert names(top) == ["sub", "sub/deep"]


def test_only_folders_emptied_by_this_run_go(make_job: MakeJob, top: Path) -> None:
    put(top / "emptied" / "below" / "a", 2 * HOUR)
    put(top / "half" / "old", 2 * HOUR)
    put(top / "half" / "new")
    (top / "was empty before").mkdir()
    result = prune(
        make_job(
            path=str(top), older_than="1h", dry_run=False, recursive=True, remove_empty_dirs=True
        )
    )
    assert result["removed_dirs"] == 2
    assert names(top) == ["half", "half/new", "was empty before"]


def test_the_folder_itself_stays(make_job: MakeJob, top: Path) -> None:
    put(top / "a", 2 * HOUR)
    asked = {"recursive": True, "remove_empty_dirs": True, "dry_run": False}
    prune(make_job(path=str(top), older_than="1h", **asked))
    assert names(top) == []
    assert top.is_dir()


def test_links_are_neither_followed_nor_removed(
    make_job: MakeJob, top: Path, tmp_path: Path
) -> None:
    outside = put(tmp_path / "outside" / "precious", 9 * HOUR)
    (top / "to a file").symlink_to(outside)
    (top / "to a folder").symlink_to(outside.parent, target_is_directory=True)
    os.utime(top / "to a file", (0, 0), follow_symlinks=False)
    asked = {"recursive": True, "remove_empty_dirs": True, "dry_run": False}
    result = prune(make_job(path=str(top), older_than="1h", **asked))
    assert result["matched"] == 0
    assert outside.exists()
    assert names(top) == ["to a file", "to a folder"]


def test_pipes_and_sockets_are_left_alone(make_job: MakeJob, top: Path) -> None:
    os.mkfifo(top / "pipe")
    assert prune(make_job(path=str(top), older_than=0, dry_run=False))["matched"] == 0


def test_a_path_through_a_link_is_resolved_once(
    make_job: MakeJob, top: Path, tmp_path: Path
) -> None:
    put(top / "a", 2 * HOUR)
    (tmp_path / "link").symlink_to(top)
    result = prune(make_job(path=str(tmp_path / "link"), older_than="1h", dry_run=False))
    assert result["path"] == str(top)
    assert names(top) == []


def test_a_relative_path_is_below_the_working_directory(
    make_job: MakeJob, top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(top.parent)
    assert prune(make_job(path="top", older_than="1h"))["path"] == str(top)


def test_the_result_names_only_the_first_files(make_job: MakeJob, top: Path) -> None:
    for number in range(SHOWN + 5):
        put(top / f"{number:03}", 2 * HOUR)
    result = prune(make_job(path=str(top), older_than="1h"))
    assert result["files"] == [str(top / f"{number:03}") for number in range(SHOWN)]
    assert result["selected"] == SHOWN + 5


@contextmanager
def as_somebody_without_rights() -> Iterator[None]:
    """Root may remove everything; be nobody for a while."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_what_resists_is_told_after_everything_else_is_done(make_job: MakeJob) -> None:
    with TemporaryDirectory() as folder:  # pytest's own folders are closed to nobody
        top = Path(folder)
        for name in ("a", "locked/b", "open/c"):
            put(top / name, 2 * HOUR)
        for path, mode in ((top, 0o777), (top / "locked", 0o555), (top / "open", 0o777)):
            path.chmod(mode)
        job = make_job(path=folder, older_than="1h", recursive=True, dry_run=False)
        said = r"^1 could not be removed, first .*/locked/b: Permission denied$"
        with as_somebody_without_rights(), pytest.raises(PruneError, match=said):
            prune(job)
        assert names(top) == ["locked", "locked/b", "open"]


def test_a_folder_that_cannot_be_read_is_told(make_job: MakeJob) -> None:
    with TemporaryDirectory() as folder:
        top = Path(folder)
        put(top / "closed" / "a", 2 * HOUR)
        top.chmod(0o755)
        (top / "closed").chmod(0o000)
        job = make_job(path=folder, older_than="1h", recursive=True)
        with as_somebody_without_rights(), pytest.raises(PruneError, match="closed: Permission"):
            prune(job)
        (top / "closed").chmod(0o700)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"older_than": "1h"}, "metadata.path: is missing"),
        ({"path": "/tmp"}, "metadata.older_than: is missing; write older_than: 7d, keep: 10"),
        ({"path": "/", "older_than": "1h"}, "metadata.path: / is refused"),
        ({"path": "/../", "older_than": "1h"}, "metadata.path: / is refused"),
        ({"path": "/etc/", "older_than": "1h"}, "metadata.path: /etc is refused"),
        ({"path": "~", "older_than": "1h"}, "metadata.path: .* is refused"),
        ({"path": "/no/such", "older_than": "1h"}, "metadata.path: /no/such is not a folder"),
        (
            {"path": "/tmp", "older_than": "1 week"},
            "metadata.older_than: '1 week' is not a duration",
        ),
        ({"path": "/tmp", "older_than": -1}, "metadata.older_than: a duration is between"),
        ({"path": "/tmp", "older_then": "1h"}, "metadata.older_then: .* mean `older_than`"),
        ({"path": "/tmp", "keep": -1}, "metadata.keep: -1 is outside"),
        ({"path": "/tmp", "keep": 1, "dry_run": "no"}, "metadata.dry_run: write true or false"),
        ({"path": "/tmp", "keep": 1, "remove_empty_dirs": True}, "needs `recursive: true`"),
        ({"path": "/tmp", "keep": 1, "pattern": []}, "metadata.pattern: the list is empty"),
    ],
)
def test_a_wrong_parameter_is_named(make_job: MakeJob, metadata: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        prune(make_job(**metadata))
