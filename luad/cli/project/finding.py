"""One line of `luad doctor`.

Room rule: a value, and two short ways to make it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One line. *is_ok* None: worth knowing, neither good nor bad."""

    name: str
    is_ok: bool | None
    detail: str
    fix: str = ""


def good(name: str, detail: str) -> Finding:
    """Return a line that says that something is well."""
    return Finding(name, is_ok=True, detail=detail)


def fail(name: str, detail: str, fix: str) -> Finding:
    """Return a line that says what is wrong, and what to do."""
    return Finding(name, is_ok=False, detail=detail, fix=fix)


def note(name: str, detail: str, fix: str = "") -> Finding:
    """Return a line that is worth knowing."""
    return Finding(name, is_ok=None, detail=detail, fix=fix)
