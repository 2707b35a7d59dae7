"""A proxy that signs its users in: who may name a user, and what such a user may do."""

from __future__ import annotations

import http.client
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.dashboard import Answer, dashboard
from support.forked_daemon import ForkedDaemon
from support.live_daemon import LiveDaemon

SECRET = "f00d" * 16
HOST = "luad.example.com"
NOBODY = 65_534
FORM = "job=weekly-report&back=%2Fjobs"
Headers = tuple[tuple[str, str], ...]


class Way:
    """The two ways to luad: its own socket for the proxy, and TCP."""

    def __init__(self, daemon: LiveDaemon, socket_path: Path, port: int) -> None:
        self.daemon, self.socket_path, self.port = daemon, socket_path, port

    def ask(
        self, via: str, method: str, path: str, *headers: tuple[str, str], body: str = ""
    ) -> Answer:
        """Send one request; a header may be there twice."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        if via == "socket":
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(str(self.socket_path))
        given = {"Host": HOST, "Accept": "text/html", "X-Forwarded-Proto": "https"}
        if body:
            given["Content-Type"] = "application/x-www-form-urlencoded"
            given["Content-Length"] = str(len(body))
        names = {name for name, _ in headers}
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in [*((n, v) for n, v in given.items() if n not in names), *headers]:
            connection.putheader(name, value)
        connection.endheaders(body.encode() or None)
        response = connection.getresponse()
        text = response.read().decode()
        found = {name.lower(): value for name, value in response.getheaders()}
        connection.close()
        return Answer(response.status, found, text)


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    """Return a daemon behind a proxy; its socket for the proxy is in a folder that each user may enter."""
    folder = tmp_path_factory.mktemp("proxied")
    secret = folder / "secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    with tempfile.TemporaryDirectory(prefix="luad-web-") as shared:
        Path(shared).chmod(0o755)
        path = Path(shared) / "web.sock"
        daemon = dashboard(folder)
        daemon.env |= {
            "LUAD_WEB_USER_HEADER": "X-Remote-User",
            "LUAD_WEB_PROXY_SECRET_FILE": str(secret),
            "LUAD_WEB_PROXY_SOCKET": str(path),
            "LUAD_WEB_ROLES": "ann=admin,olga=operator,*=viewer",
            "LUAD_WEB_BASE_PATH": "/luad",
            "LUAD_TRUSTED_PROXIES": "127.0.0.1",
            "LUAD_ALLOWED_HOSTS": HOST,
        }
        with daemon:
            port = int(str(daemon.json("status")["listen"]).rpartition(":")[2])
            yield Way(daemon, path, port)


ANN, OLGA, EVE = (("X-Remote-User", name) for name in ("ann", "olga", "eve"))
GOOD, WRONG = ("Luad-Proxy-Secret", SECRET), ("Luad-Proxy-Secret", "f00d" * 15 + "beef")
SAME, CROSS = ("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")
NOT_JSON = ("Accept", "*/*")
ACT, CHANGE = "/act/pause", "/v1/jobs/weekly-report/deactivate"

# (way, method, path, headers) -> status
TABLE: list[tuple[str, str, str, Headers, int]] = [
    ("socket", "GET", "/", (ANN,), 200),
    ("socket", "GET", "/", (), 303),
    ("socket", "GET", "/v1/whoami", (EVE,), 200),
    ("socket", "GET", "/v1/whoami", (NOT_JSON,), 401),
    ("socket", "GET", "/activity", (ANN,), 200),
    ("socket", "POST", ACT, (OLGA, SAME), 303),
    ("socket", "POST", ACT, (ANN, SAME), 303),
    ("socket", "POST", ACT, (EVE, SAME), 403),
    ("socket", "POST", ACT, (ANN,), 403),
    ("socket", "POST", ACT, (ANN, CROSS), 403),
    ("socket", "POST", ACT, (ANN, ("Origin", f"https://{HOST}")), 303),
    ("socket", "POST", ACT, (ANN, ("Origin", f"http://{HOST}")), 403),
    ("socket", "POST", ACT, (ANN, ("Origin", "https://evil.example")), 403),
    # a browser sends the header as it sends cookies, so changes of the API do not take it
    ("socket", "POST", CHANGE, (ANN, SAME), 401),
    ("socket", "DELETE", "/v1/jobs/weekly-report", (ANN, SAME), 401),
    # what only the machine may do stays so
    ("socket", "POST", "/v1/sign-in-codes", (ANN,), 401),
    # a proxy that keeps a header of the client
    ("socket", "GET", "/", (ANN, EVE), 403),
    ("socket", "GET", "/", (("X-Remote-User", "ann, eve"),), 403),
    ("socket", "GET", "/", (("X-Remote-User", ""),), 403),
    ("socket", "GET", "/", (("X-Remote-User", "*"),), 403),
    ("socket", "GET", "/", (("X-Remote-User", "a" * 201),), 403),
    ("socket", "GET", "/", (ANN, ("Host", "evil.example")), 421),
    ("socket", "GET", "/", (ANN, ("Host", "inner"), ("X-Forwarded-Host", HOST)), 200),
    # a header of the proxy's own sign-in does not hide the user
    ("socket", "GET", "/", (ANN, ("Authorization", "Basic YW5uOnB3")), 200),
    ("socket", "GET", "/", (ANN, ("Authorization", "Bearer luad_wrong")), 303),
    # TCP: any user of the machine can connect
    ("tcp", "GET", "/", (ANN,), 303),
    ("tcp", "GET", "/v1/whoami", (ANN, NOT_JSON), 401),
    ("tcp", "POST", ACT, (ANN, SAME), 401),
    ("tcp", "GET", "/", (ANN, GOOD), 200),
    ("tcp", "POST", ACT, (OLGA, GOOD, SAME), 303),
    ("tcp", "POST", ACT, (EVE, GOOD, SAME), 403),
    ("tcp", "POST", CHANGE, (ANN, GOOD, SAME), 401),
    ("tcp", "GET", "/", (ANN, WRONG), 303),
    ("tcp", "GET", "/", (ANN, GOOD, WRONG), 303),
    ("tcp", "GET", "/", (ANN, ("Luad-Proxy-Secret", "")), 303),
]


@pytest.mark.parametrize(("via", "method", "path", "headers", "status"), TABLE)
def test_each_cell_of_the_table_of_proxies(
    way: Way, via: str, method: str, path: str, headers: Headers, status: int
) -> None:
    body = FORM if path == ACT else ""
    assert way.ask(via, method, path, *headers, body=body).status == status


def test_the_roles_are_those_of_the_settings(way: Way) -> None:
    for user, role in (("ann", "admin"), ("olga", "operator"), ("eve", "viewer")):
        text = way.ask("socket", "GET", "/v1/whoami", ("X-Remote-User", user)).text
        assert f'"name":"proxy {user}"' in text
        assert f'"role":"{role}"' in text


def test_the_trail_names_the_user_and_the_address_of_the_browser(way: Way) -> None:
    far = ("X-Forwarded-For", "1.2.3.4, 203.0.113.7")
    way.ask("socket", "POST", ACT, OLGA, SAME, far, body=FORM)
    text = ""
    for _ in range(200):  # a row is written after the answer
        text = way.ask("socket", "GET", "/v1/audit?actor=proxy+olga&limit=20", ANN).text
        if '"client":"203.0.113.7"' in text:
            break
    assert '"client":"203.0.113.7"' in text
    assert f'"path":"{CHANGE}"' in text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_of_the_machine_cannot_name_a_user(way: Way) -> None:
    script = f"""
