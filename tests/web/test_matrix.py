"""Every page and state in a real browser: two themes, two widths, with and without scripts, and for each role.

One cell of the matrix opens all of them: the console stays empty, no request leaves the host, nothing is wider than
the window, and axe finds no violation of WCAG 2.2 A and AA.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from support.dashboard import dashboard
from support.live_daemon import LiveDaemon
from support.window import chromium, signed_in

from luad.web.site import ROWS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [
    pytest.mark.needs("chromium"),
    pytest.mark.xdist_group("browser"),
    pytest.mark.timeout(900),
]
pytest.importorskip("playwright.sync_api", reason="the extra `test` brings Playwright")

Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")
WIDTHS = (360, 1280)
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
PATHS = (
    "/",
    "/?zone=Asia/Tokyo",
    "/jobs",
    "/jobs?health=failing",
    "/jobs?q=nothing-like-it",
    "/jobs/billing-sync",
    "/jobs/weekly-report",
    "/jobs/etl-load",
    "/jobs/billing-sync?tab=revisions",
    "/jobs/billing-sync?tab=metadata",
    "/jobs/weekly-report?tab=alerts",
    "/jobs/weekly-report?tab=activity",
    "/jobs/billing-sync/run",
    "/jobs/export/run",
    "/runs",
    "/runs?status=failed&job=attacker",
    "/runs?q=nothing-like-it",
    "RUN",
    "RUN?level=error",
    "RUN?q=nothing-like-it",
    "/schedule",
    "/schedule?view=week",
    "/schedule?day=2030-01-01&job=no-such-job",
    "/users",
    "/users/ann",
    "/activity",
    "/activity?job=weekly-report",
    "/system",
    "/help",
    "/login",
    "/login?code=wrong",
    "/jobs/no-such-job",
    "/runs?since=yesterday-ish",
    "/no-such-page",
)
VIEWED = ("/", "/jobs", "/jobs/weekly-report", "/runs", "RUN", "/users/ann", "/activity", "/system")
"""Pages that a viewer sees with fewer things on them."""
EMPTY = ("/", "/jobs", "/runs", "/schedule", "/users", "/activity", "/system")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return Debian's chromium."""
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    """Return a daemon without jobs and users."""
    daemon = dashboard(tmp_path_factory.mktemp("empty"))
    for folder in ("jobs.d", "users.d"):
        for path in (daemon.folder / folder).glob("*.yaml"):
            path.unlink()
    with daemon:
        yield daemon


@dataclass
class Look:
    """One cell: what the pages have said, asked for, and got wrong."""

    page: Page
    base: str
    width: int
    has_scripts: bool
    wrong: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cdp = self.page.context.new_cdp_session(self.page)
        self.page.on("console", self._note_console)
        self.page.on("pageerror", lambda error: self.wrong.append(("error", str(error))))
        self.page.on("request", self._note_request)

    def _note_console(self, message: Any) -> None:
        if "status of 4" not in message.text:  # the page itself, of an address that is wrong
            self.wrong.append(("console", self.page.url, message.text))

    def _note_request(self, request: Any) -> None:
        if not request.url.startswith(self.base + "/"):
            self.wrong.append(("elsewhere", request.url))

    def open(self, path: str) -> None:
        """Open a page, and look at it."""
        self.page.goto(self.base + path)
        self.page.wait_for_selector("h1")
        self.look(path)

    def look(self, state: str) -> None:
        """Note what is wrong with the page as it is now."""
        size = self.cdp.send("Page.getLayoutMetrics")["cssContentSize"]
        if size["width"] > self.width:
            self.wrong.append(("wide", state, size["width"]))
        if self.page.locator("h1").count() != 1:
            self.wrong.append(("headings", state))
        if not re.fullmatch(r".+ · luad|luad", self.page.title()):
            self.wrong.append(("title", state, self.page.title()))
        if self.has_scripts:
            self._ask_axe(state)

    def _ask_axe(self, state: str) -> None:
        self.page.add_script_tag(path=axe())
        question = "rules => axe.run(document, {runOnly: {type: 'tag', values: rules}, resultTypes: ['violations']})"
        for each in self.page.evaluate(question, RULES)["violations"]:
            for node in each["nodes"][:2]:
                self.wrong.append((state, each["id"], node["target"], node["failureSummary"]))


def axe() -> Path:
    """Return axe-core, as its package brings it."""
    import axe_playwright_python

    return Path(axe_playwright_python.__file__).with_name("axe.min.js")


def paths_of(site: LiveDaemon, paths: tuple[str, ...] = PATHS) -> list[str]:
    """Return the addresses of pages, with a failed run."""
    run_id = site.json("history", "billing-sync")["runs"][0]["id"]
    return [path.replace("RUN", f"/runs/{run_id}") for path in paths]


def test_each_page_of_the_table_is_in_the_matrix(site: LiveDaemon) -> None:
    pages = [row.path for row in ROWS if row.method == "GET" and not row.path.startswith("/static")]
    patterns = {re.sub(r"\{\w+\}", "[^/?]+", path) for path in pages}
    tried = [path.partition("?")[0] for path in paths_of(site)]
    assert {
        each for each in patterns if not any(re.fullmatch(each, path) for path in tried)
    } == set()


@pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no scripts"])
@pytest.mark.parametrize(("theme", "width"), list(product(THEMES, WIDTHS)))
def test_every_page_and_state_is_quiet_stays_home_fits_and_can_be_used(
    browser: Browser,
    site: LiveDaemon,
    empty: LiveDaemon,
    theme: Theme,
    width: int,
    has_scripts: bool,
) -> None:
    options: dict[str, Any] = {
        "color_scheme": theme,
        "viewport": {"width": width, "height": 900},
        "java_script_enabled": has_scripts,
        "bypass_csp": has_scripts,  # axe is injected
        "reduced_motion": "reduce",
    }
    wrong = []
    for role, daemon, paths in (
        ("admin", site, paths_of(site)),
        ("viewer", site, paths_of(site, VIEWED)),
        ("admin", empty, list(EMPTY)),
    ):
        with signed_in(browser, daemon, role, **options) as (_, page, base):
            look = Look(page, base, width, has_scripts)
            for path in paths:
                look.open(path)
            if role == "admin" and daemon is site:
                act(look)
            wrong += look.wrong
    assert wrong == []


def act(look: Look) -> None:
    """Look at the states that come after a form: what is asked first, what was done, and open menus."""
    page = look.page
    page.goto(f"{look.base}/runs?job=attacker")
    for box in page.locator("tbody input[name=run]").all():
        box.check()
    look.look("ticked")
    page.click("main button:has-text('Stop')")
    page.wait_for_selector("h1:has-text('Stop')")
    look.look("asked first")
    page.goto(f"{look.base}/jobs/weekly-report")
    page.click("summary:has-text('Pause')")
    look.look("menu of a pause")
    page.get_by_label("Reason").fill("a reason " * 40)
    page.click("main details button:has-text('Pause')")
    page.wait_for_selector(".toast")
    look.look("paused")
    page.click("main button:has-text('Resume')")
    page.wait_for_selector(".toast:has-text('Resumed')")
    for menu in page.locator("details.menu").all():
        if menu.is_visible():
            menu.locator("summary").click()
    look.look("all menus")
