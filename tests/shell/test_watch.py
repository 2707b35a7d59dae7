"""Noticing that something in a job folder has changed: every way of it, bursts, folders that are exchanged."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from luad.watcher import FolderWatch, Hints, SnapshotReader
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
        self.hints: list[Hints] = []

    def take(self, hints: Hints) -> None:
        self.hints.append(hints)
        self.news.set()

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
    watch = FolderWatch([jobs], noticed.take, noticed.reports.append)
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

    def stumble(_: Hints) -> None:
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


def test_a_change_is_announced_with_its_path_as_the_settings_name_it(
    jobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(jobs.parent)
    noticed = Noticed()
    watch = FolderWatch([Path("jobs.d")], noticed.take, noticed.reports.append)
    watch.start()
    (jobs / "a.yaml").write_text("a: 1")
    noticed.wait()
    watch.close()
    assert noticed.hints == [["jobs.d/a.yaml"]]


def test_a_folder_that_changes_itself_is_announced(jobs: Path, noticed: Noticed) -> None:
    jobs.chmod(0o700)
    noticed.wait()
    assert noticed.hints == [[f"{jobs}/"]]


def test_events_that_the_kernel_has_lost_are_announced_as_a_change_of_any_file(jobs: Path) -> None:
    """Nobody reads the queue while more happens than it takes."""
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    noticed, is_busy, may_go_on = Noticed(), threading.Event(), threading.Event()

    def hold(hints: Hints) -> None:
        noticed.hints.append(hints)
        is_busy.set()
        assert may_go_on.wait(PATIENCE_S * 6)
        if hints is None:
            noticed.news.set()

    watch = FolderWatch([jobs], hold, noticed.reports.append)
    watch.start()
    (jobs / "a.yaml").write_text("a: 1")
    assert is_busy.wait(PATIENCE_S)
    for number in range(most // 2 + 100):
        (jobs / "a.yaml").touch()
        (jobs / f".{number % 2}").touch()  # not the same event twice, which the kernel would merge
    may_go_on.set()
    noticed.wait()
    watch.close()
    assert None in noticed.hints
    assert noticed.reports == []
