"""Reads the pictures and files that a message attaches, from luad's disk or from a URL.

Rule: reading is limited; only regular files are read.
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
from luad.messenger.mixed_text import ForeignText, MixedTextError

MAX_FILE: Final = 10 * 1024 * 1024
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_NAME: Final = 100


class FileError(MixedTextError):
    """A file cannot be attached. *is_too_large*: its size is the only reason."""

    def __init__(self, *parts: str, is_too_large: bool = False) -> None:
        super().__init__(*parts)
        self.is_too_large = is_too_large


@dataclass(frozen=True, slots=True)
class File:
    """An attachment. *name* is a plain name without a folder."""

    name: str
    data: bytes


def read_file(path: str, name: str | None = None, limit: int = MAX_FILE) -> File:
    """Return a file of luad's machine, of at most *limit* bytes. Raises `FileError`."""
    try:
        # Not blocking, because a named pipe would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise FileError(ForeignText(path), " is not a regular file")
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no such path"
        raise FileError(ForeignText(path), f" cannot be read: {reason}") from None
    if len(data) > limit:
        raise FileError(ForeignText(path), f" has more than {limit >> 10} KiB", is_too_large=True)
    return File(_plain(name or PurePosixPath(path).name), data)


def fetch(url: str, name: str | None, timeout_ms: int, *, allow_private: bool) -> File:
    """Return the file at *url*. Raises `FileError`.

    Without *allow_private* it must be public, so that the author of a message cannot reach hosts that only
    luad can reach.
    """
    ask = Ask(
        "GET",
        url,
        timeout_ms,
        MAX_FILE,
        {"User-Agent": "luad"},
        redirects=_REDIRECTS,
        may_change_host=True,
        allow_private=allow_private,
    )
    try:
        answer = exchange(ask)
    except ExchangeError as error:
        raise FileError(*error.parts) from None
    if answer.status != 200:
        raise FileError(f"answered {answer.status} ", ForeignText(answer.reason))
    if not answer.is_whole:
        raise FileError(
            f"the file is cut off, or has more than {MAX_FILE >> 20} MiB", is_too_large=True
        )
    found = _plain(name or PurePosixPath(unquote(urlsplit(url).path)).name)
    if not PurePosixPath(found).suffix:
        kind = answer.content_type.partition(";")[0].strip()
        found += mimetypes.guess_extension(kind) or ""
    return File(found, answer.data)


def _plain(name: str) -> str:
    word = "".join(char for char in PurePosixPath(name).name if char.isprintable())
    return word.lstrip(".")[-_MAX_NAME:] or "file"
