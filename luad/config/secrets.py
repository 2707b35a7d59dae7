"""Secrets by their place: a value under a telling name, a password in a URL.

Users put secrets into a job's `env`, so the names there decide. The values of `metadata` are for
the handler, and are shown.

Rule: pure; finds what to hide, and stores nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Final

from luad.config.secret_forms import spellings_of
from luad.core.model import JSON
from luad.errors import Problem

MASK: Final = "***"

_WORDS: Final = (
    r"auth|credentials?|cookies?|keys?|pass|pwd|sig|signature|dsn|pin"
    r"|(?:pg|my|db|sql|mail|smtp|ftp|ldap|user|root|admin)pass"
)
_PLAIN_WORDS: Final = r"apikey|privatekey|passphrase|passw|secret|token"
_TELLING: Final = re.compile(
    rf"(?:^|[_.-])(?:{_WORDS})(?:[_.-]|$)|{_PLAIN_WORDS}", re.IGNORECASE | re.ASCII
)
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
"""The start of a word in ``privateKey``."""
_PUBLIC: Final = frozenset({"true", "false", "none", "null", "basic", "bearer", "default"})
_REFERENCE: Final = re.compile(r"\$\{[A-Z_][A-Z0-9_]*\}")
"""A variable of a shell, whose name is not a secret."""
_LEAST_DIGITS: Final = 6
_LEAST: Final = 4

_PASSWORD: Final = re.compile(r"(://[^\s/:@?#\"']{0,256}:)[^\s/@\"']{1,256}(?=@)")
_CUT_PASSWORD: Final = re.compile(
    r"(:(?://|~1~1)[^\s/:@?#\"'`]{0,256}:)([^\s/@\"'`]{1,256})(?=@|\.\.\.(?:`|$))"
)
"""A password in a message, which cuts long values; `~1` is a slash in a pointer."""
_NAMED: Final = re.compile(
    r"(?<![A-Za-z0-9_.-])([A-Za-z_][A-Za-z0-9_.-]{0,127})([\"']?)(\s{0,8}=(?![=~])|\s{0,8}:)(\s{0,8})"
)
"""A name, and the characters between the name and its value."""
_LINE: Final = re.compile(r"\s*(?:-\s+)?(?:export\s+)?([A-Za-z_][\w.-]*)\s*[:=]\s*(\S.*)")
_FLOW_END: Final = re.compile(r",\s|,(?=[\"']?\w+[\"']?\s?:)|[}\]]+[\s,}\]]*(?:$|[\s#])|\s#|\n")
_BLOCK_END: Final = re.compile(r"\s#|\n")
_ENVIRONMENTS: Final = frozenset({"env", "envs", "environ", "environment", "variables", "vars"})
_LEAST_OF_A_LINE: Final = 8
"""The minimum length of a line that is hidden by itself, in a secret of several lines."""


def is_telling(name: str) -> bool:
    """Return whether the name of a variable marks a secret: ``API_KEY``, ``TOKEN``.

    ``DB_PWD`` does. ``PWD`` alone is the shell's working folder, with which many paths begin.
    """
    return name != "PWD" and _TELLING.search(_HUMP.sub("_", name)) is not None


def secret_values(env: Iterable[tuple[str, object]]) -> tuple[str, ...]:
    """Return the values of *env* that are secrets by their names, and long enough."""
    return tuple(str(value) for name, value in env if is_telling(name) and is_worth(str(value)))


def is_worth(value: str) -> bool:
    """Return whether *value* is long and unusual enough to be hidden wherever it occurs."""
    if len(value.strip()) < _LEAST or value.strip().lower() in _PUBLIC:
        return False
    if _REFERENCE.fullmatch(value.strip()):
        return False
    return not (value.isdigit() and len(value) < _LEAST_DIGITS)


def without_passwords(text: str) -> str:
    """Return *text* without the passwords of its URLs, in time linear in the text."""
    return _PASSWORD.sub(rf"\1{MASK}", text) if "://" in text and "@" in text else text


def shown_definition(definition: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return a job's definition with the secrets of `env` masked."""
    shown = dict(definition)
    env = shown.get("env")
    if isinstance(env, Mapping):
        shown["env"] = {
            name: MASK if is_telling(name) else without_passwords(str(value))
            for name, value in env.items()
        }
    return shown


def is_masked(value: str) -> bool:
    """Return whether *value* is a mask of `shown_definition` instead of a value."""
    return value == MASK or f":{MASK}@" in value


