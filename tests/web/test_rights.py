"""Every row of both tables: what a browser may ask with its cookie, and from where."""

from __future__ import annotations

import re
import socket
from urllib.parse import quote

import pytest
from support.dashboard import SAME_ORIGIN, Visitor
from support.live_daemon import LiveDaemon

from luad.api.routes.table import TABLE
from luad.web.site import ROWS

CHANGES = [(row.method, row.path) for row in TABLE if row.method not in ("GET", "HEAD")]
READS = [row.path for row in TABLE if row.method == "GET"]
PAGES = [row.path for row in ROWS if row.method == "GET" and not row.is_public]
FORMS = [row.path for row in ROWS if row.method == "POST"]
ACTS = [path for path in FORMS if path not in ("/login", "/act/sign-out", "/act/view", "/act/zone")]
ADMINS_ONLY = {"/activity"}


def filled(path: str) -> str:
    return re.sub(r"\{\w+\}", "x", path)


@pytest.fixture(scope="module")
def browsers(site: LiveDaemon) -> dict[str, Visitor]:
    """Return a signed-in visitor of each role."""
    roles = ("viewer", "operator", "admin")
    return {role: Visitor.of(site, "--role", role).sign_in() for role in roles}


@pytest.fixture(scope="module")
def admin(browsers: dict[str, Visitor]) -> Visitor:
    """Return the visitor that may do everything."""
    return browsers["admin"]


@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_no_change_of_the_api_takes_the_cookie_of_an_admin(
    admin: Visitor, method: str, path: str
) -> None:
    answer = admin.ask(method, filled(path), None, {**SAME_ORIGIN, "Accept": "*/*"})
    assert answer.status == 401, answer.text


def test_no_method_becomes_another_one_by_a_header(admin: Visitor) -> None:
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        path = "/v1/jobs/weekly-report"
        assert admin.ask("GET", path, None, {name: "DELETE"}).status == 200
    for method in ("TRACE", "CONNECT", "PUT", "PATCH", "DELETE", "OPTIONS"):
        assert admin.ask(method, "/act/pause", None, SAME_ORIGIN).status in (400, 401, 405)


@pytest.mark.parametrize("path", PAGES)
def test_each_page_needs_a_session_of_its_own_host(admin: Visitor, path: str) -> None:
    path = filled(path)
    asked = [
        ({"Cookie": ""}, 303),
        ({"Cookie": f"{admin.cookie}; {admin.cookie[:-1]}x"}, 303),
        ({"Host": f"127.0.0.1:{admin.port}"}, 303),
        ({"Host": f"localhost:{admin.port}"}, 303),
        ({"Host": f"evil.example:{admin.port}"}, 421),
        ({"Host": f"x.{admin.host}"}, 421),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": f"http://{admin.host.partition(':')[0]}:1"}, 403),
    ]
    for method in ("GET", "HEAD"):
        for headers, status in asked:
            assert admin.ask(method, path, None, headers).status == status, headers
    assert admin.ask("GET", path).status == (404 if "x" in path.split("/") else 200)


@pytest.mark.parametrize("path", FORMS)
def test_each_form_comes_from_a_page_of_this_origin(admin: Visitor, path: str) -> None:
    name, port = admin.host.split(":")
    for headers in (
        {},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin, cross-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": f"http://{admin.host}"},
        {"Origin": "null"},
        {"Origin": f"http://{name}"},
        {"Origin": f"http://{name}:1{port}"},
        {"Origin": f"https://{admin.host}"},
        {"Origin": f"http://localhost:{port}"},
        {"Origin": f"http://{name}.evil.example:{port}"},
        {"Referer": f"http://{admin.host}/jobs"},
    ):
        assert admin.ask("POST", path, {"job": "health-check"}, headers).status == 403, headers
    for kind in ("text/plain", "application/json", "multipart/form-data; boundary=x"):
        headers = {**SAME_ORIGIN, "Content-Type": kind}
        assert admin.ask("POST", path, {"job": "health-check"}, headers).status == 415, kind


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
def test_each_role_may_what_its_row_says(browsers: dict[str, Visitor], role: str) -> None:
    visitor = browsers[role]
    for path in ACTS:
        status = visitor.ask("POST", path, {}, SAME_ORIGIN).status
        assert (status == 403) is (role == "viewer"), (path, status)
    for path in map(filled, READS):
        if "/log" in path or path.endswith("/events"):
            continue  # a stream does not end
        status = visitor.ask("GET", path, None, {"Accept": "*/*"}).status
        row_roles = {str(each) for row in TABLE if filled(row.path) == path for each in row.roles}
        if path != "/v1/handlers/x":  # over TCP only those that dynamic jobs may name
            assert (status == 403) is (role not in row_roles), (path, status)


def test_a_refused_form_has_no_session_in_its_answer(admin: Visitor) -> None:
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {}):
        answer = admin.ask("POST", "/login", {"code": "x"}, headers)
        assert answer.status == 403
        assert "set-cookie" not in answer.headers


def test_a_session_is_new_after_sign_in(site: LiveDaemon) -> None:
    """A secret that an attacker has put into the browser before does not become a session."""
    visitor = Visitor.of(site)
    name = f"luad-{visitor.port}"
    visitor.cookie = f"{name}={'A' * 43}"
    visitor.sign_in()
    assert visitor.cookie.startswith(f"{name}=")
    assert "A" * 43 not in visitor.cookie
    assert visitor.ask("GET", "/").status == 200
    assert visitor.ask("GET", "/", None, {"Cookie": f"{name}={'A' * 43}"}).status == 303


