"""A page of another program of this machine, in a real browser that is signed in to luad."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

import pytest
from support.live_daemon import LiveDaemon
from support.window import chromium, signed_in

from luad.web.site import ROWS

if TYPE_CHECKING:
    from playwright.sync_api import Response

pytestmark = [
    pytest.mark.needs("chromium"),
    pytest.mark.xdist_group("browser"),
    pytest.mark.timeout(900),
]
pytest.importorskip("playwright.sync_api", reason="the extra `test` brings Playwright")

FORMS = [row.path for row in ROWS if row.method == "POST"]
READS = ["/", "/jobs", "/v1/status", "/v1/jobs", "/v1/whoami"]
ATTEMPTS = """async ([base, forms, reads]) => {
  const body = "job=health-check&sure=1&back=/&code=x";
  const kind = {"Content-Type": "application/x-www-form-urlencoded"};
  const got = [];
  const note = (what, attempt) => attempt.then((value) => got.push([what, value]), () => undefined);
  for (const path of forms) {
    for (const mode of ["cors", "no-cors"]) {
      const sent = fetch(base + path, {method: "POST", mode, credentials: "include", headers: kind, body});
      await note(path, sent.then((answer) => answer.type === "opaque" ? Promise.reject() : answer.text()));
    }
    navigator.sendBeacon(base + path, new URLSearchParams(body));
  }
  for (const path of reads) {
    for (const mode of ["cors", "no-cors"]) {
      const sent = fetch(base + path, {mode, credentials: "include"});
      await note(path, sent.then((answer) => answer.type));
    }
    await note("img " + path, new Promise((good, bad) => {
      const image = Object.assign(new Image(), {onload: () => good("shown"), onerror: bad});
      image.src = base + path;
    }));
  }
  const frame = Object.assign(document.createElement("iframe"), {src: base + "/"});
  const loaded = new Promise((done) => { frame.onload = done; });
  document.body.append(frame);
  await loaded;
  await note("frame", new Promise((good, bad) => {
    try { good(frame.contentWindow.document.title); } catch { bad(); }
  }));
  await note("events", new Promise((good, bad) => {
    const source = new EventSource(base + "/v1/events", {withCredentials: true});
    source.onopen = () => good("open");
    source.onerror = () => { source.close(); bad(); };
  }));
  return got;
}"""
FORM = """([base, path]) => {
  const form = Object.assign(document.createElement("form"), {method: "post", action: base + path});
  form.append(Object.assign(document.createElement("input"), {name: "job", value: "health-check"}));
  document.body.append(form);
  form.submit();
}"""


class Stranger(BaseHTTPRequestHandler):
    """A page of another program of this machine; it keeps the cookies that browsers send to it."""

    cookies: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        """Answer with an empty page."""
        self.cookies.append(self.headers.get("Cookie", ""))
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>elsewhere</title><body>")

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@contextmanager
def stranger() -> Iterator[int]:
    """Serve the page, and return its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stranger)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Stranger.cookies.clear()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("is_same_host", [True, False], ids=["luad's name", "127.0.0.1"])
def test_a_page_of_another_port_changes_nothing_and_reads_nothing(
    site: LiveDaemon, is_same_host: bool
) -> None:
    before = site.rows("SELECT count(*) FROM runs")
    answers: list[tuple[str, int]] = []
    with (
        chromium() as browser,
        signed_in(browser, site, "admin") as (_, page, base),
        stranger() as port,
    ):

        def note(answer: Response) -> None:
            if answer.request.method == "POST" and answer.url.startswith(base):
                answers.append((answer.url.removeprefix(base), answer.status))

        page.on("response", note)
        host = urlsplit(base).hostname if is_same_host else "127.0.0.1"
        elsewhere = f"http://{host}:{port}/"
        page.goto(elsewhere)
        assert page.evaluate(ATTEMPTS, [base, FORMS, READS]) == []
        for path in FORMS:
            page.goto(elsewhere)
            with page.expect_navigation():
                page.evaluate(FORM, [base, path])
        page.goto(f"{base}/")
        assert "/login" not in page.url  # no attempt has ended the session
    assert {path for path, _ in answers} == set(FORMS)
    assert {status for _, status in answers} == {403}
    assert site.rows("SELECT count(*) FROM runs") == before
    assert not site.json("show", "health-check")["pause"]
    if not is_same_host:  # cookies know no ports, which is why luad has a name of its own
        assert not any("luad-" in cookie for cookie in Stranger.cookies)
