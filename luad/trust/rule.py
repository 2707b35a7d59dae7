"""The trust rule: it checks owner, mode and access list of a path and of each folder above it.

The rule is the one of cron. A file is trusted if it is regular, belongs to root or to the daemon's user,
and no other user can write it; the same holds for every folder and every link on its path. Two rights to
write are harmless: that of a private group (see `accounts`), and any right on a file system that is mounted
read-only (a Kubernetes ConfigMap).
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from luad.errors import Problem
from luad.trust import acl
from luad.trust.accounts import group_name, is_private_group, user_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_HELP: Final = "luad runs jobs with its own rights, so no other user may be able to write its files"
_RUN: Final = "run: "
_MOST_LINKS: Final = 40  # as many as the kernel follows


class _Codes(NamedTuple):
    owner: str
    mode: str
    acl: str


_FILE: Final = _Codes("LU031", "LU032", "LU040")
_FOLDER: Final = _Codes("LU033", "LU034", "LU041")
_LINK_OWNER: Final = "LU042"


def path_problem(path: str | Path, *, daemon_uid: int) -> Problem | None:
    """Return the problem of a file or folder, or of a link or folder on its path; None if trusted.

    It checks each link and each folder that the kernel resolves. Of a path that does not exist, it checks
    the parts that exist; reading the path gives the reason.
    """
    return _walk(str(path), daemon_uid, may_be_sticky=True)


def folder_problem(folder: Path, *, daemon_uid: int, may_be_sticky: bool = False) -> Problem | None:
    """Return the problem of a folder, or of a link or folder on its path; None if trusted.

    *may_be_sticky*: the caller uses one known entry of *folder*, so a folder like /tmp, where other users
    may add files, is safe.
    """
    return _walk(str(folder), daemon_uid, may_be_sticky=may_be_sticky, is_folder=True)


def file_problem(
    path: str,
    status: os.stat_result,
    *,
    daemon_uid: int,
    is_folder: bool = False,
    descriptor: int | None = None,
) -> Problem | None:
    """Return the problem of a file or folder with that status, without the folders above it.

    *descriptor* is of the opened file, so that the judged file is the one that is read.
    """
    if not is_folder and not stat.S_ISREG(status.st_mode):
        return _problem(path, "LU030", f"{path} is {_kind(status.st_mode)}, not a regular file")
    if status.st_uid not in {0, daemon_uid}:
        owner, own = user_name(status.st_uid), user_name(daemon_uid)
        readable = "root" if daemon_uid == 0 else f"root or of {own}"
        message = f"{path} belongs to {owner}; only files of {readable} are read"
        return _problem(path, _FILE.owner, message, f"run: chown {own} {shlex.quote(path)}")
    if not is_folder and status.st_mode & (stat.S_ISUID | stat.S_ISGID):
        mode = stat.S_IMODE(status.st_mode)
        message = f"{path} has the mode of a program that runs as its owner (mode {mode:04o})"
        return _problem(path, _FILE.mode, message, f"run: chmod ug-s {shlex.quote(path)}")
    target = path if descriptor is None else descriptor
    return _writer_problem(path, status, _FILE, daemon_uid, target)


# --- links and folders on the path --------------------------------------------------------------


def _walk(path: str, uid: int, *, may_be_sticky: bool, is_folder: bool = False) -> Problem | None:
    """Return the problem of the last part of the path that has one, with commands for all parts."""
    found: list[Problem] = []
    try:
        for place, status, is_last in _parts(path):
            if stat.S_ISLNK(status.st_mode):
                problem = _link_problem(place, status, uid)
            elif stat.S_ISDIR(status.st_mode):
                problem = _folder_problem(
                    place, status, uid, is_last=is_last, may_be_sticky=may_be_sticky or not is_last
                )
            elif is_folder or not is_last:
                break  # opening it gives the reason
            else:
                problem = file_problem(place, status, daemon_uid=uid)
            if problem is not None and problem not in found:
                found.append(problem)
    except OSError:
        pass  # opening it gives the reason
    if not found:
        return None
    return replace(found[-1], help=_repair_all(found)) if len(found) > 1 else found[0]


def _repair_all(found: Sequence[Problem]) -> str:
    """Return one command line that repairs all of *found*; each command has all its paths."""
    paths: dict[str, list[str]] = {}
    for each in found:
        if each.help.startswith(_RUN):
            path = shlex.quote(each.path)
            command = each.help.removeprefix(_RUN).removesuffix(path).rstrip()
            paths.setdefault(command, []).append(path)
    if not found[-1].help.startswith(_RUN):
        return found[-1].help
    return _RUN + " && ".join(f"{command} {' '.join(each)}" for command, each in paths.items())


def _parts(path: str) -> Iterator[tuple[str, os.stat_result, bool]]:
    """Yield path, status, and True for the last one, of each folder and link that *path* resolves to."""
    whole = path if path.startswith("/") else f"{os.getcwd()}/{path}"
    left, here, links = whole.split("/")[::-1], "/", 0
    status, seen = os.lstat(here), set[str]()
    while left:
        name = left.pop()
        if name in {"", "."}:
            continue
        if here not in seen:
            seen.add(here)
            yield here, status, False
        if name == "..":  # the parent of the target of a link, not of the link
            here = os.path.dirname(here)
            status = os.lstat(here)
            continue
        there = f"{here.rstrip('/')}/{name}"
        found = os.lstat(there)
        if not stat.S_ISLNK(found.st_mode):
            here, status = there, found
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        yield there, found, False
        target = os.readlink(there)
        if target.startswith("/"):
            here, status = "/", os.lstat("/")
        left += target.split("/")[::-1]
    yield here, status, True


def _link_problem(path: str, status: os.stat_result, uid: int) -> Problem | None:
    if status.st_uid in {0, uid}:
        return None
    own = user_name(uid)
    message = f"the link {path} belongs to {user_name(status.st_uid)}"
    help_text = f"run: chown -h {own} {shlex.quote(path)}"
    return _problem(path, _LINK_OWNER, message, help_text)


def _folder_problem(
    path: str, status: os.stat_result, uid: int, *, is_last: bool, may_be_sticky: bool
) -> Problem | None:
    if status.st_uid not in {0, uid}:
        owner = user_name(status.st_uid)
        message = f"folder {path} belongs to {owner}, who could replace the files that luad reads"
        help_text = f"run: chown {user_name(uid)} {shlex.quote(path)}"
        return _problem(path, _FOLDER.owner, message, help_text)
    if status.st_mode & stat.S_ISVTX and may_be_sticky:
        return None  # like /tmp: no user may rename or delete files of another user
    problem = _writer_problem(path, status, _FOLDER, uid, path)
    if problem is None and is_last and not _is_read_only(path):
        problem = _default_problem(path, status, uid)
    return problem


# --- rights to write -----------------------------------------------------------------------------


def _writer_problem(
    path: str, status: os.stat_result, codes: _Codes, uid: int, target: str | int
) -> Problem | None:
    """Return the problem if the mode or the access list lets another user write.

    The bits of the group are the mask of the list. If they do not include the right to write, no entry of
    the list grants it, and the list need not be read.
    """
    others = status.st_mode & stat.S_IWOTH
    group = status.st_mode & stat.S_IWGRP
    if not (others or group) or _is_read_only(path):
        return None
    named: Sequence[acl.Entry] = ()
    if group:
        try:
            entries = acl.writers(target, acl.ACCESS)
        except (OSError, ValueError) as error:
            return _unreadable_list(path, codes, error)
        if entries is not None:
            named = _foreign(entries, uid)
            group = any(each.tag is acl.Tag.GROUP_OWNER for each in entries)
    is_group = bool(group) and not is_private_group(status.st_gid, uid)
    if others or is_group:
        who = "every user" if others else f"the group {group_name(status.st_gid)}"
        mode = stat.S_IMODE(status.st_mode)
        message = f"{_shown(path, status)} can be written by {who} (mode {mode:04o})"
        command = "o-w" if others and not is_group else "go-w"
        return _problem(path, codes.mode, message, f"run: chmod {command} {shlex.quote(path)}")
    if not named:
        return None
    message = f"{_shown(path, status)} can be written by {_words(named)}, by its access list (ACL)"
    help_text = f"run: setfacl -x {_specs(named)} {shlex.quote(path)}"
    return _problem(path, codes.acl, message, help_text)


def _default_problem(path: str, status: os.stat_result, uid: int) -> Problem | None:
    """Return the problem if the default access list lets another user write new files."""
    try:
        entries = acl.writers(path, acl.DEFAULT)
    except (OSError, ValueError) as error:
        return _unreadable_list(path, _FOLDER, error)
    if not entries:
        return None
    group = any(each.tag is acl.Tag.GROUP_OWNER for each in entries)
    others = any(each.tag is acl.Tag.OTHER for each in entries)
    specs, words = _specs(found := _foreign(entries, uid)), _words(found)
    what = f"new files in folder {path} can be written by"
    if found:
        help_text = f"run: setfacl -d -x {specs} {shlex.quote(path)}"
        message = f"{what} {words}, by its default access list (ACL)"
        return _problem(path, _FOLDER.acl, message, help_text)
    if others or (group and not is_private_group(status.st_gid, uid)):
        who = "every user" if others else f"the group {group_name(status.st_gid)}"
        message = f"{what} {who}, by its default access list (ACL)"
        return _problem(path, _FOLDER.acl, message, f"run: setfacl -k {shlex.quote(path)}")
    return None


def _foreign(entries: Sequence[acl.Entry], uid: int) -> list[acl.Entry]:
    """Return the named users and groups that are neither root nor luad's user."""
    return [
        each
        for each in entries
        if (each.tag is acl.Tag.USER and each.id not in {0, uid})
        or (each.tag is acl.Tag.GROUP and not is_private_group(each.id, uid))
    ]


def _words(entries: Sequence[acl.Entry]) -> str:
    return " and ".join(
        f"the user {user_name(each.id)}"
        if each.tag is acl.Tag.USER
        else f"the group {group_name(each.id)}"
        for each in entries
    )


def _specs(entries: Sequence[acl.Entry]) -> str:
    return ",".join(
        f"u:{user_name(each.id)}" if each.tag is acl.Tag.USER else f"g:{group_name(each.id)}"
        for each in entries
    )


def _unreadable_list(path: str, codes: _Codes, error: Exception) -> Problem:
    reason = getattr(error, "strerror", None) or str(error)
    message = f"the access list (ACL) of {path} cannot be read: {reason.lower()}"
    return _problem(path, codes.acl, message, f"run: setfacl -b {shlex.quote(path)}")


def _shown(path: str, status: os.stat_result) -> str:
    return f"folder {path}" if stat.S_ISDIR(status.st_mode) else path


def _is_read_only(path: str) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _problem(path: str, code: str, message: str, help_text: str = "") -> Problem:
    return Problem(path, 0, 0, code, message, help_text or _HELP)


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
    return "not a known type of file"