@pytest.mark.parametrize(
    "headers", ["Cookie: {0}; {1}", "Cookie: {1}; {0}", "Cookie: {0}\r\nCookie: {1}"]
)
def test_a_cookie_that_another_site_has_set_ends_the_session_instead_of_replacing_it(
    browsers: dict[str, Visitor], headers: str
) -> None:
    ann, eve = browsers["admin"], browsers["viewer"]
    text = raw(
        ann.port,
        f"GET / HTTP/1.1\r\nHost: {ann.host}\r\nAccept: text/html\r\n"
        + headers.format(ann.cookie, eve.cookie)
        + "\r\nConnection: close\r\n\r\n",
    )
    assert text.startswith("HTTP/1.1 303")
    assert "/login" in text


def test_other_cookies_of_the_host_do_not_matter(admin: Visitor) -> None:
    for cookie in ('a={"x": [1, 2]}; {0}', '{0}; b="; c', "x; {0};;", "={0}; {0}"):
        text = cookie.replace("{0}", admin.cookie)
        assert admin.ask("GET", "/", None, {"Cookie": text}).status == 200, text


@pytest.mark.parametrize(
    "request_text",
    [
        "GET / HTTP/1.1\r\nHost: {host}\r\nHost: evil.example\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "POST /act/pause HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nab=cd",
        "POST /act/pause HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: {host}\r\nX: a\r\n b\r\nContent-Length : 3\r\n\r\n",
    ],
    ids=["two hosts", "no host", "two lengths", "length and chunks", "space before colon"],
)
def test_a_request_that_two_servers_read_differently_is_refused(
    admin: Visitor, request_text: str
) -> None:
    text = raw(admin.port, request_text.replace("{host}", admin.host))
    assert text.startswith("HTTP/1.1 400"), text[:200]


@pytest.mark.parametrize(
    "path",
    [
        "/static/../site.py",
        "/static/..%2fsite.py",
        "/static/%2e%2e/%2e%2e/site.py",
        "/static//etc/passwd",
        "/static/style.css",
        "/static/....//site.py",
        "/../../etc/passwd",
        "/v1/config/files/../../secrets",
        "/v1/config/files/%2e%2e%2f0",
        "/v1/config/files/-1",
    ],
)
def test_no_path_leads_to_another_file(admin: Visitor, path: str) -> None:
    text = raw(
        admin.port,
        f"GET {path} HTTP/1.1\r\nHost: {admin.host}\r\nCookie: {admin.cookie}\r\nConnection: close\r\n\r\n",
    )
    assert re.match(r"HTTP/1.1 (404|400|422) ", text), text[:200]
    assert "root:" not in text
    assert "Implements `luad.api.pages.Pages`" not in text


def test_the_sign_in_page_cannot_be_framed_and_leaks_no_code(site: LiveDaemon) -> None:
    visitor = Visitor.of(site)
    for path in (f"/login?code={visitor.code}", "/", "/jobs", "/static/x"):
        answer = visitor.ask("GET", path)
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers
    shown = visitor.ask("GET", f"/login?code={visitor.code}")
    assert shown.headers["referrer-policy"] == "strict-origin"  # the origin alone, not the code
    assert shown.headers["cache-control"] == "no-store"


def raw(port: int, text: str) -> str:
    """Return what luad answers to these bytes, up to the end of the connection or of the header."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
        sock.sendall(text.encode("latin-1"))
        found = b""
        while b"\r\n\r\n" not in found and (piece := sock.recv(65_536)):
            found += piece
        return found.decode("latin-1")


@pytest.mark.parametrize("path", ["/v1/status", "/v1/nothing", "/docs", "/metrics", "/healthz"])
def test_no_answer_can_be_embedded_by_another_origin(admin: Visitor, path: str) -> None:
    headers = admin.ask("GET", path, None, {"Accept": "*/*"}).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-frame-options"] == "DENY"


def test_a_form_with_very_many_fields_is_refused(admin: Visitor) -> None:
    form = {"job": ["a"] * 2_001}
    answer = admin.ask("POST", "/act/pause", form, SAME_ORIGIN)
    assert answer.status == 413
    assert admin.ask("POST", "/act/pause", {"x": "y" * 70_000}, SAME_ORIGIN).status == 413


HOSTILE = (
    "</title><script>document.title='taken'</script>",
    '" onmouseover="alert(1)" x="',
    "'><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "\u202egnp.exe\x1b[31m",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_in_an_address_becomes_markup(admin: Visitor, text: str) -> None:
    for path in (
        "/jobs?q={0}&tag={0}&sort={0}",
        "/jobs?done=run&subject={0}&undo={0}",
        "/runs?q={0}&job={0}",
        "/schedule?day={0}&job={0}",
        "/activity?actor={0}",
        "/login?code={0}&next={0}",
        "/jobs/{0}",
        "/runs/{0}",
        "/users/{0}",
        "/?zone={0}",
        "/nothing/{0}",
    ):
        page = admin.ask("GET", path.replace("{0}", quote(text, safe=""))).text
        page = re.sub(r' value="[^"]*"', "", page)  # a field shows what was typed, as it is
        for wrong in (
            "<script>document",
            "<img src=x",
            'x="" ',
            ' onmouseover="',
            "\u202e",
            "\x1b",
        ):
            assert wrong not in page, (path, wrong)
        assert ">49<" not in page
        assert 'href="javascript' not in page
