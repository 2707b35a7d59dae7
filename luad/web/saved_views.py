"""The filters that a browser keeps under names, in a cookie of its own.

Rule: pure; a cookie that luad did not write gives no views. A view leads to a page of luad and nowhere else.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlencode

if TYPE_CHECKING:
    from collections.abc import Sequence

COOKIE: Final = "luad-views"
PAGES: Final = ("/jobs", "/runs", "/schedule")
MOST: Final = 12
NAME: Final = 40
QUERY: Final = 200
SIZE: Final = 2_400
"""The bytes of all views; browsers take cookies of 4 kB."""
_PASSING: Final = frozenset({"cursor", "done", "subject", "day", "zone"})
"""Parameters that belong to a look, and not to a filter."""


@dataclass(frozen=True, slots=True)
class SavedView:
    """A filter of a page, with its name."""

    page: str
    name: str
    query: str

    @property
    def address(self) -> str:
        """Return where it leads."""
        return f"{self.page}?{self.query}" if self.query else self.page


def filter_of(query: str) -> str:
    """Return the part of the parameters of a page that a view keeps."""
    pairs = parse_qsl(query)[:20]
    return urlencode([pair for pair in pairs if pair[0] not in _PASSING and pair[1]])


def read(cookie: str) -> list[SavedView]:
    """Return the views of a cookie."""
    try:
        rows = json.loads(base64.urlsafe_b64decode(cookie + "=="))
        found = [SavedView(*map(str, row)) for row in rows[:MOST]]
    except (ValueError, TypeError, KeyError, RecursionError):
        return []
    return [each for each in found if _is_fine(each)]


def write(views: Sequence[SavedView]) -> str:
    """Return the cookie of views; without the oldest ones where it would be too large."""
    for first in range(len(views) + 1):
        rows = [[each.page, each.name, each.query] for each in views[first:]]
        text = json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()
        if len(text) <= SIZE:
            break
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def change(views: Sequence[SavedView], page: str, name: str, query: str | None) -> list[SavedView]:
    """Return *views* with one more, or without the one of that name if *query* is None."""
    name = " ".join(name.split())[:NAME]
    others = [each for each in views if (each.page, each.name) != (page, name)]
    if query is None:
        return others
    wanted = SavedView(page, name, filter_of(query))
    return [*others, wanted][-MOST:] if _is_fine(wanted) else others


def _is_fine(view: SavedView) -> bool:
    return (
        view.page in PAGES
        and 0 < len(view.name) <= NAME
        and len(view.query) <= QUERY
        and view.query == filter_of(view.query)
    )
