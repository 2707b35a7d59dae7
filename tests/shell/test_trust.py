"""Who may write what luad takes orders from: owner, mode, access lists, links and the way there."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.access_lists import grant

from luad.trust import (
    folder_problem,
    forget_accounts,
    is_private_group,
    path_problem,
)
from luad.trust.acl import parse
from luad.watcher import SnapshotReader

NOBODY = 65_534
STRANGE_GID = 54_321
NOW = 4_000_000_000_000
ME = os.geteuid()

needs_root = pytest.mark.skipif(ME != 0, reason="only root gives files away")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    folder = tmp_path / "jobs.d"
    folder.mkdir(mode=0o755)
    (folder / "a.yaml").write_text("name: a\n")
    return folder


def code_of(path: Path) -> str | None:
    problem = path_problem(path, daemon_uid=ME)
    return problem.code if problem else None


# --- access lists ------------------------------------------------------------------------------


def test_a_user_that_an_access_list_lets_write_counts_as_others(place: Path) -> None:
    file = place / "a.yaml"
    grant(file, ("user", NOBODY, 6))
    problem = path_problem(file, daemon_uid=ME)
    assert problem is not None
    assert problem.code == "LU040"
    assert problem.message == f"{file} can be written by the user nobody, by its access list (ACL)"
    assert problem.help == f"run: setfacl -x u:nobody {file}"


@pytest.mark.parametrize(
    ("named", "mask", "code"),
    [
        (("user", NOBODY, 6), 7, "LU040"),
        (("user", NOBODY, 2), 2, "LU040"),
        (("user", NOBODY, 6), 4, None),  # the mask takes it away
        (("user", NOBODY, 5), 7, None),
        (("user", 0, 7), 7, None),  # root may anyway
        (("user", ME, 7), 7, None),
        (("group", STRANGE_GID, 7), 7, "LU040"),
        (("group", 1, 6), 7, "LU040"),
        (("group", 1, 6), 5, None),
        (("group", 1, 4), 7, None),
    ],
)
def test_only_entries_with_effective_write_count(
    place: Path, named: tuple[str, int, int], mask: int, code: str | None
) -> None:
    file = place / "a.yaml"
    grant(file, named, mask=mask)  # type: ignore[arg-type]
    assert code_of(file) == code


def test_the_mask_is_not_taken_for_the_right_of_the_group(place: Path) -> None:
    """With a list, the group's bits of the mode are the mask: the group itself may only read."""
    file = place / "a.yaml"
    os.chown(file, -1, 1)
    grant(file, ("user", ME, 7), group_owner=4, mask=7)
    assert file.stat().st_mode & 0o020
    assert code_of(file) is None
    grant(file, ("user", ME, 7), group_owner=6, mask=7)
    assert code_of(file) == "LU032"


@pytest.mark.parametrize("is_folder", [True, False])
def test_lists_count_for_files_and_for_every_folder_above(place: Path, is_folder: bool) -> None:
    grant(place if is_folder else place.parent, ("user", NOBODY, 7), mask=7, other=5)
    assert code_of(place / "a.yaml") == "LU041"
    found = folder_problem(place, daemon_uid=ME)
    assert found is not None
    assert "setfacl -x u:nobody" in found.help


def test_a_default_list_counts_where_things_are_made(place: Path) -> None:
    grant(place, ("user", NOBODY, 6), is_default=True)
    found = folder_problem(place, daemon_uid=ME)
    assert found is not None
    assert (found.code, found.help) == ("LU041", f"run: setfacl -d -x u:nobody {place}")
    assert code_of(place / "a.yaml") is None  # it was there before, and is judged by its own
    grant(place, ("user", NOBODY, 4), is_default=True)
    assert folder_problem(place, daemon_uid=ME) is None
    grant(place, other=6, mask=None, is_default=True)
    found = folder_problem(place, daemon_uid=ME)
    assert found is not None
    assert "every user" in found.message


