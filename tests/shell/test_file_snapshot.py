"""A start reads the files that have changed while luad was down, and gives what a reading of all gives."""

from __future__ import annotations

import asyncio
import os
import random  # noqa: TID251 - each folder has its seed
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from luad.clock import SystemClock
from luad.config.jobs.catalogue import Catalogue
from luad.config.settings.daemon_settings import Settings
from luad.core.model import Now, Wanted
from luad.daemon.file_reading import ConfigReader, Reading, UserReader
from luad.daemon.wiring import files_digest
from luad.store import Store
from luad.store.file_snapshot import StoredFile
from luad.store.sqlite.writer import Writer
from luad.store.work_queue import Task
from luad.watcher import SnapshotReader
from tests.support.access_lists import grant

NOBODY = 65534


class Later(SystemClock):
    """A clock long after the files were written, so that no status is too recent to be kept."""

    def now(self) -> Now:
        now = super().now()
        return Now(now.wall + 60_000, now.elapsed)


class Lives:
    """The files of a daemon that is stopped and started again, with what its store would keep."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = replace(Settings(), jobs=(folder,))
        self.jobs: dict[str, Wanted] = {}
        self.files: dict[str, StoredFile] = {}

    def start(self, *, has_snapshot: bool = True) -> Reading:
        self.restore(has_snapshot=has_snapshot)
        return self.reader.read()

    def start_at_once(self, dice: random.Random) -> Reading | None:
        """Start as a daemon does that compares files while jobs run; None if it must read them first."""
        self.restore(has_snapshot=True)
        if not self.files or self.reader.begin(0) is None:
            return None
        paths = list(self.files)
        dice.shuffle(paths)
        for at in range(0, len(paths), 2):
            self.compared |= set(self.reader.compare(paths[at : at + 2]))
        return self.reader.finish()

    def restore(self, *, has_snapshot: bool) -> None:
        self.compared: set[str] = set()
        self.catalogue = Catalogue(self.settings)
        self.catalogue.seed(Wanted(each.job, each.origin) for each in self.jobs.values())
        self.reader = ConfigReader(
            SnapshotReader([self.folder], 1_000, keeps_data=False),
            self.catalogue,
            Later(),
            UserReader(self.settings, lambda: SnapshotReader([])),
        )
        if has_snapshot:
            self.reader.restore(self.files.values())

    def keep(self, reading: Reading) -> None:
        """Note what the store has once *reading* is in force."""
        self.jobs = dict(self.catalogue.wanted)
        for path in reading.to_drop:
            self.files.pop(path, None)
        self.files |= {each.path: each for each in reading.to_save}


def job(*names: str, more: str = "") -> str:
    text = "handler: m:f\nschedule: {type: interval, every: 1m}\n"
    return "---\n".join(f"name: {name}\n{text}{more}" for name in names)


@pytest.fixture
def lives(tmp_path: Path) -> Lives:
    tmp_path.chmod(0o755)
    (tmp_path / "jobs.d").mkdir()
    return Lives(tmp_path / "jobs.d")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the job files that are opened."""
    paths: list[str] = []
    ask = os.open

    def note(path: str, *rest: int, **options: int) -> int:
        if isinstance(path, str) and path.endswith(".yaml"):
            paths.append(Path(path).name)
        return ask(path, *rest, **options)

    monkeypatch.setattr(os, "open", note)
    return paths


def test_unchanged_files_are_not_opened_and_their_jobs_stay_the_same(
    lives: Lives, opened: list[str]
) -> None:
    (lives.folder / "a.yaml").write_text(job("a", "b"))
    (lives.folder / "empty.yaml").write_text("# nothing yet\n")
    lives.keep(lives.start())
    opened.clear()
    before = lives.jobs
    reading = lives.start()
    assert opened == []
    assert {name: each.job for name, each in reading.wanted.items()} == {
        name: each.job for name, each in before.items()
    }
    assert (reading.problems, reading.to_save, reading.to_drop) == ((), (), ())
    assert reading.file_count == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.chmod(0o600),
        lambda path: path.chmod(0o666),
        lambda path: path.write_text(path.read_text().replace("1m", "2m")),
        lambda path: path.rename(path.with_name("b.yaml")),
        lambda path: (
            path.with_name("copy").write_text(path.read_text())
            and path.with_name("copy").replace(path)
        ),
    ],
    ids=["mode", "trust", "content", "renamed", "replaced"],
)
def test_a_file_whose_status_differs_is_read_again(
    lives: Lives, opened: list[str], change: Callable[[Path], object]
) -> None:
    path = lives.folder / "a.yaml"
    path.write_text(job("a"))
    (lives.folder / "other.yaml").write_text(job("other"))
    lives.keep(lives.start())
    status = path.stat()
    change(path)
    opened.clear()
    for there in (each for each in (path, path.with_name("b.yaml")) if each.exists()):
        os.utime(there, ns=(status.st_atime_ns, status.st_mtime_ns))
    lives.start()
    assert opened in (["a.yaml"], ["b.yaml"])