import encodings.idna, http.client, os, socket  # idna: nobody may not read every Python
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
connection = http.client.HTTPConnection("127.0.0.1", {way.port})
connection.request("GET", "/v1/whoami", headers={{"Host": "{HOST}", "X-Remote-User": "ann"}})
print(connection.getresponse().status)
try:
    socket.socket(socket.AF_UNIX).connect({str(way.socket_path)!r})
    print("connected")
except PermissionError:
    print("refused")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout.split() == ["401", "refused"]


def test_the_pages_are_below_the_path_of_the_proxy(way: Way) -> None:
    assert way.ask("socket", "GET", "/luad").status == 303
    answer = way.ask("socket", "GET", "/luad/runs?status=failed")
    assert answer.location.startswith("/luad/login?next=/runs")
    for path in ("/luad/", "/", "/luad/jobs/billing-sync"):
        text = way.ask("socket", "GET", path, ANN).text
        found = set(re.findall(r' (?:href|src|action|formaction|data-\w+)="(/[^"]*)"', text))
        assert found
        assert {each for each in found if not each.startswith("/luad/")} == set()
        assert 'value="/luad' not in text
    sheet = re.search(r'href="(/luad/static/style[^"]+)"', text)
    assert sheet is not None
    assert way.ask("socket", "GET", sheet[1]).headers["content-type"].startswith("text/css")
    done = way.ask("socket", "POST", "/luad/act/resume", ANN, SAME, body=FORM)
    assert done.location.startswith("/luad/jobs?done=resume")
    assert way.ask("socket", "GET", "/luadx", ANN).status == 404


