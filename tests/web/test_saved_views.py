"""Filters that a browser keeps under names."""

from __future__ import annotations

import base64
import json

import pytest

from luad.web.saved_views import MOST, SavedView, change, read, write


def test_a_view_comes_back_without_what_passes() -> None:
    views = change([], "/runs", "  bad   nights ", "status=failed&since=24h&cursor=abc&done=run&q=")
    assert views == [SavedView("/runs", "bad nights", "status=failed&since=24h")]
    assert read(write(views)) == views
    assert views[0].address == "/runs?status=failed&since=24h"
    assert change(views, "/runs", "bad nights", None) == []


def test_the_newest_views_stay_within_the_size_of_a_cookie() -> None:
    views: list[SavedView] = []
    for number in range(MOST * 3):
        views = change(views, "/jobs", f"{number} " + "é" * 60, "q=" + "é" * 30)
    assert len(views) == MOST
    assert len(write(views)) < 4_000
    assert read(write(views))[-1] == views[-1]


@pytest.mark.parametrize(
    ("page", "name", "query"),
    [
        ("//evil.example", "x", ""),
        ("https://evil.example", "x", ""),
        ("/system", "x", ""),
        ("/jobs", "", "q=1"),
        ("/jobs", "x", "q=" + "1" * 300),
    ],
)
def test_a_view_leads_nowhere_else(page: str, name: str, query: str) -> None:
    assert change([], page, name, query) == []
    rows = json.dumps([[page, name, query]]).encode()
    assert read(base64.urlsafe_b64encode(rows).decode()) == []


@pytest.mark.parametrize("cookie", ["", "%%%", "bnVsbA", "W1sxXV0", "eyJhIjoxfQ", "W" * 9000])
def test_a_cookie_of_somebody_else_gives_no_views(cookie: str) -> None:
    assert read(cookie) == []