@pytest.mark.skipif(os.geteuid() != 0, reason="changes owners")
def test_a_change_of_owner_or_access_list_is_judged_at_the_next_start(lives: Lives) -> None:
    for name in ("a", "b"):
        (lives.folder / f"{name}.yaml").write_text(job(name))
    lives.keep(lives.start())
    os.chown(lives.folder / "a.yaml", NOBODY, -1)
    (lives.folder / "b.yaml").chmod(0o664)
    grant(lives.folder / "b.yaml", ("user", NOBODY, 6))
    reading = lives.start()
    assert sorted(each.code for each in reading.problems) == ["LU031", "LU040"]
    assert all(each.stale for each in reading.wanted.values()), "their last good versions stay"


def test_a_file_that_was_removed_while_luad_was_down_takes_its_jobs_along(lives: Lives) -> None:
    for name in ("a", "b"):
        (lives.folder / f"{name}.yaml").write_text(job(name))
    lives.keep(lives.start())
    (lives.folder / "a.yaml").unlink()
    reading = lives.start()
    assert set(reading.wanted) == {"b"}
    assert reading.to_drop == (str(lives.folder / "a.yaml"),)


def test_a_folder_that_is_missing_at_the_start_keeps_its_jobs_as_stale_ones(lives: Lives) -> None:
    (lives.folder / "a.yaml").write_text(job("a"))
    lives.keep(lives.start())
    away = lives.folder.with_name("away")
    lives.folder.rename(away)
    reading = lives.start()
    assert (reading.wanted["a"].stale, len(reading.stale)) == (True, 1)
    away.rename(lives.folder)
    reading = lives.reader.read()
    assert (reading.items["a"], reading.stale) == (lives.jobs["a"], ())


def test_files_with_a_problem_and_fresh_ones_are_not_kept(lives: Lives) -> None:
    (lives.folder / "broken.yaml").write_text("name: [")
    (lives.folder / "doubtful.yaml").write_text(job("a", more="timeout: none\n"))
    (lives.folder / "first.yaml").write_text(job("same"))
    (lives.folder / "second.yaml").write_text(job("same"))
    fresh = lives.folder / "fresh.yaml"
    fresh.write_text(job("fresh"))
    at = Later().now().wall * 1_000_000
    reading = lives.start()
    with_problem = {Path(each.path).name for each in reading.problems}
    kept = {Path(each.path).name for each in reading.to_save}
    assert {"broken.yaml", "second.yaml"} <= with_problem
    assert kept == {"doubtful.yaml", "first.yaml", "fresh.yaml"} - with_problem
    assert at > fresh.stat().st_ctime_ns


def test_a_row_whose_jobs_are_not_all_in_the_store_is_ignored(
    lives: Lives, opened: list[str]
) -> None:
    (lives.folder / "a.yaml").write_text(job("a", "b"))
    lives.keep(lives.start())
    del lives.jobs["b"]
    opened.clear()
    assert set(lives.start().wanted) == {"a", "b"}
    assert opened == ["a.yaml"]


