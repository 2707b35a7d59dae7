"""Names of users and groups, and a test for private groups.

Rule: asks the account databases, and caches their answers until `forget_accounts`.
"""

from __future__ import annotations

import grp
import os
import pwd
from contextlib import suppress
from functools import lru_cache


@lru_cache(maxsize=256)
def is_private_group(gid: int, daemon_uid: int) -> bool:
    """Return True if *daemon_uid* is the only user of a group, so that its right to write is safe.

    There are two such cases. The group is the primary group of that user, has the user's name, and has no
    other listed member. Or no database knows the group, and this process belongs to it (fsGroup of
    Kubernetes). Any other group is not private, because a database need not list all members.
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
    """Clear the cache, because accounts may change while luad runs."""
    is_private_group.cache_clear()


def user_name(uid: int) -> str:
    """Return the name of a user; its number if it has none."""
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def group_name(gid: int) -> str:
    """Return the name of a group; its number if it has none."""
    with suppress(KeyError):
        return grp.getgrgid(gid).gr_name
    return str(gid)


def _is_own(user: pwd.struct_passwd, daemon_uid: int) -> bool:
    return user.pw_uid in {0, daemon_uid}


def _uid_of(name: str) -> int | None:
    """Return the uid of a group member; None if no database knows it at the moment."""
    with suppress(KeyError):
        return pwd.getpwnam(name).pw_uid
    return None
