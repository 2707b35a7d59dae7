"""luad.handlers.http against a real server on loopback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from luad.handlers.http import CheckFailedError, check
from luad.sdk import Job

MakeJob = Callable[..., Job]


class Pages(BaseHTTPRequestHandler):
    """/status/NNN answers with that status; /echo with the request; /drip never ends."""

    protocol_version = "HTTP/1.1"
    closing = threading.Event()

    def answer(self) -> None:
        status = int(self.path.rsplit("/", 1)[1]) if self.path.startswith("/status/") else 200
        body = f"{self.command} {self.path} {self.headers.get('X-Who')}".encode()
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/status/500")
        if self.path == "/drip":
            self.send_header("Connection", "close")
            self.end_headers()
            self.drip()
            return
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = answer  # noqa: N815 - http.server looks for these names

    def drip(self) -> None:
        self.close_connection = True
        try:
            while not self.closing.wait(0.05):
                self.wfile.write(b".")
                self.wfile.flush()
        except OSError:
            return  # the client has gone

    def log_message(self, *_args: Any) -> None:
        """Keep quiet."""


@pytest.fixture
def site() -> Iterator[str]:
    Pages.closing.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        Pages.closing.set()
        server.shutdown()
        thread.join()


def test_an_answer_is_told_with_status_latency_and_size(make_job: MakeJob, site: str) -> None:
    result = check(make_job(url=f"{site}/echo?a=1#top", headers={"X-Who": "me"}))
    assert result["status"] == 200
    assert result["bytes"] == len("GET /echo?a=1 me")
    assert result["latency_ms"] >= 0


@pytest.mark.parametrize("method", ["HEAD", "POST"])
def test_other_methods_can_be_asked_for(make_job: MakeJob, site: str, method: str) -> None:
    result = check(make_job(url=site, method=method))
    assert result["bytes"] == (0 if method == "HEAD" else len("POST / None"))


def test_a_bad_status_fails(make_job: MakeJob, site: str) -> None:
    with pytest.raises(CheckFailedError, match=r"/status/503: status 503, expected 200 to 399$"):
        check(make_job(url=f"{site}/status/503"))


def test_a_redirect_is_an_answer_and_is_not_followed(make_job: MakeJob, site: str) -> None:
    assert check(make_job(url=f"{site}/status/302"))["status"] == 302


def test_the_expected_status_can_be_one_or_many(make_job: MakeJob, site: str) -> None:
    assert check(make_job(url=f"{site}/status/404", expect_status=404))["status"] == 404
    assert check(make_job(url=f"{site}/status/404", expect_status=[200, 404]))["status"] == 404
    with pytest.raises(CheckFailedError, match="status 200, expected 401 or 403"):
        check(make_job(url=site, expect_status=[401, 403]))


def test_a_text_can_be_required(make_job: MakeJob, site: str) -> None:
    check(make_job(url=f"{site}/healthy", contains="healthy"))
    with pytest.raises(CheckFailedError, match=r"'green' is not in the \d+ bytes of the body"):
        check(make_job(url=f"{site}/healthy", contains="green"))


def test_a_server_that_drips_does_not_outlast_the_time_limit(make_job: MakeJob, site: str) -> None:
    with pytest.raises(CheckFailedError, match="no complete answer in time"):
        check(make_job(url=f"{site}/drip", timeout_seconds=0.3))


def test_a_slow_answer_fails(make_job: MakeJob) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer_after_a_while, args=(server,))
        thread.start()
        port = server.getsockname()[1]
        with pytest.raises(CheckFailedError, match=r"took \d+ ms, allowed are 20 ms"):
            check(make_job(url=f"http://127.0.0.1:{port}", max_latency_ms=20))
        thread.join()


def answer_after_a_while(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(65_536)
        threading.Event().wait(0.08)
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")


def test_nobody_there_fails(make_job: MakeJob) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(CheckFailedError, match="Connection refused"):
        check(make_job(url=f"http://127.0.0.1:{port}"))


def test_an_answer_that_is_no_http_fails(make_job: MakeJob) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer_nonsense, args=(server,))
        thread.start()
        with pytest.raises(CheckFailedError, match="nonsense"):
            check(make_job(url=f"http://127.0.0.1:{server.getsockname()[1]}"))
        thread.join()


def answer_nonsense(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(65_536)
        connection.sendall(b"nonsense\r\n\r\n")


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({}, "metadata.url: is missing"),
        ({"url": "ftp://host/"}, "metadata.url: 'ftp://host/' is not valid; write http://"),
        ({"url": "file:///etc/passwd"}, "metadata.url: .* is not valid"),
        ({"url": "localhost:80"}, "metadata.url: .* is not valid"),
        ({"url": "http://host:port/"}, "metadata.url: .* is not a URL"),
        ({"url": "http://me:secret@host/"}, "metadata.url: holds a password"),
        ({"url": "http://host", "method": "get"}, "metadata.method: 'get' is not one of GET"),
        ({"url": "http://host", "expect_status": "200"}, "metadata.expect_status: write a status"),
        ({"url": "http://host", "expect_status": []}, "metadata.expect_status: write a status"),
        ({"url": "http://host", "timeout_seconds": 0}, "metadata.timeout_seconds: 0 is outside"),
        ({"url": "http://host", "max_latency_ms": 1.5}, "metadata.max_latency_ms: a whole number"),
    ],
)
def test_a_wrong_parameter_is_named(make_job: MakeJob, metadata: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        check(make_job(**metadata))
    assert "secret" not in str(caught.value)
