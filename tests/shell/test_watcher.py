"""The job folders as they are treated in life: by editors, mounts, attackers and slow writers."""

from __future__ import annotations

import os
import pwd
import resource
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from luad.trust import file_problem
from luad.watcher import Snapshot, SnapshotReader, is_job_file

NOW = 4_000_000_000_000  # long after every file's own time: nothing is racy


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    folder = tmp_path / "jobs.d"
    folder.mkdir()
    return folder


def names(snapshot: Snapshot) -> dict[str, bytes]:
    return {Path(path).name: each.data for path, each in snapshot.files.items() if not each.problem}


def codes(snapshot: Snapshot) -> list[str]:
    files = [each.problem.code for each in snapshot.files.values() if each.problem]
    return files + [each.code for each in snapshot.problems]


# --- which files -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.yaml", "a.yml", "ä.yaml", "a.b.yaml", "9.yaml"])
def test_job_files(name: str) -> None:
    assert is_job_file(name)


@pytest.mark.parametrize(
    "name",
    [
        ".a.yaml",
        ".a.yaml.swp",
        "a.yaml~",
        "#a.yaml#",
        "_a.yaml",
        "4913",
        "a.tmp",
        "..data",
        "a.yaml.bak",
    ],
)
def test_what_editors_and_mounts_leave_is_no_job_file(name: str) -> None:
    assert not is_job_file(name)


# --- reading -----------------------------------------------------------------------------------


def test_only_what_changed_is_read_again(jobs: Path) -> None:
    (jobs / "a.yaml").write_text("a: 1")
    (jobs / "b.yaml").write_text("b: 1")
    reader = SnapshotReader([jobs])
    before = reader.read(NOW)
    (jobs / "b.yaml").write_text("b: 2")
    after = reader.read(NOW)
    a, b = (str(jobs / name) for name in ("a.yaml", "b.yaml"))
    assert after.files[a] is before.files[a]
    assert after.files[b].data == b"b: 2"


def test_the_same_content_is_the_same_version_whatever_the_times_say(jobs: Path) -> None:
    path = jobs / "a.yaml"
    path.write_text("a: 1")
    reader = SnapshotReader([jobs])
    before = reader.read(NOW).files[str(path)]
    os.utime(path, (1, 1))
    path.write_text("a: 1")
    assert reader.read(NOW).files[str(path)] is before


def test_a_change_within_the_same_tick_of_the_clock_is_seen(jobs: Path) -> None:
    path = jobs / "a.yaml"
    path.write_text("a: 1")
    status = path.stat()
    reader = SnapshotReader([jobs])
    just_now = status.st_ctime_ns // 1_000_000
    reader.read(just_now)
    path.write_text("a: 2")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert names(reader.read(just_now)) == {"a.yaml": b"a: 2"}


def test_an_emptied_file_is_not_believed_until_it_has_settled(jobs: Path) -> None:
    path = jobs / "a.yaml"
    path.write_text("a: 1")
    reader = SnapshotReader([jobs], debounce_ms=1_000)
    reader.read(NOW)
    path.write_text("")
    torn = reader.read(NOW)
    assert names(torn) == {"a.yaml": b"a: 1"}
    assert torn.recheck_in_ms == 1_000
    assert names(reader.read(NOW + 999)) == {"a.yaml": b"a: 1"}
    assert names(reader.read(NOW + 1_000)) == {"a.yaml": b""}


def test_a_completed_write_is_believed_at_once(jobs: Path) -> None:
    path = jobs / "a.yaml"
    path.write_text("a: 1")
    reader = SnapshotReader([jobs])
    reader.read(NOW)
    path.write_text("")
    reader.read(NOW)
    path.write_text("a: 2")
    done = reader.read(NOW + 5)
    assert names(done) == {"a.yaml": b"a: 2"}
    assert done.recheck_in_ms is None


DOCUMENTS = "".join(f"---\nname: job-{n}\nseconds: 3600\ntimeout: 1h\n" for n in range(3))


@pytest.mark.parametrize("length", [5, 21, 22, 29, 60, 90, len(DOCUMENTS) - 5])
def test_what_may_still_be_written_is_not_believed_until_it_has_settled(
    jobs: Path, length: int
) -> None:
    path = jobs / "a.yaml"
    path.write_text(DOCUMENTS)
    reader = SnapshotReader([jobs], debounce_ms=1_000)
    reader.read(NOW)
    path.write_text(DOCUMENTS[:length])
    torn = reader.read(NOW)
    assert names(torn) == {"a.yaml": DOCUMENTS.encode()}
    assert torn.recheck_in_ms == 1_000
    path.write_text(DOCUMENTS[: length + 1])
    assert names(reader.read(NOW + 900)) == {"a.yaml": DOCUMENTS.encode()}
    assert names(reader.read(NOW + 1_899)) == {"a.yaml": DOCUMENTS.encode()}, "counted anew"
    assert names(reader.read(NOW + 1_900)) == {"a.yaml": DOCUMENTS[: length + 1].encode()}


