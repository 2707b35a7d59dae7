"""A signed-in window of Debian's chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from support.live_daemon import LiveDaemon

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser; root may not use its sandbox."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as running:
        found = running.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-dev-shm-usage"],
        )
        yield found
        found.close()


@contextmanager
def signed_in(
    browser: Browser, daemon: LiveDaemon, role: str = "operator", **options: Any
) -> Iterator[tuple[BrowserContext, Page, str]]:
    """Return a context with a session, its first page, and the address of the pages."""
    context = browser.new_context(**options)
    page = context.new_page()
    link = str(daemon.json("web", "--role", role)["url"])
    page.goto(link)
    page.click("button.main")
    page.wait_for_selector("h1")
    yield context, page, link.split("/login", maxsplit=1)[0]
    context.close()
