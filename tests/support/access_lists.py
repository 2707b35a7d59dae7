"""Access lists for tests, written as the kernel keeps them: `setfacl` need not be installed."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path
from typing import Literal

import pytest

ANY_ID = 0xFFFFFFFF
TAGS = {"user": 2, "group": 8}


def grant(
    path: Path,
    *named: tuple[Literal["user", "group"], int, int],
    group_owner: int = 4,
    mask: int | None = 7,
    other: int = 4,
    is_default: bool = False,
) -> None:
    """Give *path* a list with *named* entries ``(kind, id, permissions)`` besides the usual ones."""
    entries = [(1, 7, ANY_ID)]
    entries += [(TAGS[kind], perm, who) for kind, who, perm in named if kind == "user"]
    entries += [(4, group_owner, ANY_ID)]
    entries += [(TAGS[kind], perm, who) for kind, who, perm in named if kind == "group"]
    entries += [(16, mask, ANY_ID)] if mask is not None else []
    entries += [(32, other, ANY_ID)]
    data = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    name = "system.posix_acl_default" if is_default else "system.posix_acl_access"
    try:
        os.setxattr(path, name, data)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            pytest.skip(f"the file system of {path} keeps no access lists")
        raise