def test_lines_that_a_file_has_lost_in_place_are_kept_until_it_has_settled(jobs: Path) -> None:
    path = jobs / "a.yaml"
    path.write_text(DOCUMENTS)
    reader = SnapshotReader([jobs], debounce_ms=1_000)
    reader.read(NOW)
    fresh = DOCUMENTS.replace("3600", "5")
    for length in (30, 60, len(fresh) - len("timeout: 1h\n")):
        path.write_text(fresh[:length])
        assert names(reader.read(NOW)) == {"a.yaml": DOCUMENTS.encode()}
    path.write_text(fresh)
    assert names(reader.read(NOW + 1)) == {"a.yaml": fresh.encode()}, (
        "the whole is believed at once"
    )
    path.unlink()
    reader.read(NOW + 2)
    path.write_text(fresh[:60])
    assert names(reader.read(NOW + 3)) == {"a.yaml": fresh.encode()}


def test_a_shorter_file_that_is_renamed_into_place_is_believed_at_once(jobs: Path) -> None:
    path, draft = jobs / "a.yaml", jobs / ".draft"
    path.write_text(DOCUMENTS)
    reader = SnapshotReader([jobs])
    reader.read(NOW)
    shorter = DOCUMENTS.replace("timeout: 1h\n", "")
    draft.write_text(shorter)
    draft.replace(path)
    assert names(reader.read(NOW)) == {"a.yaml": shorter.encode()}


def test_a_document_that_is_gone_is_kept_until_that_has_settled(jobs: Path) -> None:
    path, draft = jobs / "a.yaml", jobs / ".draft"
    path.write_text(DOCUMENTS)
    reader = SnapshotReader([jobs], debounce_ms=1_000)
    reader.read(NOW)
    fewer = DOCUMENTS[: DOCUMENTS.rindex("---")]
    draft.write_text(fewer)
    draft.replace(path)
    kept = reader.read(NOW)
    assert names(kept) == {"a.yaml": DOCUMENTS.encode()}
    (doubted,) = kept.unconfirmed.values()
    assert doubted is not None
    assert (doubted.path, doubted.data) == (str(path), fewer.encode())
    assert names(reader.read(NOW + 1_000)) == {"a.yaml": fewer.encode()}


def test_an_edit_in_place_is_believed_at_once(jobs: Path) -> None:
    path = jobs / "a.yaml"
    path.write_text(DOCUMENTS)
    reader = SnapshotReader([jobs])
    reader.read(NOW)
    for edited in (
        DOCUMENTS.replace("3600", "5"),
        f"# a comment\n{DOCUMENTS}",
        f"{DOCUMENTS}---\n",
    ):
        path.write_text(edited)
        assert names(reader.read(NOW)) == {"a.yaml": edited.encode()}


def test_a_vanished_file_is_kept_until_it_has_settled(jobs: Path) -> None:
    path = jobs / "a.yaml"
    path.write_text("a: 1")
    reader = SnapshotReader([jobs], debounce_ms=1_000)
    reader.read(NOW)
    path.unlink()
    assert names(reader.read(NOW)) == {"a.yaml": b"a: 1"}
    assert names(reader.read(NOW + 1_000)) == {}


def test_what_is_doubted_is_named_and_a_clock_that_is_set_back_does_not_make_doubt_last(
    jobs: Path,
) -> None:
    for name in ("a", "b", "c"):
        (jobs / f"{name}.yaml").write_text(f"{name}: 1\n{name}{name}: 2\n")
    reader = SnapshotReader([jobs], debounce_ms=1_000)
    assert reader.read(NOW).unconfirmed == {}
    (jobs / "a.yaml").unlink()
    (jobs / "b.yaml").write_text("")
    (jobs / "c.yaml").write_text("c: 1\n")
    unconfirmed = {
        Path(path).name: each and each.data for path, each in reader.read(NOW).unconfirmed.items()
    }
    assert unconfirmed == {"a.yaml": None, "b.yaml": b"", "c.yaml": b"c: 1\n"}
    yesterday = NOW - 86_400_000
    assert reader.read(yesterday).recheck_in_ms == 1_000
    settled = reader.read(yesterday + 1_000)
    assert settled.unconfirmed == {}
    assert names(settled) == {"b.yaml": b"", "c.yaml": b"c: 1\n"}


