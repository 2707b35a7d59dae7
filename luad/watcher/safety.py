"""Who could have written this: whoever can write a job file can run code as the daemon.

The rule is cron's: a regular file, owned by root or by the daemon's user, writable by nobody else;
the same for the folder and every folder above it. Two things are not "somebody else": a group that
has no other member (a checkout made under umask 002, a volume that is luad's by its group), and a mode on a file system that is mounted
read-only (a Kubernetes ConfigMap).

Room rule: looks at status values and account databases; opens nothing.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from functools import lru_cache
from pathlib import Path

from luad.errors import Problem

_FILE_SAFETY_HELP = "luad runs what it reads as itself, so nobody else may be able to write it"


def file_problem(
    path: str, status: os.stat_result, *, daemon_uid: int, is_folder: bool = False
) -> Problem | None:
    """Say what is wrong with a file, given the status of the *opened* one; *is_folder*: it is to be
    a folder."""
    if not is_folder and not stat.S_ISREG(status.st_mode):
        return _problem(path, "LU030", f"{path} is {_kind(status.st_mode)}, not a regular file")
    if status.st_uid not in {0, daemon_uid}:
        owner = _user_name(status.st_uid)
        return _problem(
            path,
            "LU031",
            f"{path} belongs to {owner}; only files of root or of {_user_name(daemon_uid)} are read",
            f"run: chown {_user_name(daemon_uid)} {path}",
        )
    if not is_folder and status.st_mode & (stat.S_ISUID | stat.S_ISGID):
        mode = stat.S_IMODE(status.st_mode)
        message = f"{path} has the mode of a program that runs as its owner (mode {mode:04o})"
        return _problem(path, "LU032", message, f"run: chmod ug-s {path}")
    return _mode_problem(path, status, "LU032", daemon_uid)


def folder_problem(folder: Path, *, daemon_uid: int, may_be_sticky: bool = False) -> Problem | None:
    """Say which folder, of *folder* and all above it, others may write to. *may_be_sticky*: what is
    meant is one thing in *folder*, whose owner is known, and not whatever others may add."""
    real = Path(os.path.realpath(folder))
    for each in (real, *real.parents):
        try:
            status = each.stat()
        except OSError:
            return None  # reading it will say why
        if status.st_uid not in {0, daemon_uid}:
            owner = _user_name(status.st_uid)
            return _problem(
                str(each),
                "LU033",
                f"folder {each} belongs to {owner}, who could exchange every job file in it",
                f"run: chown {_user_name(daemon_uid)} {each}",
            )
        if status.st_mode & stat.S_ISVTX and (may_be_sticky or each != real):
            continue  # like /tmp: nobody may rename or delete what belongs to others
        problem = _mode_problem(str(each), status, "LU034", daemon_uid)
        if problem is not None:
            return problem
    return None


def _mode_problem(path: str, status: os.stat_result, code: str, daemon_uid: int) -> Problem | None:
    others = status.st_mode & stat.S_IWOTH
    group = status.st_mode & stat.S_IWGRP and not is_private_group(status.st_gid, daemon_uid)
    if not (others or group) or _is_read_only(path):
        return None
    who = "everybody" if others else f"the group {_group_name(status.st_gid)}"
    what = "folder " if stat.S_ISDIR(status.st_mode) else ""
    mode = stat.S_IMODE(status.st_mode)
    return _problem(
        path,
        code,
        f"{what}{path} can be written by {who} (mode {mode:04o})",
        f"run: chmod {'o-w' if others and not group else 'go-w'} {path}",
    )


@lru_cache(maxsize=256)
def is_private_group(gid: int, daemon_uid: int) -> bool:
    """Say whether nobody but *daemon_uid* (and root) is in the group, as with user private groups."""
    allowed = {0, daemon_uid}
    try:
        listed = grp.getgrgid(gid).gr_mem
    except KeyError:
        listed = []
    if any(user.pw_gid == gid and user.pw_uid not in allowed for user in pwd.getpwall()):
        return False
    return all(_uid_of(name) in allowed for name in listed)


def _uid_of(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return 0  # a member without an account cannot log in and write


def _is_read_only(path: str) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _problem(path: str, code: str, message: str, help_text: str = "") -> Problem:
    return Problem(path, 0, 0, code, message, help_text or _FILE_SAFETY_HELP)


def _kind(mode: int) -> str:
    for test, name in (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    ):
        if test(mode):
            return name
    return "something else"


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
