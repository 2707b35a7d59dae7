"""Pages whose questions ran out of time say so, and never that there is nothing."""

from __future__ import annotations

from typing import Any

import pytest
from support.long_history import fill
from support.page_site import PageSite

from luad.store import query_budget
from luad.web.pages import overview, runs


@pytest.fixture
async def site(daemon: Any, kit: Any, monkeypatch: pytest.MonkeyPatch) -> PageSite:
    """Return the pages of a daemon with some history and no time for it."""
    await daemon.install(kit.make_job("tidy"))
    fill(daemon.store, daemon.clock.wall - 2_000_000, 2_000)
    monkeypatch.setattr(query_budget, "BUDGET_MS", 0)
    return PageSite(daemon)


async def test_a_search_without_time_is_not_called_empty(site: PageSite) -> None:
    text = await site.show(runs.show, "q=none-like-it")
    assert "Not complete" in text
    assert "Search older ones" in text
    assert "No run matches" not in text


async def test_a_search_with_time_says_that_nothing_matches(daemon: Any) -> None:
    text = await PageSite(daemon).show(runs.show, "q=none-like-it")
    assert "No run matches" in text
    assert "Not complete" not in text
    assert "No job has run yet" in await PageSite(daemon).show(runs.show)


async def test_the_overview_says_how_far_it_has_counted(site: PageSite) -> None:
    text = await site.show(overview.show)
    assert "not all are counted" in text