def test_a_link_leads_through_the_proxy_and_its_cookie_is_secure(way: Way) -> None:
    link = str(way.daemon.json("web")["url"])
    assert link.startswith(f"https://{HOST}/luad/login?code=")
    code = link.rpartition("=")[2]
    done = way.ask("tcp", "POST", "/luad/login", SAME, body=f"code={code}")
    assert (done.status, done.location) == (303, "/luad/")
    cookie = done.headers["set-cookie"]
    assert cookie.startswith("__Host-luad=")
    assert {"Secure", "HttpOnly", "Path=/"} <= set(cookie.split("; "))


def test_only_the_socket_for_the_proxy_is_enough(tmp_path: Path) -> None:
    daemon = dashboard(tmp_path)
    path = tmp_path / "web" / "web.sock"
    daemon.options = ()
    daemon.env |= {"LUAD_WEB_PROXY_SOCKET": str(path), "LUAD_WEB_USER_HEADER": "X-Remote-User"}
    with daemon:
        assert daemon.json("status")["listen"] is None
        way = Way(daemon, path, 1)
        local = ("Host", "localhost")
        assert way.ask("socket", "GET", "/", local, ANN).status == 200
        assert way.ask("socket", "POST", ACT, local, ANN, SAME, body=FORM).status == 403
    assert not path.exists()


def refusal(tmp_path: Path, **variables: str) -> str:
    """Return what `luad serve` says before it ends with 78."""
    daemon = dashboard(tmp_path)
    env = daemon.env | {f"LUAD_WEB_{name.upper()}": text for name, text in variables.items()}
    done = subprocess.run(
        daemon.command(), capture_output=True, text=True, env=env, timeout=60, check=False
    )
    assert done.returncode == 78, done.stderr
    return done.stderr


def test_luad_does_not_start_without_a_proof_of_the_proxy(tmp_path: Path) -> None:
    said = refusal(tmp_path, user_header="X-Remote-User")
    assert "web.user_header" in said
    assert "web.proxy_secret_file" in said
    assert "web.proxy_socket" in said


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("short", 0o600, "does not hold 32 to 1000 characters"),
        (SECRET, 0o604, "every user may read"),
        (SECRET, 0o602, "chmod"),
        (None, 0, "cannot read"),
    ],
)
def test_luad_does_not_start_with_a_bad_secret(
    tmp_path: Path, text: str | None, mode: int, words: str
) -> None:
    path = tmp_path / "secret"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    said = refusal(tmp_path, user_header="X-Remote-User", proxy_secret_file=str(path))
    assert words in said
    assert text is None or text not in said


def test_web_alone_serves_the_pages_on_loopback_and_says_where(tmp_path: Path) -> None:
    with ForkedDaemon(tmp_path) as plain:
        message = next(line for line in plain.lines if line["event"] == "web.off")["message"]
    assert "luad serve --web" in message
    with ForkedDaemon(tmp_path, "--web", "--listen", "127.0.0.1:0") as asked:
        ready = next(line for line in asked.lines if line["event"] == "web.ready")
        assert ".localhost:" in ready["url"]


def test_a_daemon_can_listen_without_pages(tmp_path: Path) -> None:
    daemon = dashboard(tmp_path)
    daemon.env["LUAD_WEB_ENABLED"] = "no"
    with daemon:
        port = int(str(daemon.json("status")["listen"]).rpartition(":")[2])
        way = Way(daemon, tmp_path, port)
        assert way.ask("tcp", "GET", "/login", ("Host", "localhost")).status == 401
        assert daemon.luad("web", check=False).returncode != 0
