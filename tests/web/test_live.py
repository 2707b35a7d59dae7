"""Live pages in a real browser: many tabs, a lost network, a sleep, a herd, and no free stream."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import ExitStack, closing
from time import monotonic  # noqa: TID251 - a test's patience is real time
from typing import TYPE_CHECKING

import pytest
from support.dashboard import Visitor
from support.live_daemon import PATIENCE_S, LiveDaemon
from support.window import chromium, signed_in

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [
    pytest.mark.needs("chromium"),
    pytest.mark.xdist_group("browser"),
    pytest.mark.timeout(900),
]
pytest.importorskip("playwright.sync_api", reason="the extra `test` brings Playwright")

LIVE = ".live:not([hidden]):has-text('live')"
BANNER = "#banner:not([hidden])"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return Debian's chromium."""
    with chromium() as found:
        yield found


ALREADY_RUNNING = 8
"""The exit status of a command that the state of the daemon does not allow."""


def run(site: LiveDaemon) -> str:
    """Run a job, once its runs of before are over, and return the selector of the row of that run."""
    for _ in range(100):
        if site.luad("run", "health-check", "--wait", check=False).returncode != ALREADY_RUNNING:
            break
    return "#" + str(site.json("history", "health-check")["runs"][0]["id"])


def count_parts(page: Page) -> list[str]:
    """Return a list that gets the address of each part that the page asks for."""
    found: list[str] = []
    page.on("request", lambda asked: "luad-part" in asked.headers and found.append(asked.url))
    return found


def test_seven_tabs_are_live_by_one_stream(browser: Browser, site: LiveDaemon) -> None:
    with signed_in(browser, site) as (context, first, base):
        streams: list[str] = []
        context.on("request", lambda asked: "/v1/events" in asked.url and streams.append(asked.url))
        tabs = [context.new_page() for _ in range(6)]
        for page in tabs:
            page.goto(f"{base}/jobs/health-check")
        first.goto(f"{base}/jobs/health-check")
        row = run(site)
        for page in (first, *tabs):
            page.wait_for_selector(row)
        assert len(streams) <= 2  # the first tab had it, left its page, and another one took over


def test_a_page_without_a_network_says_so_and_is_right_when_it_is_back(
    browser: Browser, site: LiveDaemon
) -> None:
    with signed_in(browser, site) as (context, page, base):
        page.goto(f"{base}/jobs/health-check")
        page.wait_for_selector(LIVE)
        context.set_offline(True)
        page.wait_for_selector(BANNER)
        assert page.locator("main button:not([disabled])").count() == 0
        row = run(site)
        assert page.locator(row).count() == 0
        context.set_offline(False)
        page.wait_for_selector(row)
        page.wait_for_selector(BANNER, state="detached")
        assert page.locator("main button[disabled]").count() == 0


def test_a_page_that_slept_for_an_hour_asks_at_once(browser: Browser, site: LiveDaemon) -> None:
    with signed_in(browser, site) as (context, page, base):
        page.clock.install()
        context.route("**/v1/events*", lambda route: route.abort())  # a dead connection
        page.goto(f"{base}/jobs/health-check")
        row = run(site)
        page.clock.fast_forward("01:00:00")
        page.wait_for_selector(row)
        page.wait_for_selector(BANNER, state="detached")


def test_a_herd_neither_floods_a_page_nor_leaves_it_behind(
    browser: Browser, site: LiveDaemon
) -> None:
    with signed_in(browser, site) as (_, page, base):
        page.goto(f"{base}/jobs/health-check")
        page.wait_for_selector(LIVE)
        parts = count_parts(page)
        body = '{"action": "trigger", "jobs": ["health-check", "weekly-report"]}'
        before = len(site.rows("select id from runs"))
        while (
            len(site.rows("select id from runs")) < before + 50
        ):  # a busy machine skips more of them
            site.python(HERD.format(body=body, count=200))
        row = run(site)
        page.wait_for_selector(row)
        after = len(site.rows("select id from runs"))
        assert after - before >= 50
        assert len(parts) < (after - before) / 2


HERD = """
import http.client, os, socket
class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX); self.sock.connect(os.environ["LUAD_SOCKET"])
connection = Unix("localhost")
for _ in range({count}):
    connection.request("POST", "/v1/jobs:batch", '{body}', {{"content-type": "application/json"}})
    connection.getresponse().read()
"""


def stream_of(visitor: Visitor) -> http.client.HTTPConnection:
    """Open a stream of events, once luad has noticed that the page of an earlier test is gone."""
    headers = {"Host": visitor.host, "Cookie": visitor.cookie}
    deadline = monotonic() + PATIENCE_S
    while monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", visitor.port, timeout=60)
        connection.request("GET", "/v1/events?every=10s", headers=headers)
        if connection.getresponse().status == 200:
            return connection
        connection.close()
    raise AssertionError("no stream has become free")


def test_without_a_free_stream_a_page_asks_now_and_then_and_says_so(
    browser: Browser, site: LiveDaemon
) -> None:
    with ExitStack() as stack:
        for _ in range(8):  # half of the connections of one address
            stack.enter_context(closing(stream_of(Visitor.of(site).sign_in())))
        _, page, base = stack.enter_context(signed_in(browser, site))
        page.goto(f"{base}/jobs/health-check")
        page.wait_for_selector(".live:not([hidden]):has-text('every 10 s')")
        assert page.locator(BANNER).count() == 0
        row = run(site)
        page.wait_for_selector(row)


def test_stopping_a_run_is_asked_by_the_script_once(browser: Browser, site: LiveDaemon) -> None:
    with signed_in(browser, site) as (_, page, base):
        page.goto(f"{base}/jobs/etl-load/run")
        page.click("main button:has-text('Run')")
        page.wait_for_url("**/runs/*#log")
        page.on("dialog", lambda dialog: dialog.accept())
        page.click("main button:has-text('Stop')")
        page.wait_for_selector("h1:has-text('Cancelled')")
        assert "/act/" not in page.url


def test_the_page_that_asks_first_stays_as_it_is(browser: Browser, site: LiveDaemon) -> None:
    with signed_in(browser, site) as (_, page, base):
        page.goto(f"{base}/runs?job=attacker")
        page.check("thead [data-tick-all]")
        page.check("input[name=all]")
        page.click("button:has-text('Retry')")
        page.wait_for_selector("h1:has-text('Retry')")
        run(site)  # events come, and the answer to a form cannot be fetched again
        page.wait_for_selector(LIVE)
        assert page.locator(BANNER).count() == 0
        assert page.locator("main button.main:not([disabled])").count() == 1
        page.click("main a:has-text('Back')")
        page.wait_for_url("**/runs?job=attacker")
