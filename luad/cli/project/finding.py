"""One line of `luad doctor`.

Rule: a value, and short ways to make it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. *is_ok* is None for a note, which is not a verdict."""

    name: str
    is_ok: bool | None
    detail: str
    fix: str = ""


def good(name: str, detail: str) -> Finding:
    """Return a line for a passed check."""
    return Finding(name, is_ok=True, detail=detail)


def fail(name: str, detail: str, fix: str) -> Finding:
    """Return a line for a failed check, with the *fix*."""
    return Finding(name, is_ok=False, detail=detail, fix=fix)


def note(name: str, detail: str, fix: str = "") -> Finding:
    """Return a line without a verdict."""
    return Finding(name, is_ok=None, detail=detail, fix=fix)