def test_whoever_asks_for_a_reload_is_believed_at_once(jobs: Path) -> None:
    path = jobs / "a.yaml"
    path.write_text("a: 1")
    reader = SnapshotReader([jobs])
    reader.read(NOW)
    path.unlink()
    assert names(reader.read(NOW, is_settled=True)) == {}


def test_a_missing_folder_keeps_the_jobs_and_is_advice(jobs: Path) -> None:
    (jobs / "a.yaml").write_text("a: 1")
    reader = SnapshotReader([jobs])
    reader.read(NOW)
    shutil.rmtree(jobs)
    missing = reader.read(NOW + 60_000)
    assert names(missing) == {"a.yaml": b"a: 1"}
    assert codes(missing) == ["LU038"]
    assert missing.unread == {str(jobs)}
    jobs.mkdir()
    reader.read(NOW + 60_001)
    assert names(reader.read(NOW + 62_001)) == {}


def test_a_folder_that_never_was_is_an_empty_one(tmp_path: Path) -> None:
    found = SnapshotReader([tmp_path / "nowhere"]).read(NOW)
    assert dict(found.files) == {}
    assert codes(found) == ["LU038"]


def test_a_configmap_is_swapped_as_a_whole(jobs: Path) -> None:
    for version in ("1", "2"):
        (jobs / f"..{version}").mkdir()
        (jobs / f"..{version}" / "a.yaml").write_text(f"a: {version}")
    (jobs / "..data").symlink_to("..1")
    (jobs / "a.yaml").symlink_to("..data/a.yaml")
    reader = SnapshotReader([jobs])
    assert names(reader.read(NOW)) == {"a.yaml": b"a: 1"}
    (jobs / "..tmp").symlink_to("..2")
    (jobs / "..tmp").rename(jobs / "..data")
    shutil.rmtree(jobs / "..1")
    assert names(reader.read(NOW)) == {"a.yaml": b"a: 2"}


# --- whom to trust -----------------------------------------------------------------------------


def test_things_that_are_no_files_are_refused_and_never_block(jobs: Path) -> None:
    os.mkfifo(jobs / "pipe.yaml")
    (jobs / "folder.yaml").mkdir()
    (jobs / "dangling.yaml").symlink_to("nothing")
    (jobs / "loop.yaml").symlink_to("loop.yaml")
    (jobs / "outside.yaml").symlink_to("/etc/passwd")
    (jobs / "device.yaml").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(jobs / "socket.yaml"))
        found = SnapshotReader([jobs]).read(NOW)
    assert names(found) == {}
    assert sorted(codes(found)) == ["LU030", "LU030", "LU035", "LU035", "LU036", "LU036", "LU036"]


@pytest.mark.parametrize("mode", [0o666, 0o646, 0o602])
def test_a_file_that_everybody_may_write_is_refused_with_the_command_that_mends_it(
    jobs: Path, mode: int
) -> None:
    path = jobs / "a.yaml"
    path.write_text("a: 1")
    path.chmod(mode)
    found = SnapshotReader([jobs]).read(NOW)
    problem = found.files[str(path)].problem
    assert problem is not None
    assert problem.code == "LU032"
    assert problem.help.startswith("run: chmod ")
    subprocess.run(problem.help.removeprefix("run: "), shell=True, check=True)  # noqa: S602 - what the help says must work as it stands
    assert names(SnapshotReader([jobs]).read(NOW)) == {"a.yaml": b"a: 1"}


@pytest.mark.parametrize("mode", [0o4644, 0o2644, 0o6755])
def test_a_file_with_the_mode_of_a_privileged_program_is_refused(jobs: Path, mode: int) -> None:
    path = jobs / "a.yaml"
    path.write_text("a: 1")
    path.chmod(mode)
    problem = SnapshotReader([jobs]).read(NOW).files[str(path)].problem
    assert problem is not None
    assert problem.code == "LU032"
    subprocess.run(problem.help.removeprefix("run: "), shell=True, check=True)  # noqa: S602 - what the help says must work as it stands
    assert names(SnapshotReader([jobs]).read(NOW)) == {"a.yaml": b"a: 1"}


