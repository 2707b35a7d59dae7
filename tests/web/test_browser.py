"""The pages in a real browser: by keyboard, live, and with what forms and logs need."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.dashboard import dashboard
from support.live_daemon import LiveDaemon

pytestmark = [
    pytest.mark.needs("chromium"),
    pytest.mark.xdist_group("browser"),
    pytest.mark.timeout(900),
]
playwright = pytest.importorskip("playwright.sync_api", reason="the extra `test` brings Playwright")


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    """Return Debian's chromium; root may not use its sandbox."""
    with playwright.sync_playwright() as running:
        found = running.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-dev-shm-usage"],
        )
        yield found
        found.close()


class Window:
    """A signed-in window that notes what the console says and which hosts are asked."""

    def __init__(
        self,
        browser: playwright.Browser,
        daemon: LiveDaemon,
        role: str = "admin",
        **options: object,
    ) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))
        link = str(daemon.json("web", "--role", role)["url"])
        self.base = link.split("/login", maxsplit=1)[0]
        self.page.goto(link)
        self.page.click("button.main")
        self.page.wait_for_selector("h1")

    def open(self, path: str) -> playwright.Page:
        """Open a page of the site."""
        self.page.goto(self.base + path)
        self.page.wait_for_selector("h1")
        return self.page

    def close(self) -> None:
        """Close the window."""
        self.context.close()


def test_from_the_overview_to_the_log_of_a_failing_run_by_four_keys(
    browser: playwright.Browser, site: LiveDaemon
) -> None:
    window = Window(browser, site, "operator")
    page = window.open("/")
    run_id = site.json("history", "attacker")["runs"][0]["id"]
    keys = ["j", "l"]
    assert len(keys) <= 4
    for key in keys:
        page.keyboard.press(key)
    page.wait_for_url("**/runs/*#log")
    assert page.evaluate("document.activeElement.className") == "log"
    assert page.locator(".log").inner_text()
    assert run_id
    window.close()


def test_a_run_shows_up_without_a_reload(browser: playwright.Browser, site: LiveDaemon) -> None:
    window = Window(browser, site, "operator")
    page = window.open("/jobs/health-check")
    before = page.locator("table.rows tbody tr").count()
    page.evaluate("window.same = true")
    site.luad("run", "health-check", "--wait")
    page.wait_for_selector(f"table.rows tbody tr:nth-child({before + 1})")
    assert page.evaluate("window.same")
    window.close()


def test_new_runs_are_told_and_move_no_row(browser: playwright.Browser, site: LiveDaemon) -> None:
    window = Window(browser, site, "operator")
    page = window.open("/runs")
    first = page.locator("tbody tr").first.get_attribute("id")
    assert page.locator("[data-news]").is_hidden()
    site.luad("run", "health-check", "--wait")
    page.wait_for_selector("[data-news]:not([hidden])")
    assert page.locator("[data-news]").text_content() == "1 new"
    assert page.locator("tbody tr").first.get_attribute("id") == first
    page.click("[data-news]")
    page.wait_for_selector(f"tbody tr:nth-child(2)[id='{first}']")
    assert page.locator("[data-news]").is_hidden()
    window.close()


def test_a_log_is_followed_and_a_run_is_stopped(
    browser: playwright.Browser, site: LiveDaemon
) -> None:
    window = Window(browser, site, "operator")
    page = window.open("/jobs/etl-load/run")
    page.click("button:has-text('Run')")
    page.wait_for_url("**/runs/*#log")
    page.wait_for_selector(".log .tx:has-text('begun')")
    page.on("dialog", lambda dialog: dialog.accept())
    page.click("button:has-text('Stop')")
    page.wait_for_selector("h1:has-text('Cancelled')")
    window.close()


def test_text_of_a_handler_does_not_run(browser: playwright.Browser, site: LiveDaemon) -> None:
    run_id = site.json("history", "attacker")["runs"][0]["id"]
    window = Window(browser, site)
    page = window.open(f"/runs/{run_id}")
    assert "taken" not in page.title()
    assert page.locator("main img, main script, main b:has-text('bold')").count() == 0
    assert "[U+202E]" in page.locator(".log").inner_text()
    assert window.said == []
    window.close()