def secrets_of(document: object) -> frozenset[str]:
    """Return the secrets in a job document, in any form of its environment."""
    if isinstance(document, str):
        return frozenset(filter(is_worth, _values_in(document)))
    if not isinstance(document, dict):
        return frozenset()
    found: set[str] = set()
    for key, value in document.items():
        if str(key).lower() in _ENVIRONMENTS:
            found.update(_values_in(value))
        elif not isinstance(value, dict | list) and is_telling(str(key)):
            found.update(_parts(str(value)))
        found.update(_values_in(str(key)))
    return frozenset(filter(is_worth, found))


def _values_in(value: object) -> Iterator[str]:
    """Yield the values under telling names: in mappings, lists, or lines of a `.env` file."""
    if isinstance(value, str):
        for line in value.splitlines():
            if (found := _LINE.match(line)) and is_telling(found[1]):
                yield from _parts(found[2])
    elif isinstance(value, list):
        for each in value:
            yield from _values_in(each)
    elif isinstance(value, dict):
        if is_telling(str(value.get("name", ""))) and "value" in value:
            yield from _scalars(value["value"])
        for key, each in value.items():
            yield from _values_in(str(key))
            yield from _scalars(each) if is_telling(str(key)) else _values_in(each)


def _scalars(value: object) -> Iterator[str]:
    inner = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    )
    if inner is None:
        yield from _parts(str(value))
    else:
        for each in inner:
            yield from _scalars(each)


def _parts(text: str) -> Iterator[str]:
    """Yield a secret, with and without its quotes, and its long lines."""
    yield text.strip()
    yield text.strip().strip("\"'")
    if "\n" in text.strip():
        yield from (
            line.strip() for line in text.splitlines() if len(line.strip()) >= _LEAST_OF_A_LINE
        )


def hiding(secrets: Collection[str]) -> Callable[[str], str]:
    """Return a function that hides secrets in a text, and keeps its length.

    It hides *secrets*, values assigned to telling names, and passwords of URLs.
    """
    longest_first = sorted(secrets, key=len, reverse=True)

    @cache
    def hidden(text: str) -> str:  # many problems may show the same long line
        for secret in longest_first:
            text = spellings_of(secret).replace(text, _stars)
        return _CUT_PASSWORD.sub(lambda found: found[1] + _stars(found[2]), _assigned_hidden(text))

    return hidden


def without_secrets(problem: Problem, hidden: Callable[[str], str]) -> Problem:
    """Return *problem* without secrets; *hidden* comes from `hiding`."""
    texts: dict[str, Any] = {
        name: hidden(getattr(problem, name))
        for name in ("message", "help", "note", "pointer", "job")
    }
    has_changed = any(text != getattr(problem, name) for name, text in texts.items())
    fix = problem.fix
    if fix is not None and (has_changed or hidden(fix[2]) != fix[2]):
        fix = None  # it would contain the secret
    lines = tuple((number, hidden(line)) for number, line in problem.excerpt)
    return replace(problem, excerpt=lines, fix=fix, **texts)


def _assigned_hidden(text: str) -> str:
    pieces, done = [], 0
    for found in _NAMED.finditer(text):
        if found.start() < done or not _assigns_secret(found):
            continue
        end = _end_of_value(text, found)
        pieces += [text[done : found.end()], _stars(text[found.end() : end])]
        done = end
    return "".join((*pieces, text[done:]))


def _assigns_secret(found: re.Match[str]) -> bool:
    """Return whether a secret value follows; `handler: tokens:refresh` has none."""
    name = found[1]
    if not is_telling(name):
        return False
    is_constant = name.isupper() and len(name) > 1
    if "=" in found[3]:  # unlike a directive of systemd, as in `LoadCredential= is missing`
        return is_constant or not (name[0].isupper() and found[4])
    has_hump = _HUMP.search(name) is not None and "." not in name
    if found[4] or found[2]:
        return is_constant or has_hump
    return is_constant


def _end_of_value(text: str, found: re.Match[str]) -> int:
    start = found.end()
    first, before = text[start : start + 1], text[found.start() - 1 : found.start()]
    if first in ("'", '"') and (close := text.find(first, start + 1)) > 0:
        return close
    if before in ("'", '"') and not found[2] and (close := text.find(before, start)) > 0:
        return close
    is_flow = "{" in text[: found.start()] or "[" in text[: found.start()]
    if text.count("`", 0, found.start()) % 2 and (close := text.find("`", start)) > 0:
        return close
    end = (_FLOW_END if is_flow else _BLOCK_END).search(text, start)
    return end.start() if end else len(text)


def _stars(text: str) -> str:
    """Return *text* masked at the same length, so that a caret still points at its place."""
    return "".join(char if char in " \"'`" else "*" for char in text)
