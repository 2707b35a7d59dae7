"""Looking at the files of a hint: nothing else is touched, and the answer is that of a whole reading."""

from __future__ import annotations

import os
import random  # noqa: TID251 - each folder has its seed
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luad.watcher import Snapshot, SnapshotReader
from luad.watcher.job_files import may_be_unfinished, shape_of

NOW = 4_000_000_000_000  # long after every file's own time: nothing is racy


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    folder = tmp_path / "jobs.d"
    folder.mkdir()
    return folder


class Touched:
    """Counts the files whose status is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths: list[str] = []
        ask = os.stat

        def stat(path: str | int, **options: bool) -> os.stat_result:
            if isinstance(path, str) and path.endswith(".yaml"):
                self.paths.append(path)
            return ask(path, **options)  # type: ignore[arg-type] # as the caller passes them

        monkeypatch.setattr(os, "stat", stat)


def test_one_changed_file_of_many_is_the_only_one_that_is_looked_at(
    jobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(500):
        (jobs / f"{number}.yaml").write_text("a: 1")
    reader = SnapshotReader([jobs])
    assert len(reader.read(NOW).changed) == 500
    path = jobs / "7.yaml"
    path.write_text("a: 2")
    touched = Touched(monkeypatch)
    found = reader.look([str(path)], NOW)
    assert {each: version.data for each, version in found.changed.items()} == {str(path): b"a: 2"}
    assert set(touched.paths) == {str(path)}
    assert reader.look([str(path)], NOW).changed == {}
    assert reader.read(NOW).changed == {}


def test_a_new_and_a_deleted_file_are_seen_by_their_names(jobs: Path) -> None:
    reader = SnapshotReader([jobs], debounce_ms=1_000)
    reader.read(NOW)
    path = jobs / "a.yaml"
    path.write_text("a: 1")
    assert list(reader.look([str(path)], NOW).changed) == [str(path)]
    path.unlink()
    missing = reader.look([str(path)], NOW)
    assert (missing.unconfirmed, missing.recheck_in_ms) == ({str(path): None}, 1_000)
    assert reader.look([], NOW + 999).gone == frozenset()
    assert reader.look([], NOW + 1_000).gone == {str(path)}, "without a hint, after its time"


def test_a_swap_of_the_link_of_a_configmap_is_a_look_at_all_files(jobs: Path) -> None:
    for version in ("1", "2"):
        (jobs / f"..{version}").mkdir()
        (jobs / f"..{version}" / "a.yaml").write_text(f"a: {version}")
    (jobs / "..data").symlink_to("..1")
    (jobs / "a.yaml").symlink_to("..data/a.yaml")
    reader = SnapshotReader([jobs])
    reader.read(NOW)
    (jobs / "..tmp").symlink_to("..2")
    (jobs / "..tmp").rename(jobs / "..data")
    found = reader.look([str(jobs / "..data")], NOW)
    assert [each.data for each in found.changed.values()] == [b"a: 2"]


def test_a_link_to_a_folder_that_goes_is_a_look_at_all_files(jobs: Path) -> None:
    (jobs / "there").mkdir()
    (jobs / "there" / "a.yaml").write_text("a: 1")
    (jobs / "way").symlink_to("there")
    (jobs / "a.yaml").symlink_to("way/a.yaml")
    reader = SnapshotReader([jobs])
    assert not reader.read(NOW).files[str(jobs / "a.yaml")].problem
    (jobs / "way").unlink()
    problem = reader.look([str(jobs / "way")], NOW).files[str(jobs / "a.yaml")].problem
    assert problem is not None
    assert problem.code == "LU036"


@pytest.mark.parametrize("what", ["folder", "above"])
def test_a_folder_that_others_may_write_is_noticed_at_the_look_at_one_file(
    jobs: Path, what: str
) -> None:
    path = jobs / "a.yaml"
    path.write_text("a: 1")
    reader = SnapshotReader([jobs])
    reader.read(NOW)
    place = jobs if what == "folder" else jobs.parent
    place.chmod(0o777)
    path.write_text("a: 2")
    found = reader.look([str(path)], NOW)
    assert [each.code for each in found.problems] == ["LU034"]
    assert found.changed == {}, "its files are not read any more"
    place.chmod(0o755)
    assert [each.data for each in reader.look([str(path)], NOW).changed.values()] == [b"a: 2"]


def test_a_file_that_others_may_write_is_refused_at_the_look_at_it(jobs: Path) -> None:
    path = jobs / "a.yaml"
    path.write_text("a: 1")
    reader = SnapshotReader([jobs])
    reader.read(NOW)
    path.chmod(0o666)
    problem = reader.look([str(path)], NOW).changed[str(path)].problem
    assert problem is not None
    assert problem.code == "LU032"


def test_a_missing_folder_beside_does_not_make_each_look_a_whole_reading(
    jobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (jobs / f"{name}.yaml").write_text("a: 1")
    later = jobs.parent / "later.d"
    reader = SnapshotReader([jobs, later])
    reader.read(NOW)
    touched = Touched(monkeypatch)
    assert [each.code for each in reader.look([str(jobs / "a.yaml")], NOW).problems] == ["LU038"]
    assert set(touched.paths) == {str(jobs / "a.yaml")}
    later.mkdir()
    (later / "c.yaml").write_text("a: 1")
    found = reader.look([str(jobs / "a.yaml")], NOW)
    assert (found.problems, list(found.changed)) == ((), [str(later / "c.yaml")])


def test_without_keeping_data_the_bytes_are_handed_over_once(jobs: Path) -> None:
    path = jobs / "a.yaml"
    path.write_text("a: 1\nb: 2\n")
    reader = SnapshotReader([jobs], debounce_ms=1_000, keeps_data=False)
    assert reader.read(NOW).changed[str(path)].data == b"a: 1\nb: 2\n"
    found = reader.read(NOW)
    assert (found.changed, found.files[str(path)].data) == ({}, b"")
    path.write_text("a: 1\n")
    assert list(reader.read(NOW).unconfirmed) == [str(path)], "it is compared without the bytes"
    assert reader.read(NOW + 1_000).changed[str(path)].data == b"a: 1\n"
    path.write_text("")
    assert list(reader.read(NOW + 1_000).unconfirmed) == [str(path)]


@given(
    before=st.text("a\n-", max_size=12),
    after=st.text("a\n-", max_size=12),
    is_in_place=st.booleans(),
)
def test_a_shape_says_what_the_bytes_said(before: str, after: str, is_in_place: bool) -> None:
    one, two = before.encode(), after.encode()
    if not two.strip():
        expected = bool(one.strip())
    elif two.count(b"\n---") < one.count(b"\n---"):
        expected = True
    else:
        is_cut = two != one and one.startswith(two)
        expected = is_in_place and (two.count(b"\n") < one.count(b"\n") or is_cut)
    assert may_be_unfinished(shape_of(one), two, is_in_place=is_in_place) is expected


class Folder:
    """A folder that a random program writes to."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self.dice = random.Random(seed)  # noqa: S311 - no secret

    def change(self) -> set[str]:
        """Do something; return the paths that the kernel would name."""
        name = self.dice.choice(["a.yaml", "b.yaml", "c.yaml", "note.json", ".draft", "sub"])
        path, other = self.path / name, self.path / self.dice.choice(["a.yaml", "d.yaml"])
        target = os.path.realpath(path)
        match self.dice.randint(0, 6):
            case 0 if name == "sub" and not path.exists():
                path.mkdir()
                (path / "x.yaml").write_text("x")
            case 1 if path.is_file():
                path.unlink()
            case 2 if path.is_file() and path != other and not other.is_symlink():
                path.rename(other)
                return {str(path), str(other)}
            case 3 if path.is_file():
                path.chmod(self.dice.choice([0o644, 0o666]))
            case 4 if not path.exists() and not path.is_symlink() and name.endswith(".yaml"):
                path.symlink_to(self.dice.choice(["a.yaml", "nowhere", ".draft"]))
            case _ if name != "sub":
                with suppress(OSError):  # a link that leads to itself
                    path.write_text("k: 1\n" * self.dice.randint(0, 4))
        return {str(path), target}


def essence(snapshot: Snapshot) -> tuple[object, ...]:
    files = {
        path: (each.data, each.problem and each.problem.code)
        for path, each in snapshot.files.items()
    }
    problems = [each.message for each in snapshot.problems]
    return files, problems, dict(snapshot.unconfirmed), snapshot.recheck_in_ms, snapshot.unread


def test_looks_give_what_whole_readings_give(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for seed in range(60):
        place = tmp_path / f"{seed}.d"
        place.mkdir()
        folder, now = Folder(place, seed), NOW
        whole, looking = SnapshotReader([place], 10), SnapshotReader([place], 10)
        known = dict(looking.read(now).files)
        whole.read(now)
        for _ in range(25):
            hints = {path for _ in range(folder.dice.randint(1, 3)) for path in folder.change()}
            now += folder.dice.choice([1, 9, 10, 50])
            found = looking.look(hints, now)
            assert essence(found) == essence(whole.read(now)), (seed, hints)
            known = {path: each for path, each in known.items() if path not in found.gone}
            known |= found.changed
            assert known == dict(found.files), (seed, hints)