def test_a_list_that_makes_no_sense_is_not_taken_for_none(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for data in (b"", b"\x01\x00\x00\x00", b"\x02\x00\x00\x00abc"):
        with pytest.raises(ValueError, match="access list"):
            parse(data)
    (place / "a.yaml").chmod(0o664)

    def refuse(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "getxattr", refuse)
    assert code_of(place / "a.yaml") == "LU040"
    found = folder_problem(place, daemon_uid=ME)  # its default list is asked for
    assert found is not None
    assert found.code == "LU041"


def test_a_file_system_without_lists_has_none(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    (place / "a.yaml").chmod(0o664)
    monkeypatch.setattr(os, "getxattr", refuse)
    assert code_of(place / "a.yaml") is None


def test_a_job_file_with_such_a_list_is_refused_until_the_list_goes(place: Path) -> None:
    file = place / "a.yaml"
    reader = SnapshotReader([place])
    assert reader.read(NOW).files[str(file)].problem is None
    grant(file, ("user", NOBODY, 6))
    found = reader.read(NOW).files[str(file)].problem
    assert found is not None
    assert found.code == "LU040"
    assert SnapshotReader([place], permit_insecure=True).read(NOW).files[str(file)].data
    os.removexattr(file, "system.posix_acl_access")
    file.chmod(0o644)
    assert reader.read(NOW).files[str(file)].problem is None


def test_files_whose_status_is_as_before_are_not_asked_for_their_lists_again(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(50):
        file = place / f"{number}.yaml"
        file.write_text("name: a\n")
        file.chmod(0o664)
        if number % 2:
            grant(file, ("user", ME, 6))
    asked: list[object] = []
    ask = os.getxattr

    def count(target: str | int, name: str) -> bytes:
        asked.append(target)
        return ask(target, name)

    monkeypatch.setattr(os, "getxattr", count)
    reader = SnapshotReader([place])
    reader.read(NOW)
    assert sum(isinstance(each, int) for each in asked) == 50  # by descriptor: of what was opened
    asked.clear()
    reader.read(NOW)
    assert asked == [str(place)]  # the folder's default list
    (place / "1.yaml").chmod(0o664)
    reader.read(NOW)
    assert sum(isinstance(each, int) for each in asked) == 1


# --- private groups ----------------------------------------------------------------------------


class Accounts:
    """Account databases of a test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.users = {"luad": (900, 900), "ann": (1_000, 1_000)}
        self.groups = {"luad": (900, []), "ann": (1_000, []), "staff": (50, [])}
        monkeypatch.setattr(pwd, "getpwall", lambda: [self._user(name) for name in self.users])
        monkeypatch.setattr(pwd, "getpwuid", lambda uid: self._user(self._of(self.users, uid)))
        monkeypatch.setattr(pwd, "getpwnam", self._user)
        monkeypatch.setattr(grp, "getgrgid", self._group)
        monkeypatch.setattr(os, "getgroups", lambda: [900, 2_000])
        monkeypatch.setattr(os, "getegid", lambda: 900)
        forget_accounts()

    @staticmethod
    def _of(table: dict[str, tuple[int, object]], number: int) -> str:
        for name, entry in table.items():
            if entry[0] == number:
                return name
        raise KeyError(number)

    def _user(self, name: str) -> pwd.struct_passwd:
        uid, gid = self.users[name]
        return pwd.struct_passwd((name, "x", uid, gid, "", "/", "/bin/sh"))

    def _group(self, gid: int) -> grp.struct_group:
        name = self._of(self.groups, gid)
        return grp.struct_group((name, "x", gid, self.groups[name][1]))


@pytest.fixture
def accounts(monkeypatch: pytest.MonkeyPatch) -> Accounts:
    return Accounts(monkeypatch)


@pytest.mark.parametrize(
    ("change", "gid", "is_private"),
    [
        (lambda _: None, 900, True),
        (lambda it: it.groups.update(luad=(900, ["luad"])), 900, True),
        (lambda it: it.groups.update(luad=(900, ["luad", "ann"])), 900, False),
        # A member that no database knows now may be one of a directory that is away for a moment.
        (lambda it: it.groups.update(luad=(900, ["gone"])), 900, False),
        (lambda it: it.groups.update(daemons=(900, [])) or it.groups.pop("luad"), 900, False),
        (lambda it: it.users.update(ann=(1_000, 900)), 900, False),
        (lambda it: it.users.update(luad=(900, 50)), 900, False),  # not the primary group
        (lambda it: it.users.update(luad=(900, 50)), 50, False),  # not of luad's name
        (lambda _: None, 50, False),  # nobody is listed: a directory need not list anybody
        (lambda it: it.users.pop("luad"), 900, False),
        (lambda _: None, 2_000, True),  # fsGroup: no database knows it, and luad is in it
        (lambda it: it.users.update(ann=(1_000, 2_000)), 2_000, False),
        (lambda it: it.groups.update(shared=(2_000, [])), 2_000, False),
        (lambda _: None, 2_001, False),  # nobody knows it, and luad is not in it
    ],
)
def test_which_group_is_private(
    accounts: Accounts, change: Callable[[Accounts], object], gid: int, is_private: bool
) -> None:
    change(accounts)
    assert is_private_group(gid, 900) is is_private
    forget_accounts()


def test_a_group_that_gets_a_member_is_seen_at_the_next_scan(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = pwd.getpwuid(ME).pw_name
    (place / "a.yaml").chmod(0o664)
    reader = SnapshotReader([place])
    assert reader.read(NOW).files[str(place / "a.yaml")].problem is None
    group = grp.getgrgid(os.getegid())
    more = grp.struct_group((group.gr_name, "x", group.gr_gid, [name, "nobody"]))
    monkeypatch.setattr(grp, "getgrgid", lambda _: more)
    found = reader.read(NOW).files[str(place / "a.yaml")].problem
    assert found is not None
    assert found.code == "LU032"
    monkeypatch.undo()
    assert reader.read(NOW).files[str(place / "a.yaml")].problem is None


# --- the way there -----------------------------------------------------------------------------


@needs_root
def test_every_part_of_the_way_counts_and_all_of_it_is_mended_at_once(place: Path) -> None:
    theirs = place.parent / "theirs"
    theirs.mkdir()
    (theirs / "b.yaml").write_text("name: b\n")
    (theirs / "b.yaml").chmod(0o666)
    link = place / "b.yaml"
    link.symlink_to(theirs / "b.yaml")
    os.chown(theirs, NOBODY, -1)
    os.chown(link, NOBODY, -1, follow_symlinks=False)
    found = path_problem(link, daemon_uid=ME)
    assert found is not None
    commands = found.help.removeprefix("run: ")
    assert commands.count(" && ") == 2  # chown -h, chown and chmod
    subprocess.run(commands, shell=True, check=True)  # noqa: S602 - what the help says must work as it stands
    assert path_problem(link, daemon_uid=ME) is None


@needs_root
def test_the_folder_that_a_link_stands_in_counts_as_well_as_where_it_leads(place: Path) -> None:
    """Its owner could have the link lead elsewhere."""
    theirs = place.parent / "theirs"
    theirs.mkdir()
    (theirs / "jobs").symlink_to(place)
    assert code_of(theirs / "jobs" / "a.yaml") is None
    os.chown(theirs, NOBODY, -1)
    assert code_of(theirs / "jobs" / "a.yaml") == "LU033"
    assert code_of(place / "a.yaml") is None
    # `..` after a link is of the folder that the link led to.
    (place.parent / "way").symlink_to(theirs)
    assert code_of(place.parent / "way" / ".." / "jobs.d" / "a.yaml") == "LU033"


@needs_root
def test_a_sticky_folder_is_safe_for_what_is_luads_own_in_it(place: Path) -> None:
    shared = place.parent / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "own").mkdir()
    (shared / "own" / "a.yaml").write_text("")
    (shared / "link").symlink_to(shared / "own")
    assert code_of(shared / "own" / "a.yaml") is None
    assert code_of(shared / "link" / "a.yaml") is None
    assert folder_problem(shared, daemon_uid=ME) is not None
    assert folder_problem(shared / "own" / "..", daemon_uid=ME) is not None
    os.chown(shared / "link", NOBODY, -1, follow_symlinks=False)
    assert code_of(shared / "link" / "a.yaml") == "LU042"


def test_links_that_lead_in_a_circle_end(place: Path) -> None:
    (place / "loop").symlink_to("loop")
    (place / "to").symlink_to("fro")
    (place / "fro").symlink_to("to")
    assert code_of(place / "loop") is None  # opening it says so
    assert code_of(place / "to" / "x") is None


@needs_root
def test_a_link_is_judged_at_each_scan_though_its_target_stays_the_same(place: Path) -> None:
    (place / "drafts").mkdir()
    (place / "drafts" / "b.yaml").write_text("name: b\n")
    (place / "b.yaml").symlink_to("drafts/b.yaml")
    reader = SnapshotReader([place])
    assert reader.read(NOW).files[str(place / "b.yaml")].problem is None
    os.chown(place / "drafts", NOBODY, -1)
    found = reader.read(NOW).files[str(place / "b.yaml")].problem
    assert found is not None
    assert found.code == "LU033"
    os.chown(place / "drafts", ME, -1)
    assert reader.read(NOW).files[str(place / "b.yaml")].problem is None


def test_commands_quote_what_a_shell_would_take_apart(place: Path) -> None:
    file = place / "it's $(mine).yaml"
    file.write_text("")
    file.chmod(0o666)
    found = path_problem(file, daemon_uid=ME)
    assert found is not None
    subprocess.run(found.help.removeprefix("run: "), shell=True, check=True)  # noqa: S602 - what the help says must work as it stands
    assert code_of(file) is None