def test_starts_with_a_snapshot_give_what_starts_without_one_give(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for seed in range(40):
        dice = random.Random(seed)  # noqa: S311 - no secret
        folder = tmp_path / f"{seed}.d"
        folder.mkdir()
        lives, plain = Lives(folder), Lives(folder)
        for _ in range(8):
            for _ in range(dice.randint(0, 3)):
                path = folder / dice.choice(["a.yaml", "b.yaml", "c.yaml", "d.yaml"])
                match dice.randint(0, 5):
                    case 0:
                        path.unlink(missing_ok=True)
                    case 1 if path.exists():
                        path.chmod(dice.choice([0o644, 0o666]))
                    case 2:
                        path.write_text("name: [")
                    case _:
                        names = dice.sample("wxyz", dice.randint(0, 2))
                        path.write_text(job(*names, more=f"timeout: {dice.randint(1, 2)}m\n"))
            before = {name: replace(each, stale=False) for name, each in lives.jobs.items()}
            one = lives.start_at_once(dice) if seed % 2 else lives.start()
            one, other = one or lives.start(), plain.start(has_snapshot=False)
            assert one.problems == other.problems, seed
            assert one.stale == other.stale, seed
            assert lives.catalogue.wanted == other.wanted, seed
            changed = {name for name, item in one.items.items() if item != before.get(name)}
            assert not changed & lives.compared, seed
            found = {**before, **one.items}
            assert {name: each for name, each in found.items() if each} == other.wanted, seed
            lives.keep(one)
            plain.keep(other)


def test_a_start_that_compares_later_opens_only_what_has_changed(
    lives: Lives, opened: list[str]
) -> None:
    for name in "abcd":
        (lives.folder / f"{name}.yaml").write_text(job(name))
    lives.keep(lives.start())
    (lives.folder / "a.yaml").unlink()
    (lives.folder / "b.yaml").write_text(job("b", "e"))
    (lives.folder / "c.yaml").chmod(0o666)
    (lives.folder / "new.yaml").write_text(job("new"))
    opened.clear()
    reading = lives.start_at_once(random.Random(1))  # noqa: S311 - no secret
    assert reading is not None
    assert lives.compared == {"d"}
    assert {name: each and each.stale for name, each in reading.items.items()} == {
        "a": None,
        "c": True,
        "e": False,
        "new": False,
    }
    assert sorted(opened) == ["b.yaml", "c.yaml", "new.yaml"]


@pytest.mark.parametrize("fault", ["missing", "untrusted", "unknown"])
def test_without_a_folder_or_a_snapshot_files_are_read_before_anything_starts(
    lives: Lives, fault: str
) -> None:
    (lives.folder / "a.yaml").write_text(job("a"))
    lives.keep(lives.start())
    match fault:
        case "missing":
            lives.folder.rename(lives.folder.with_name("away.d"))
        case "untrusted":
            lives.folder.chmod(0o777)
        case _:
            lives.files.clear()
    lives.restore(has_snapshot=True)
    assert lives.reader.begin(1) is None
    reading = lives.reader.read()
    assert reading.wanted["a"].stale is (fault != "unknown")


async def test_a_snapshot_of_another_digest_is_ignored_and_goes(tmp_path: Path) -> None:
    with_mode = [StoredFile(f"{n}", b"\0\xff", "k", b"\1", None, n) for n in range(1_200)]
    store = Store.open(tmp_path, clock=SystemClock())
    try:
        store.files.save_later("one", with_mode, ())
        while len(store.files.restore("one")) < len(with_mode):
            await store.users.remove("nobody")  # a write, in whose pauses the others are done
        assert sorted(store.files.restore("one")) == sorted(with_mode)
        assert store.files.restore("two") == []
        store.files.save_later("two", with_mode[:2], ["1"])
        while len(store.files.restore("two")) < 2:
            await store.users.remove("nobody")
        assert store.files.restore("one") == []
        store.files.save_later("two", (), ["1"])
        while len(store.files.restore("two")) > 1:
            await store.users.remove("nobody")
        assert [each.path for each in store.files.restore("two")] == ["0"]
    finally:
        store.close()


async def test_a_claim_waits_for_few_rows_of_the_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start stores the snapshot of all files while their jobs already run."""
    rows = [StoredFile(f"{n}", b"\0\xff", "k", b"\1", None, n) for n in range(1_700)]
    transact, seen = Writer.transact, list[tuple[bool, int]]()

    def count(self: Writer, tasks: list[Task], *, is_urgent: bool) -> list[object]:
        seen.append((is_urgent, len(tasks)))
        return transact(self, tasks, is_urgent=is_urgent)

    monkeypatch.setattr(Writer, "transact", count)
    store = Store.open(tmp_path, clock=SystemClock())
    is_held, may_go_on = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        seen.clear()
        is_held.set()
        may_go_on.wait()

    try:
        held = store._backend.submit(hold)
        await asyncio.to_thread(is_held.wait)
        store.files.save_later("one", rows, [f"{n}" for n in range(600)])
        claim = asyncio.ensure_future(store.users.remove("nobody"))
        await asyncio.sleep(0)  # the claim is queued behind the snapshot
        may_go_on.set()
        await asyncio.wrap_future(held)
        await claim
    finally:
        may_go_on.set()
        store.close()
    assert seen[0] == (True, 1)
    assert seen[1:] == [(False, 1)] * (2 + 4)


def test_the_digest_follows_what_the_jobs_of_a_file_depend_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings()
    digests = {
        files_digest(each)
        for each in (
            settings,
            replace(settings, timezone="Europe/Berlin"),
            replace(settings, max_jobs=7),
            replace(settings, max_file_size=7),
            replace(settings, jobs=(tmp_path,)),
            replace(settings, permit_insecure=True),
        )
    }
    monkeypatch.setattr("luad.daemon.wiring.__version__", "0.0.1")
    digests.add(files_digest(settings))
    monkeypatch.setattr("luad.daemon.wiring.version", lambda _: "1970a")
    digests.add(files_digest(settings))
    assert len(digests) == 8


def test_a_reading_that_fails_on_its_way_loses_no_change(tmp_path: Path) -> None:
    """The memory may end at any step, and without a thread a reading may come too late for its caller."""
    for step in ("_load", "_places", "_names", "_to_keep"):
        folder = tmp_path / step
        folder.mkdir()
        lives = Lives(folder)
        lives.start()
        (folder / "a.yaml").write_text(
            "name: a\nhandler: work:note\nschedule: {type: interval, seconds: 60}\n"
        )
        reader, failing = lives.reader, [MemoryError()]
        real = getattr(reader, step)

        def fail_once(
            *args: object,
            _real: Callable[..., object] = real,
            _failing: list[MemoryError] = failing,
        ) -> object:
            found = _real(*args)
            if _failing:
                raise _failing.pop()
            return found

        setattr(reader, step, fail_once)
        with pytest.raises(MemoryError):
            reader.read(is_settled=True)
        reader.read(is_settled=True)  # its caller has already been told of a failure
        reading = reader.read(is_settled=True)
        assert reading.is_news, step
        assert set(reading.items) == {"a"}, step
        reader.delivered(reading)
        assert not reader.read(is_settled=True).is_news, step
