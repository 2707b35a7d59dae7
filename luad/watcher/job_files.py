"""Reads one file of a job folder: its status, its trust, its bytes.

Rule: knows no YAML but the line between documents, and no other file.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import struct
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from luad.errors import Problem
from luad.trust import file_problem, path_problem

_JOB_FILE: Final = re.compile(r"[^._#~][^\n]*\.ya?ml")
PASSING: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Errors of the system and not of the file: the file is read again soon."""

Signature: TypeAlias = bytes
"""The status of a file, packed: inode, size, time of the content, time of the status."""

NO_SIGNATURE: Final = b""
_SIGNATURE: Final = struct.Struct("<QQqq")
_INODE_LENGTH: Final = 8
_SHAPE: Final = struct.Struct("<?QQB")


def is_job_file(name: str) -> bool:
    """Return True if luad reads a file of that name in a job folder."""
    return _JOB_FILE.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class FileVersion:
    """One job file: its *data* with their hash as *key*, or the *problem* of reading it."""

    path: str
    data: bytes = b""
    key: str = ""
    problem: Problem | None = None


class KeptFile(NamedTuple):
    """The stored state of a file that has no problem. *gid* is the group that may write it."""

    signature: Signature
    key: str
    shape: bytes
    gid: int | None


def signature_of(path: str) -> Signature | None:
    """Return the signature of the file that *path* leads to; None if there is none."""
    try:
        return as_signature(os.stat(path))
    except OSError:
        return None


def as_signature(status: os.stat_result) -> Signature:
    """Return a value that changes whenever the file does; mode and owner change the ctime."""
    times = status.st_mtime_ns, status.st_ctime_ns
    return _SIGNATURE.pack(status.st_ino, status.st_size, *times)


def is_same_inode(before: Signature, after: Signature) -> bool:
    """Return True if two signatures are of one inode, or *before* is of a missing file."""
    return not before or before[:_INODE_LENGTH] == after[:_INODE_LENGTH]


@dataclass(frozen=True, slots=True)
class FileLoader:
    """Reads files of at most *max_bytes*; with *permit_insecure*, also those that others may write."""

    max_bytes: int
    permit_insecure: bool

    def load(self, path: str, folder: Path) -> tuple[FileVersion, os.stat_result | None]:
        """Open the file without blocking, judge the status of the open file, then read it.

        Raises OSError for an error of the system.
        """
        try:
            outside = self.outside(path, folder)
            if outside is not None:
                return FileVersion(path, problem=outside), os.lstat(path)
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        except OSError as error:
            if error.errno in PASSING:
                raise
            return FileVersion(path, problem=unreadable(Path(path), error)), None
        try:
            status = os.fstat(descriptor)
            problem = file_problem(path, status, daemon_uid=os.geteuid(), descriptor=descriptor)
            is_regular = stat.S_ISREG(status.st_mode)
            if problem is not None and not (self.permit_insecure and is_regular):
                return FileVersion(path, problem=problem), status
            if status.st_size > self.max_bytes:
                return FileVersion(path, problem=_too_big(path, status, self.max_bytes)), status
            data = _read_all(descriptor, status.st_size, self.max_bytes + 1)
        except OSError as error:
            return FileVersion(path, problem=unreadable(Path(path), error)), None
        finally:
            os.close(descriptor)
        return FileVersion(path, data, blake2b(data, digest_size=16).hexdigest()), status

    def outside(self, path: str, folder: Path) -> Problem | None:
        """Return the problem of a link that leads out of its folder, or through an unsafe one.

        Links of Kubernetes (`..data`) stay in their folder.
        """
        if not os.path.islink(path):
            return None
        target = os.path.realpath(path, strict=True)
        if Path(target).is_relative_to(os.path.realpath(folder)):
            return None if self.permit_insecure else path_problem(path, daemon_uid=os.geteuid())
        return Problem(
            path,
            0,
            0,
            "LU035",
            f"{path} is a link to {target}, outside of {folder}",
            "copy the file, or name the folder that contains it: luad serve --jobs DIR",
        )

    def leads_elsewhere(self, path: str, folder: Path, version: FileVersion) -> bool:
        """Return True if the judgement of a link has changed since *version* was read.

        The folders on the path to its target have a status of their own.
        """
        try:
            return self.outside(path, folder) != version.problem
        except OSError:
            return True


