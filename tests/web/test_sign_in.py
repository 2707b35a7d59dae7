"""Who gets in, from where, and for how long."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from support.dashboard import SAME_ORIGIN, Visitor, dashboard
from support.forked_daemon import ForkedDaemon
from support.live_daemon import LiveDaemon

OWN = "own"
PAUSED = "/v1/jobs/health-check/deactivate"
FORM = {"job": "weekly-report", "back": "/jobs"}


def origin_of(visitor: Visitor, kind: str | None) -> dict[str, str]:
    name = visitor.host.partition(":")[0]
    known = {
        OWN: f"http://{visitor.host}",
        "other port": f"http://{name}:1",
        "other scheme": f"https://{visitor.host}",
        "other host": f"http://localhost:{visitor.port}",
        "null": "null",
    }
    return {} if kind is None else {"Origin": known[kind]}


# (method, path, credential, Sec-Fetch-Site, Origin) -> status
READS = [
    ("GET", "/", "cookie", None, None, 200),
    ("GET", "/", "nothing", None, None, 303),
    ("GET", "/", "wrong cookie", None, None, 303),
    ("GET", "/", "bearer", None, None, 200),
    ("HEAD", "/jobs", "cookie", None, None, 200),
    ("GET", "/v1/status", "cookie", None, None, 200),
    ("GET", "/v1/status", "nothing", None, None, 401),
    ("GET", "/v1/status", "wrong cookie", None, None, 401),
    ("GET", "/v1/status", "cookie", "same-origin", OWN, 200),
    ("GET", "/v1/status", "cookie", "cross-site", "other host", 403),
    ("GET", "/v1/status", "cookie", None, "null", 403),
    ("GET", "/docs", "cookie", None, None, 200),
]
WRITES = [
    ("POST", "/act/pause", "cookie", "same-origin", OWN, 303),
    ("POST", "/act/pause", "cookie", "same-origin", None, 303),
    ("POST", "/act/pause", "cookie", None, OWN, 303),
    ("POST", "/act/pause", "bearer", "same-origin", None, 303),
    ("POST", "/act/pause", "nothing", "same-origin", OWN, 401),
    ("POST", "/act/pause", "wrong cookie", "same-origin", OWN, 401),
    ("POST", "/act/pause", "cookie", None, None, 403),
    ("POST", "/act/pause", "cookie", "same-site", None, 403),
    ("POST", "/act/pause", "cookie", "cross-site", None, 403),
    ("POST", "/act/pause", "cookie", "none", None, 403),
    ("POST", "/act/pause", "cookie", None, "other port", 403),
    ("POST", "/act/pause", "cookie", None, "other scheme", 403),
    ("POST", "/act/pause", "cookie", None, "other host", 403),
    ("POST", "/act/pause", "cookie", None, "null", 403),
    ("POST", "/act/pause", "cookie", "same-origin", "other port", 403),
    ("POST", "/act/pause", "cookie", "same-origin", "null", 403),
    # a change of the API never takes the cookie
    ("POST", "/v1/jobs/weekly-report/deactivate", "cookie", "same-origin", OWN, 401),
    ("DELETE", "/v1/jobs/weekly-report", "cookie", "same-origin", OWN, 401),
    ("POST", "/v1/sign-in-codes", "bearer", None, None, 403),
]


@pytest.fixture(scope="module")
def visitor(site: LiveDaemon) -> Visitor:
    """Return a signed-in operator."""
    return Visitor.of(site, "--role", "operator").sign_in()


@pytest.fixture(scope="module")
def token(site: LiveDaemon) -> str:
    """Return the secret of an admin's token."""
    return site.luad("token", "create", "ci", "--role", "admin").stdout.split()[0]


@pytest.mark.parametrize(
    ("method", "path", "credential", "fetch_site", "origin", "status"), READS + WRITES
)
def test_each_cell_of_the_table_of_sign_in(
    visitor: Visitor,
    token: str,
    method: str,
    path: str,
    credential: str,
    fetch_site: str | None,
    origin: str | None,
    status: int,
) -> None:
    cookies = {"cookie": visitor.cookie, "wrong cookie": visitor.cookie[:-4] + "aaaa"}
    headers = {"Cookie": cookies.get(credential, ""), **origin_of(visitor, origin)}
    if credential == "bearer":
        headers["Authorization"] = f"Bearer {token}"
    if fetch_site is not None:
        headers["Sec-Fetch-Site"] = fetch_site
    form = FORM if method == "POST" and path.startswith("/act/") else None
    assert visitor.ask(method, path, form, headers).status == status


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
def test_a_role_may_do_what_its_token_may(site: LiveDaemon, role: str) -> None:
    visitor = Visitor.of(site, "--role", role).sign_in()
    may = {
        "/act/pause": role != "viewer",
        "/act/resume": role != "viewer",
    }
    for path, is_allowed in may.items():
        status = visitor.ask("POST", path, FORM, SAME_ORIGIN).status
        assert status == (303 if is_allowed else 403), path
    whole = visitor.ask("GET", "/activity").text
    assert ("name the job" in whole) is (role != "admin")
    own = visitor.ask("GET", "/activity?job=weekly-report").text
    assert "name the job" not in own
    assert ("/v1/" in own) is (role == "admin")  # paths and addresses are for admins
    assert visitor.ask("GET", "/v1/whoami").status == 200


