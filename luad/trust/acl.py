"""Parser for POSIX access lists, which the kernel keeps in two extended attributes.

Rule: bytes in, entries out; no other module knows their format.
"""

from __future__ import annotations

import errno
import os
import struct
from enum import IntEnum
from typing import Final, NamedTuple

ACCESS: Final = "system.posix_acl_access"
DEFAULT: Final = "system.posix_acl_default"

_HEADER: Final = struct.Struct("<I")
_ENTRY: Final = struct.Struct("<HHI")
_VERSION: Final = 2
_WRITE: Final = 2
_NONE: Final = frozenset({errno.ENODATA, errno.ENOTSUP, errno.ENOSYS})
"""The file has no list, or the file system or the kernel does not support lists."""


class Tag(IntEnum):
    """The kind of account that an entry names."""

    OWNER = 0x01
    USER = 0x02
    GROUP_OWNER = 0x04
    GROUP = 0x08
    MASK = 0x10
    OTHER = 0x20


class Entry(NamedTuple):
    """An entry that grants writing under the mask. *id* has a meaning for users and groups only."""

    tag: Tag
    id: int


def writers(target: str | int, name: str) -> tuple[Entry, ...] | None:
    """Return the entries of a list that may write; None if the file has no list.

    *target* is a path (links are followed) or a descriptor, *name* one of the two attributes.
    Raises ``OSError`` if the list cannot be read, ``ValueError`` if its format is not known.
    """
    try:
        data = os.getxattr(target, name)
    except OSError as error:
        if error.errno in _NONE:
            return None
        raise
    return parse(data)


def parse(data: bytes) -> tuple[Entry, ...]:
    """Return the entries of *data* that may write. Raises ``ValueError`` for an unknown format."""
    if len(data) < _HEADER.size or _HEADER.unpack_from(data)[0] != _VERSION:
        raise ValueError("the access list has an unknown version")
    if (len(data) - _HEADER.size) % _ENTRY.size:
        raise ValueError("the access list is cut off")
    found = list(_ENTRY.iter_unpack(data[_HEADER.size :]))
    mask = next((perm for tag, perm, _ in found if tag == Tag.MASK), _WRITE)
    return tuple(
        Entry(Tag(tag), account)
        for tag, perm, account in found
        if tag != Tag.MASK and perm & _WRITE and (mask & _WRITE or tag in {Tag.OWNER, Tag.OTHER})
    )