def test_seven_tabs_have_one_stream(browser: playwright.Browser, site: LiveDaemon) -> None:
    window = Window(browser, site)
    streams: list[str] = []
    window.context.on(
        "request", lambda request: "/v1/events" in request.url and streams.append(request.url)
    )
    pages = [window.context.new_page() for _ in range(7)]
    for page in pages:
        page.goto(window.base + "/")
    assert all(page.locator("h1").inner_text() for page in pages)
    assert len(streams) <= 1
    window.close()


def test_a_page_says_that_the_daemon_is_gone_and_is_right_when_it_is_back(
    browser: playwright.Browser, tmp_path: Path
) -> None:
    daemon = dashboard(tmp_path)
    daemon.start()
    window = Window(browser, daemon)
    page = window.open("/jobs")
    port = window.base.rsplit(":", 1)[1]
    daemon.kill()
    page.wait_for_selector("#banner:not([hidden])")
    daemon.options = ("--listen", f"127.0.0.1:{port}")
    daemon.write_job(
        "more", 'name: more\nhandler: shop:works\nschedule: {type: cron, expression: "0 9 * * *"}\n'
    )
    daemon.start()
    page.wait_for_selector("#job-more", timeout=60_000)
    assert page.locator("#banner").is_hidden()
    window.close()
    daemon.stop()


@pytest.mark.parametrize("with_scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_run_with_a_form_made_from_the_schema(
    browser: playwright.Browser, site: LiveDaemon, with_scripts: bool
) -> None:
    window = Window(browser, site, "operator", java_script_enabled=with_scripts)
    page = window.open("/jobs/export/run")
    page.get_by_label("region").select_option("apac")
    page.get_by_label("days").fill("3")
    page.get_by_label("notes").fill("one\ntwo")
    page.click("main button:has-text('Run')")
    page.wait_for_url("**/runs/*#log")
    site.wait_for("run.ended", job="export")
    page.reload()
    page.wait_for_selector(".log .a-green:has-text('done')")
    run_id = page.url.rsplit("/", 1)[1].partition("#")[0]
    found = site.json("show", run_id)["result"]
    assert found == {"region": "apac", "days": 3, "notes": ["one", "two"], "more": "kept"}
    window.close()


def test_a_log_is_searched_and_a_line_is_linked(
    browser: playwright.Browser, site: LiveDaemon
) -> None:
    site.luad("run", "export", "--wait")
    run_id = site.json("history", "export")["runs"][0]["id"]
    window = Window(browser, site)
    page = window.open(f"/runs/{run_id}?q=/part .00$|done/")
    assert "lines match" in page.locator("[data-found]").inner_text()
    page.keyboard.press("n")
    first = page.evaluate("location.hash")
    page.keyboard.press("n")
    assert first.startswith("#L")
    assert page.evaluate("location.hash") != first
    window.open(f"/runs/{run_id}?q=/(/")
    assert "not a regular expression" in page.locator("[data-found]").inner_text()
    page = window.open(f"/runs/{run_id}")
    page.click("text=Lines before")
    assert page.locator("#L1").count() == 1
    page.click("#L5 .no")
    assert page.evaluate("location.hash") == "#L5"
    assert window.said == []
    window.close()


def test_a_link_to_a_run_is_copied(browser: playwright.Browser, site: LiveDaemon) -> None:
    run_id = site.json("history", "billing-sync")["runs"][0]["id"]
    window = Window(browser, site, permissions=["clipboard-read", "clipboard-write"])
    page = window.open(f"/runs/{run_id}?level=error")
    page.bring_to_front()  # a page without the focus may not write to the clipboard
    page.click("text=Copy link")
    page.wait_for_selector("a:has-text('Copied')")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"{window.base}/runs/{run_id}"
    window.close()


def test_the_choice_to_follow_a_log_is_remembered(
    browser: playwright.Browser, site: LiveDaemon
) -> None:
    window = Window(browser, site, "operator")
    page = window.open("/jobs/health-check/run")
    box = page.get_by_label("Follow the log")
    assert box.is_checked()
    box.uncheck()
    page = window.open("/jobs/billing-sync/run")
    assert not page.get_by_label("Follow the log").is_checked()
    window.close()