def test_a_checkout_made_under_umask_002_is_read(jobs: Path) -> None:
    path = jobs / "a.yaml"
    path.write_text("a: 1")
    path.chmod(0o664)
    jobs.chmod(0o775)
    assert names(SnapshotReader([jobs]).read(NOW)) == {"a.yaml": b"a: 1"}


def test_a_group_with_another_member_is_somebody_else(jobs: Path) -> None:
    path = jobs / "a.yaml"
    path.write_text("a: 1")
    os.chown(path, -1, 1)  # the group `daemon`, which the user `daemon` has as its own
    path.chmod(0o664)
    assert codes(SnapshotReader([jobs]).read(NOW)) == ["LU032"]


def test_a_group_that_only_the_daemons_user_is_in_is_nobody_else() -> None:
    entry = pwd.getpwnam("daemon")  # a group of its own, as the user luad has
    status = os.stat_result((0o040775, 1, 1, 2, 0, entry.pw_gid, 0, 0, 0, 0))
    assert file_problem("/", status, daemon_uid=entry.pw_uid, is_folder=True) is None
    assert file_problem("/", status, daemon_uid=entry.pw_uid + 1, is_folder=True) is not None


def test_a_file_of_another_user_is_refused(jobs: Path) -> None:
    path = jobs / "a.yaml"
    path.write_text("a: 1")
    os.chown(path, 65534, -1)
    assert codes(SnapshotReader([jobs]).read(NOW)) == ["LU031"]


def test_a_folder_above_that_everybody_may_write_is_refused_once(jobs: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (jobs / name).write_text("a: 1")
    jobs.parent.chmod(0o777)
    found = SnapshotReader([jobs]).read(NOW)
    assert codes(found) == ["LU034"]
    assert str(jobs.parent) in found.problems[0].help
    assert len(SnapshotReader([jobs], permit_insecure=True).read(NOW).files) == 2


def test_a_link_into_a_folder_that_everybody_may_write_is_refused(jobs: Path) -> None:
    (jobs / "drafts").mkdir()
    (jobs / "drafts" / "a.yaml").write_text("a: 1")
    (jobs / "a.yaml").symlink_to("drafts/a.yaml")
    assert names(SnapshotReader([jobs]).read(NOW)) == {"a.yaml": b"a: 1"}
    (jobs / "drafts").chmod(0o777)
    found = SnapshotReader([jobs]).read(NOW)
    assert codes(found) == ["LU034"]
    assert str(jobs / "drafts") in found.files[str(jobs / "a.yaml")].problem.help


def test_a_file_that_is_too_big_is_not_read(jobs: Path) -> None:
    (jobs / "a.yaml").write_bytes(b"#" * 2_000)
    assert codes(SnapshotReader([jobs], max_bytes=1_000).read(NOW)) == ["LU037"]


def test_whoever_says_that_an_unmounted_folder_is_meant_hears_no_more_of_it(jobs: Path) -> None:
    with tempfile.TemporaryDirectory(
        dir="/dev/shm"
    ) as there:  # another file system than tmp_path's
        jobs.rmdir()
        jobs.symlink_to(there)
        Path(there, "a.yaml").write_text("name: a")
        reader = SnapshotReader([jobs], permit_insecure=True)
        reader.read(NOW)
        jobs.unlink()
    jobs.mkdir()
    unmounted = reader.read(NOW + 1)
    assert (codes(unmounted), len(unmounted.files)) == (["LU039"], 1)
    meant = reader.read(NOW + 2, is_settled=True)
    assert (codes(meant), len(meant.files)) == ([], 0)
    assert codes(reader.read(NOW + 60_000)) == []


def test_without_descriptors_nothing_is_learnt_and_soon_looked_at_again(jobs: Path) -> None:
    (jobs / "a.yaml").write_text("a: 1")
    reader = SnapshotReader([jobs], debounce_ms=1_000)
    reader.read(NOW)
    (jobs / "a.yaml").write_text("a: 2")
    (jobs / "b.yaml").write_text("b: 1")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    last = os.open(jobs, os.O_RDONLY)
    resource.setrlimit(resource.RLIMIT_NOFILE, (last, before[1]))  # the numbers from here on
    try:
        poor = reader.read(NOW)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        os.close(last)
    assert names(poor) == {"a.yaml": b"a: 1"}
    assert poor.unread == {str(jobs)}
    assert poor.recheck_in_ms == 1_000
    assert "too many open files" in poor.problems[0].message
    assert names(reader.read(NOW + 1_000)) == {"a.yaml": b"a: 2", "b.yaml": b"b: 1"}
