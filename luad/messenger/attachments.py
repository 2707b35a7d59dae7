"""Pictures and files that go along with a message: from luad's disk, or from an address.

Rule: bounded reading; what is no regular file is not opened to the end.
"""

from __future__ import annotations

import mimetypes
import os
import stat
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

from luad.messenger.exchange import Ask, ExchangeError, exchange
from luad.messenger.mixed_text import Outside, SaidError

MAX_FILE: Final = 10 * 1024 * 1024
_AGAIN: Final = frozenset({301, 302, 303, 307, 308})
_MAX_NAME: Final = 100


class FileError(SaidError):
    """It cannot go along; the message says why. *is_too_large*: it could, were it smaller."""

    def __init__(self, *parts: str, is_too_large: bool = False) -> None:
        super().__init__(*parts)
        self.is_too_large = is_too_large


@dataclass(frozen=True, slots=True)
class File:
    """Something to attach. *name* is a plain name, no path."""

    name: str
    data: bytes


def read_file(path: str, name: str | None = None, limit: int = MAX_FILE) -> File:
    """Read a file of luad's machine, of at most *limit* bytes. Raises `FileError`."""
    try:
        # Not blocking, for a named pipe would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise FileError(Outside(path), " is no regular file")
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no such path"
        raise FileError(Outside(path), f" cannot be read: {reason}") from None
    if len(data) > limit:
        raise FileError(Outside(path), f" has more than {limit >> 10} KiB", is_too_large=True)
    return File(_plain(name or PurePosixPath(path).name), data)


def fetch(url: str, name: str | None, timeout_ms: int, *, allow_private: bool) -> File:
    """Get what is at *url*: whoever writes a message must not reach what only luad can reach.

    Raises `FileError`.
    """
    ask = Ask(
        "GET",
        url,
        timeout_ms,
        MAX_FILE,
        {"User-Agent": "luad"},
        again=_AGAIN,
        may_wander=True,
        allow_private=allow_private,
    )
    try:
        answer = exchange(ask)
    except ExchangeError as error:
        raise FileError(*error.parts) from None
    if answer.status != 200:
        raise FileError(f"answered {answer.status} ", Outside(answer.reason))
    if not answer.is_whole:
        raise FileError(f"it is cut off, or has more than {MAX_FILE >> 20} MiB", is_too_large=True)
    found = _plain(name or PurePosixPath(unquote(urlsplit(url).path)).name)
    if not PurePosixPath(found).suffix:
        kind = answer.content_type.partition(";")[0].strip()
        found += mimetypes.guess_extension(kind) or ""
    return File(found, answer.data)


def _plain(name: str) -> str:
    word = "".join(char for char in PurePosixPath(name).name if char.isprintable())
    return word.lstrip(".")[-_MAX_NAME:] or "file"
