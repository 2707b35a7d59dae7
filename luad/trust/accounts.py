"""Names of users and groups, and whether a group is luad's user alone.

Room rule: asks the account databases, and remembers their answers until it is told to forget them.
"""

from __future__ import annotations

import grp
import os
import pwd
from contextlib import suppress
from functools import lru_cache


@lru_cache(maxsize=256)
def is_private_group(gid: int, daemon_uid: int) -> bool:
    """Say whether a group's right to write is the right of *daemon_uid* alone.

    It is in two cases. The group is the primary group of that user, has the user's name, and no other
    member is listed. Or no database knows the group, and it is one of this process's own groups, as
    fsGroup of Kubernetes is. A database need not list all members, so all else counts as others.
    """
    others = [
        user for user in pwd.getpwall() if user.pw_gid == gid and not _is_own(user, daemon_uid)
    ]
    if others:
        return False
    try:
        group = grp.getgrgid(gid)
    except KeyError:
        return gid in {os.getegid(), *os.getgroups()}
    try:
        user = pwd.getpwuid(daemon_uid)
    except KeyError:
        return False
    if user.pw_gid != gid or user.pw_name != group.gr_name:
        return False
    return all(_uid_of(name) in {0, daemon_uid} for name in group.gr_mem)


def forget_accounts() -> None:
    """Ask the databases again from here on: accounts come and go while luad runs."""
    is_private_group.cache_clear()


def user_name(uid: int) -> str:
    """Return the name of a user, or the number when it has none."""
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def group_name(gid: int) -> str:
    """Return the name of a group, or the number when it has none."""
    with suppress(KeyError):
        return grp.getgrgid(gid).gr_name
    return str(gid)


def _is_own(user: pwd.struct_passwd, daemon_uid: int) -> bool:
    return user.pw_uid in {0, daemon_uid}


def _uid_of(name: str) -> int | None:
    """A member that no database knows now may be known to another one a moment later."""
    with suppress(KeyError):
        return pwd.getpwnam(name).pw_uid
    return None
