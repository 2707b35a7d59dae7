"""References to secrets, read at the moment of sending, and kept out of every text that leaves.

Room rule: a reference in, its value out; values are remembered only to be hidden.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

_IN_TEXT: Final = re.compile(r"\$\{(\w+)\}")
_WHOLE: Final = re.compile(r"(file|credential):(.+)", re.DOTALL)
_LARGEST: Final = 16 * 1024
_SHORTEST: Final = 4
"""A secret of less would hide letters everywhere, and is none."""

HIDDEN: Final = "****"


class BrokenReferenceError(ValueError):
    """A reference that leads nowhere; its message names it, and no value."""


class Resolver:
    """Resolves the references of one delivery, with *environ*; `hide` takes out what it has seen."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._seen: set[str] = set()

    def resolve(self, text: str) -> str:
        """Return *text* with its references replaced. Raises `BrokenReferenceError`."""
        if whole := _WHOLE.fullmatch(text):
            return self._note(self._read(whole[1], whole[2]))
        return _IN_TEXT.sub(lambda found: self._note(self._variable(found[1])), text)

    def address(self, text: str) -> str:
        """Resolve the address of a service: every part of it but the host may be a secret."""
        url = self.resolve(text)
        try:
            parts = urlsplit(url)
            words = [parts.username, parts.password, *parts.path.split("/"), parts.query]
        except ValueError:
            words = [url]
        for word in words:
            if word:
                self._note(word)
                self._note(unquote(word))
        return url

    def hide(self, text: str) -> str:
        """Return *text* without anything that was resolved."""
        for secret in sorted(self._seen, key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        return text

    def _note(self, value: str) -> str:
        if len(value) >= _SHORTEST:
            self._seen.add(value)
        return value

    def _variable(self, name: str) -> str:
        value = self._environ.get(name)
        if not value:
            raise BrokenReferenceError(f"${{{name}}} is not set in luad's environment")
        return value

    def _read(self, kind: str, place: str) -> str:
        path = Path(place)
        if kind == "credential":
            folder = self._environ.get("CREDENTIALS_DIRECTORY")
            if not folder or "/" in place:
                raise BrokenReferenceError(f"there is no systemd credential `{place}`")
            path = Path(folder) / place
        try:
            with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC)) as file:
                return file.read(_LARGEST).strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "is no text"
            raise BrokenReferenceError(f"{kind}:{place} cannot be read: {reason}") from error