def _read_all(descriptor: int, size: int, most: int) -> bytes:
    """Return the bytes of an open file of about *size*, at most *most* of them.

    A larger buffer than needed would leave a page of memory to each small file.
    """
    parts, left = [], most
    while left and (part := os.read(descriptor, min(left, size + 1))):
        parts.append(part)
        left -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


class Shape(NamedTuple):
    """The shape of a content, from which luad sees that a later one may be unfinished.

    *tail* is what follows the last line end, and *head* a hash of the rest; both are empty without a tail.
    """

    is_blank: bool
    documents: int
    lines: int
    head: bytes = b""
    tail: bytes = b""


def shape_of(data: bytes) -> Shape:
    """Return the shape of a content. Most files end with a line end, and share few shapes."""
    end = data.rfind(b"\n") + 1
    shape = _plain_shape(not data.strip(), data.count(b"\n---"), data.count(b"\n"))
    return shape._replace(head=_hash(data[:end]), tail=data[end:]) if data[end:] else shape


def pack_shape(shape: Shape) -> bytes:
    """Return a shape as bytes, for the store."""
    is_blank, documents, lines, head, tail = shape
    return _SHAPE.pack(is_blank, documents, lines, len(head)) + head + tail


def unpack_shape(packed: bytes) -> Shape:
    """Return the shape of `pack_shape`."""
    is_blank, documents, lines, length = _SHAPE.unpack_from(packed)
    head, tail = packed[_SHAPE.size :][:length], packed[_SHAPE.size + length :]
    plain = _plain_shape(is_blank, documents, lines)
    return plain._replace(head=head, tail=tail) if tail else plain


@lru_cache(1_000)
def _plain_shape(is_blank: bool, documents: int, lines: int) -> Shape:
    return Shape(is_blank, documents, lines)


def _hash(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()


def may_be_unfinished(before: Shape, after: bytes, *, is_in_place: bool) -> bool:
    """Return True if *after* may be only a part of the new content that replaces *before*.

    A read between two writes of a file in place sees a file without its last jobs or its last keys. A
    file that was renamed into its place is complete, but a document that it has lost may appear in another
    file a moment later, as when git checks out a branch.
    """
    shape = shape_of(after)
    if shape.is_blank:
        return not before.is_blank
    if shape.documents < before.documents:
        return True
    if not is_in_place or shape.lines > before.lines:
        return False
    return shape.lines < before.lines or _is_cut(before, after)


def _is_cut(before: Shape, after: bytes) -> bool:
    """Return True if *after*, with as many line ends, is the beginning of *before*."""
    end = after.rfind(b"\n") + 1
    tail = after[end:]
    if tail == before.tail or not before.tail.startswith(tail):
        return False
    return _hash(after[:end]) == before.head


def unreadable(path: Path, error: OSError) -> Problem:
    """Return the problem of a file or folder that cannot be read."""
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    if error.errno == errno.ENOENT:
        message, help_text = f"{path} is a broken link", "correct or delete the link"
    elif error.errno == errno.ELOOP:
        message, help_text = f"{path} is a link that leads back to itself", "delete the link"
    elif error.errno in PASSING:
        message = f"{path} cannot be read: {reason}"
        help_text = "raise the limit (LimitNOFILE=, MemoryMax=); luad tries again by itself"
    else:
        message, help_text = f"{path} cannot be read: {reason}", f"run: chmod u+r {path}"
    return Problem(str(path), 0, 0, "LU036", message, help_text)


def _too_big(path: str, status: os.stat_result, max_bytes: int) -> Problem:
    return Problem(
        path,
        0,
        0,
        "LU037",
        f"{path} has {status.st_size:,} bytes; at most {max_bytes:,} are read",
        "split it, or raise `max_file_size` in luad.yaml",
    )
