"""Resolves references to secrets when a message is sent, and hides the values in outgoing texts.

Rule: a reference in, its value out; values are kept only to be hidden.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote, unquote_plus

from luad.config.secret_forms import spellings_of
from luad.config.secrets import is_telling
from luad.messenger.mixed_text import ForeignText, MixedTextError
from luad.trust import path_problem

_IN_TEXT: Final = re.compile(r"\$\{(\w+)\}")
_WHOLE: Final = re.compile(r"(file|credential):(.+)", re.DOTALL)
_LIKE_A_HOST: Final = re.compile(r"([a-z0-9-]+(\.[a-z0-9-]+)+|localhost|\[[0-9a-f:.]+\])?(:\d+)?")
_LARGEST: Final = 16 * 1024
_SHORTEST: Final = 4
"""A shorter value would hide letters everywhere, and is not a secret."""

_SHORTEST_UNNAMED: Final = 8
"""Shorter parts of an address that may be a secret, such as a part of its path, are mostly plain words."""

HIDDEN: Final = "****"


class BrokenReferenceError(MixedTextError, ValueError):
    """A reference that cannot be resolved; its message names the reference, and no value."""


class Resolver:
    """Resolves the references of one delivery with *environ*; `hide` removes the resolved values.

    *permit_insecure*: files that other users may write are read as well.
    """

    def __init__(self, environ: Mapping[str, str], *, permit_insecure: bool = False) -> None:
        self._environ = environ
        self._permit_insecure = permit_insecure
        self._seen: set[str] = set()

    def resolve(self, text: str) -> str:
        """Return *text* with its references replaced. Raises `BrokenReferenceError`."""
        if whole := _WHOLE.fullmatch(text):
            return self._note(self._read(whole[1], whole[2]))
        return _IN_TEXT.sub(lambda found: self._note(self._variable(found[1])), text)

    def secret(self, text: str) -> str:
        """Return *text*, such as a header's value, resolved; the whole and each word are secrets."""
        value = self.resolve(text)
        for word in value.split():
            self._note(word)
        return self._note(value)

    def address(self, text: str, *, hides_host: bool = False) -> str:
        """Return the address of a service, resolved; each part except the host may be a secret.

        *hides_host*: the host may be a secret, too, because some services have a token in its place.
        """
        url = self.resolve(text)
        _, _, rest = url.partition("://")
        before, _, query = rest.partition("?")
        place, _, path = before.partition("/")
        user, _, host = place.rpartition("@")
        name, _, password = user.partition(":")
        named, others = [password], [user, name, path, *path.split("/"), query]
        for pair in re.split("[&;#]", query):
            key, _, value = pair.partition("=")
            (named if is_telling(key) else others).append(value)
        if hides_host and not _LIKE_A_HOST.fullmatch(host):
            others += [host, host.lower(), *host.split(":")]
        for words, shortest in ((named, _SHORTEST), (others, _SHORTEST_UNNAMED)):
            for word in words:
                for each in (word, unquote(word), unquote_plus(word)):
                    self._note(each, shortest)
        return url

    def show(self, parts: Iterable[str]) -> str:
        """Return *parts* as one text, with secrets hidden in parts that are `ForeignText`."""
        return "".join(self.hide(each) if isinstance(each, ForeignText) else each for each in parts)

    def hide(self, text: str) -> str:
        """Return *text* without the resolved values, in any spelling."""
        for secret in sorted(self._seen, key=len, reverse=True):
            text = spellings_of(secret).replace(text, lambda _: HIDDEN)
        return text

    def _note(self, value: str, shortest: int = _SHORTEST) -> str:
        for line in (value, *value.splitlines()):  # an answer is shown as one line
            if len(line) >= shortest:
                self._seen.add(line)
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
                raise BrokenReferenceError(f"the systemd credential `{place}` does not exist")
            path = Path(folder) / place
        problem = None if self._permit_insecure else path_problem(path, daemon_uid=os.geteuid())
        if problem is not None:
            reason = f"{problem.message} ({problem.help})"
            raise BrokenReferenceError(f"{kind}:{place} is not read: {reason}")
        try:
            # Not blocking, because a named pipe would wait for its writer.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            with os.fdopen(descriptor, encoding="utf-8") as file:
                value = file.read(_LARGEST).strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise BrokenReferenceError(f"{kind}:{place} cannot be read: {reason}") from error
        if not value:
            raise BrokenReferenceError(f"{kind}:{place} is empty")
        return value
