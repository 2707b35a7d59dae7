"""What is a secret by its place: a value under a name that tells, a password in an address.

A job's `env` is where people put secrets, so its values are known by their names; what stands in
`metadata` is for the handler and for whoever looks at the job, and is shown.

Room rule: pure; says what to hide, and keeps nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Final

from luad.config.spellings import spellings_of
from luad.core.model import JSON
from luad.errors import Problem

MASK: Final = "***"

_WORDS: Final = r"auth|credentials?|cookies?|keys?|pass|pwd|sig|signature|dsn|pin"
_TELLING: Final = re.compile(
    rf"(?:^|_)(?:{_WORDS})(?:_|$)|apikey|passphrase|passw|secret|token", re.IGNORECASE | re.ASCII
)
_PUBLIC: Final = frozenset({"true", "false", "none", "null", "basic", "bearer", "default"})
_REFERENCE: Final = re.compile(r"\$\{[A-Z_][A-Z0-9_]*\}")
"""Where a shell would put a value; the name of a variable is not the secret in it."""
_LEAST_DIGITS: Final = 6
_LEAST: Final = 4

_PASSWORD: Final = re.compile(r"(://[^\s/:@?#\"']{0,256}:)[^\s/@\"']{1,256}(?=@)")
_ASSIGNED: Final = re.compile(r"\b([A-Z][A-Z0-9_]{0,127})([\"']?\s{0,8}[:=]\s{1,8})([^#,}\n]+)")


def is_telling(name: str) -> bool:
    """Say whether a variable of that name holds a secret: ``API_KEY``, ``DB_PASSWORD``, ``TOKEN``.

    ``DB_PWD`` does; ``PWD`` alone is the folder where the shell stands, and begins every path there.
    """
    return name != "PWD" and _TELLING.search(name) is not None


def secret_values(env: Iterable[tuple[str, Any]]) -> tuple[str, ...]:
    """Return the values of *env* that are secrets by their names, and long enough to be one."""
    return tuple(str(value) for name, value in env if is_telling(name) and is_worth(str(value)))


def is_worth(value: str) -> bool:
    """Say whether hiding *value* wherever it stands hides a secret rather than half of every line."""
    if len(value.strip()) < _LEAST or value.strip().lower() in _PUBLIC:
        return False
    if _REFERENCE.fullmatch(value.strip()):
        return False
    return not (value.isdigit() and len(value) < _LEAST_DIGITS)


def without_passwords(text: str) -> str:
    """Return *text* without the passwords of the addresses in it; in time linear in the text."""
    return _PASSWORD.sub(rf"\1{MASK}", text) if "://" in text and "@" in text else text


def shown_definition(definition: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return a job's definition as it may be shown: the values of `env` that are secrets are masked."""
    shown = dict(definition)
    env = shown.get("env")
    if isinstance(env, Mapping):
        shown["env"] = {
            name: MASK if is_telling(name) else without_passwords(str(value))
            for name, value in env.items()
        }
    return shown


def is_masked(value: str) -> bool:
    """Say whether *value* is what `shown_definition` shows, and no value that anybody means."""
    return value == MASK or f":{MASK}@" in value


def without_secrets(problems: Iterable[Problem], secrets: Collection[str]) -> tuple[Problem, ...]:
    """Return the problems of a job file fit for logs: neither *secrets* nor what is assigned to a
    variable of a telling name stands in them."""

    @cache
    def hidden(text: str) -> str:  # many problems of one long line show that line
        for secret in secrets:
            text = spellings_of(secret).replace(text, _stars)
        return _ASSIGNED.sub(_hide, text)

    return tuple(_rewritten(each, hidden) for each in problems)


def _rewritten(problem: Problem, hidden: Callable[[str], str]) -> Problem:
    lines = tuple((number, hidden(line)) for number, line in problem.excerpt)
    message, help_text = hidden(problem.message), hidden(problem.help)
    has_changed = (message, help_text) != (problem.message, problem.help)
    fix = None if has_changed else problem.fix  # it would hold what was hidden
    return replace(problem, excerpt=lines, message=message, help=help_text, fix=fix)


def _hide(found: re.Match[str]) -> str:
    return found[1] + found[2] + (_stars(found[3]) if is_telling(found[1]) else found[3])


def _stars(text: str) -> str:
    """As long as before, so that a caret below it still points at the same place."""
    return "".join(char if char in " \"'" else "*" for char in text)
