"""Noticing that something in a job folder has changed: every way of it, bursts, folders that are exchanged."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from luad.watcher import FolderWatch, SnapshotReader
from luad.watcher.mounted_files import files_elsewhere

NOW = 4_000_000_000_000  # long after every file's own time: nothing is racy
PATIENCE_S = 10


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    folder = tmp_path / "jobs.d"
    folder.mkdir()
    return folder


class Noticed:
    """Counts announcements and lets a test wait for one."""

    def __init__(self) -> None:
        self.news = threading.Event()
        self.reports: list[str] = []

    def wait(self) -> None:
        assert self.news.wait(PATIENCE_S), "nothing was announced"
        self.news.clear()

    def wait_for_quiet(self) -> None:
        """Wait until a change is over, with the second look that follows it."""
        while self.news.wait(0.5):
            self.news.clear()


@pytest.fixture
def noticed(jobs: Path) -> Iterator[Noticed]:
    noticed = Noticed()
    watch = FolderWatch([jobs], noticed.news.set, noticed.reports.append)
    watch.start()
    yield noticed
    watch.close()
    assert noticed.reports == []


def test_every_way_of_changing_a_file_is_announced(jobs: Path, noticed: Noticed) -> None:
    path = jobs / "a.yaml"
    path.write_text("a: 1")
    noticed.wait()
    draft = jobs / ".draft"
    draft.write_text("a: 2")
    noticed.wait()
    draft.replace(path)
    noticed.wait()
    path.chmod(0o600)
    noticed.wait()
    path.unlink()
    noticed.wait()


def test_an_exchanged_folder_is_watched_again(jobs: Path, noticed: Noticed) -> None:
    shutil.rmtree(jobs)
    noticed.wait()
    jobs.mkdir()
    noticed.wait()
    for _ in range(2):  # the first may be the folder itself
        (jobs / "a.yaml").write_text("a: 1")
        noticed.wait()


def test_a_folder_that_is_deleted_and_made_again_at_once_is_watched(
    jobs: Path, noticed: Noticed
) -> None:
    """Some file systems give the new one the number of the old one."""
    for _ in range(8):
        shutil.rmtree(jobs)
        jobs.mkdir()
        while noticed.news.wait(0.3):  # until all of that has been announced
            noticed.news.clear()
        (jobs / "a.yaml").write_text("a: 1")
        noticed.wait()
        while noticed.news.wait(0.3):
            noticed.news.clear()


def test_a_watch_that_fails_once_goes_on(jobs: Path) -> None:
    noticed = Noticed()

    def stumble() -> None:
        noticed.news.set()
        if not noticed.reports:
            raise RuntimeError("nobody listens")

    watch = FolderWatch([jobs], stumble, noticed.reports.append)
    watch.start()
    (jobs / "a.yaml").write_text("a: 1")
    noticed.wait()
    noticed.wait()
    watch.close()
    assert noticed.reports == ["watching failed and is tried again (nobody listens)"]


def test_a_burst_of_ten_thousand_files_is_announced_and_read_whole(
    jobs: Path, noticed: Noticed
) -> None:
    for number in range(10_000):
        (jobs / f"{number}.yaml").write_text("a: 1")
    noticed.wait()
    assert len(SnapshotReader([jobs]).read(NOW).files) == 10_000


def test_an_edit_in_place_of_a_file_that_lies_elsewhere_is_announced(
    jobs: Path, noticed: Noticed, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "a.yaml"
    target.write_text("a: 1")
    (jobs / "a.yaml").symlink_to(target)
    noticed.wait()
    noticed.wait_for_quiet()
    for text in ("a: 2", "a: 3"):
        target.write_text(text)
        noticed.wait()
        noticed.wait_for_quiet()
    draft = tmp_path / "elsewhere" / "draft"
    draft.write_text("a: 4")
    draft.replace(target)  # the watch on the old file says nothing of the new one
    noticed.wait()
    noticed.wait_for_quiet()
    target.write_text("a: 5")
    noticed.wait()


def test_the_files_that_lie_elsewhere_are_links_and_mount_points(jobs: Path) -> None:
    for name in ("plain.yaml", "mounted file.yaml", ".hidden.yaml", "note.txt"):
        (jobs / name).write_text("a: 1")
    (jobs / "link.yaml").symlink_to(jobs / "plain.yaml")
    (jobs / "dangling.yaml").symlink_to("/nowhere")
    mounts = (
        b"36 35 98:0 / %s rw - ext3 /dev/root rw\n" % str(jobs / "mounted\\040file.yaml").encode()
    )
    assert files_elsewhere([jobs], mounts) == (
        str(jobs / "link.yaml"),
        str(jobs / "mounted file.yaml"),
    )
    assert files_elsewhere([jobs / "missing"], b"") == ()