def test_a_form_must_be_a_form(visitor: Visitor) -> None:
    headers = {**SAME_ORIGIN, "Content-Type": "application/json"}
    assert visitor.ask("POST", "/act/pause", {"job": "weekly-report"}, headers).status == 415


def test_a_link_works_once_and_looking_at_it_spends_nothing(site: LiveDaemon) -> None:
    visitor = Visitor.of(site)
    for _ in range(3):  # a preview of the link, and a prefetch
        assert "Sign in as operator" in visitor.ask("GET", f"/login?code={visitor.code}").text
    visitor.sign_in()
    again = visitor.ask("POST", "/login", {"code": visitor.code}, {**SAME_ORIGIN, "Cookie": ""})
    wrong = visitor.ask("POST", "/login", {"code": "x" * 32}, {**SAME_ORIGIN, "Cookie": ""})
    assert (again.status, again.text) == (wrong.status, wrong.text)
    assert again.status == 401
    assert "set-cookie" not in again.headers


def test_a_code_has_enough_random_bits(site: LiveDaemon) -> None:
    codes = {Visitor.of(site).code for _ in range(3)}
    assert len(codes) == 3
    assert min(map(len, codes)) * 6 >= 128  # URL-safe Base64 has 6 bits a character


def test_a_token_begins_a_session_that_ends_with_it(site: LiveDaemon) -> None:
    secret = site.luad("token", "create", "ann", "--role", "viewer").stdout.split()[0]
    visitor = Visitor.of(site)
    answer = visitor.ask("POST", "/login", {"token": secret, "next": "/runs"}, SAME_ORIGIN)
    assert (answer.status, answer.location) == (303, "/runs")
    visitor.cookie = answer.headers["set-cookie"].partition(";")[0]
    assert visitor.json("/v1/whoami")["role"] == "viewer"
    site.luad("token", "revoke", "ann", "--yes", "--not-made")
    assert visitor.ask("GET", "/").status == 303


@pytest.mark.parametrize(
    "address", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:1"]
)
def test_the_way_after_sign_in_stays_on_this_server(site: LiveDaemon, address: str) -> None:
    visitor = Visitor.of(site)
    answer = visitor.ask("POST", "/login", {"code": visitor.code, "next": address}, SAME_ORIGIN)
    assert (answer.status, answer.location) == (303, "/")


def test_signing_out_ends_the_session(site: LiveDaemon) -> None:
    first, second = (Visitor.of(site).sign_in() for _ in range(2))
    assert first.ask("POST", "/act/sign-out", {}, SAME_ORIGIN).location == "/login"
    assert first.ask("GET", "/").status == 303
    assert second.ask("GET", "/").status == 200
    second.ask("POST", "/act/sign-out", {"everywhere": "1"}, SAME_ORIGIN)
    assert second.ask("GET", "/").status == 303


def test_an_admin_sees_the_browsers_that_are_signed_in_and_ends_one(site: LiveDaemon) -> None:
    admin = Visitor.of(site, "--role", "admin").sign_in()
    other = Visitor.of(site, "--role", "viewer")
    other.headers["User-Agent"] = "<b>old browser</b>"
    other.sign_in()
    rows = json.loads(admin.ask("GET", "/v1/sessions").text)["sessions"]
    assert [each["role"] for each in rows if each["is_own"]] == ["admin"]
    wanted = next(each["id"] for each in rows if each["agent"] == "<b>old browser</b>")
    text = admin.ask("GET", "/system").text
    assert "&lt;b&gt;old browser&lt;/b&gt;" in text
    assert f'name="session" value="{wanted}"' in text
    assert other.ask("GET", "/v1/sessions").status == 403
    assert "Signed in</h2>" not in other.ask("GET", "/system").text
    form = {"session": wanted, "account": "x", "back": "/system"}
    assert other.ask("POST", "/act/end-session", form, SAME_ORIGIN).status == 403
    answer = admin.ask("POST", "/act/end-session", form, SAME_ORIGIN)
    assert answer.location == "/system?done=end&subject=x"
    assert other.ask("GET", "/jobs").location.startswith("/login")
    assert admin.ask("GET", "/jobs").status == 200
    assert admin.ask("POST", "/act/end-session", form, SAME_ORIGIN).status == 404
    asked = (admin.ask("GET", "/v1/audit").text for _ in range(200))  # written after the answer
    assert any("signed a browser out" in each for each in asked)


def test_a_session_survives_a_restart_and_its_secret_is_not_stored(tmp_path: Path) -> None:
    with dashboard(tmp_path) as daemon:
        visitor = Visitor.of(daemon).sign_in()
        port = visitor.port
        secret = visitor.cookie.partition("=")[2]
    daemon.options = ("--listen", f"127.0.0.1:{port}")
    with daemon:
        assert visitor.ask("GET", "/").status == 200
        daemon.kill()
    files = [path for path in daemon.state.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if secret.encode() in path.read_bytes()]


def test_a_cookie_counts_for_the_name_of_this_store_only(site: LiveDaemon) -> None:
    visitor = Visitor.of(site).sign_in()
    plain = {"Host": f"127.0.0.1:{visitor.port}"}
    assert visitor.ask("GET", "/", None, plain).location.startswith("/login")
    assert visitor.ask("GET", "/v1/status", None, plain).status == 401
    page = visitor.ask("GET", "/login", None, {**plain, "Cookie": ""})
    assert page.status == 200
    assert 'name="token"' not in page.text
    secret = site.luad("token", "create", "plain").stdout.split()[0]
    answer = visitor.ask(
        "POST", "/login", {"token": secret}, {**plain, **SAME_ORIGIN, "Cookie": ""}
    )
    assert answer.status == 401
    assert "set-cookie" not in answer.headers


def test_a_browser_that_cannot_resolve_the_name_gets_an_hour_as_viewer(site: LiveDaemon) -> None:
    made = site.json("web", "--host", "127.0.0.1", "--role", "admin")
    assert (made["role"], made["session_seconds"]) == ("viewer", 3600)
    visitor = Visitor(made["url"])
    assert visitor.host == f"127.0.0.1:{visitor.port}"
    visitor.sign_in()
    assert visitor.json("/v1/whoami")["role"] == "viewer"
    assert visitor.ask("POST", "/act/pause", FORM, SAME_ORIGIN).status == 403


def test_a_server_on_another_port_receives_no_cookie(site: LiveDaemon) -> None:
    """Browsers send a cookie to each port of its host; the host of the pages is nobody else's."""
    visitor = Visitor.of(site).sign_in()
    name = visitor.host.partition(":")[0]
    assert name.startswith("luad-")
    assert name.endswith(".localhost")
    assert len(name) == len("luad-") + 32 + len(".localhost")
    received: list[str] = []

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            received.append(self.headers.get("Cookie", ""))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Other)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with socket.create_connection(("127.0.0.1", server.server_port)) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            sock.recv(100)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert received == [""]


def test_five_wrong_codes_a_minute_and_a_valid_one_always_passes(tmp_path: Path) -> None:
    with dashboard(tmp_path) as daemon:
        visitor = Visitor.of(daemon)
        wrong = [
            visitor.ask("POST", "/login", {"code": "no" * 20}, SAME_ORIGIN).status for _ in range(7)
        ]
        assert wrong == [401] * 5 + [429] * 2
        assert visitor.sign_in().ask("GET", "/").status == 200


def test_the_socket_serves_no_pages_and_says_what_does(site: LiveDaemon) -> None:
    script = (
        "import http.client, os, socket\n"
        "class C(http.client.HTTPConnection):\n"
        "    def connect(self):\n"
        "        self.sock = socket.socket(socket.AF_UNIX); self.sock.connect(os.environ['LUAD_SOCKET'])\n"
        "c = C('localhost'); c.request('GET', '/'); r = c.getresponse(); print(r.status, r.read().decode())\n"
    )
    said = site.python(script).stdout
    assert said.startswith("404")
    assert "luad web" in said


def test_without_an_address_luad_web_says_what_to_set(tmp_path: Path) -> None:
    with ForkedDaemon(tmp_path) as daemon:
        done = daemon.luad("web", check=False)
    assert done.returncode != 0
    assert "luad serve --web" in done.stderr


def test_the_trail_names_the_account_and_the_route(site: LiveDaemon) -> None:
    visitor = Visitor.of(site, "--role", "admin").sign_in()
    account = visitor.json("/v1/whoami")["name"]
    visitor.ask("POST", "/act/pause", {"job": "health-check", "reason": "a test"}, SAME_ORIGIN)
    found: list[object] = []
    for _ in range(200):  # a row is written after the answer
        entries = visitor.json("/v1/audit")["entries"]
        assert isinstance(entries, list)
        found = [each["actor"] for each in entries if each["path"] == PAUSED]
        if found:
            break
    assert found == [account]
    visitor.ask("POST", "/act/resume", {"job": "health-check"}, SAME_ORIGIN)
