"""The client: requests out, answers and errors in."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from luad.client import Client, segment
from luad.errors import ConflictError, NotFoundError, RefusedError, UnavailableError, UsageError


def test_get_returns_the_json_and_leaves_out_what_is_none(peer: Any) -> None:
    peer.answers["GET /jobs"] = {"jobs": []}
    assert Client().get("/jobs", tag=None, all=True, none=False, status=["a", "b"]) == {"jobs": []}
    assert peer.asked[0].query == {"all": "1", "status": "a,b"}


def test_post_sends_json_and_the_token(peer: Any) -> None:
    peer.answers["POST /jobs/a%2Fb/trigger"] = {"id": "run_1"}
    client = Client(token="abc")  # noqa: S106 - no secret, a word
    assert client.post(f"/jobs/{segment('a/b')}/trigger", {"x": 1}) == {"id": "run_1"}
    assert peer.asked[0].body == {"x": 1}
    assert peer.asked[0].headers["Authorization"] == "Bearer abc"


def test_stream_yields_objects_line_by_line(peer: Any, lines: Any) -> None:
    peer.answers["GET /logs"] = lines([{"n": 1}, {"n": 2}])
    assert [line["n"] for line in Client().stream("/logs", follow=True)] == [1, 2]
    assert peer.asked[0].query == {"follow": "1"}


def test_a_stream_that_breaks_off_says_so(peer: Any, lines: Any) -> None:
    peer.answers["GET /logs"] = lines([{"n": 1}], break_off=True)
    stream = Client().stream("/logs")
    assert next(stream) == {"n": 1}
    with pytest.raises(UnavailableError, match="broke off"):
        next(stream)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "not_found", NotFoundError),
        (409, "already_running", ConflictError),
        (503, "draining", UnavailableError),
        (422, "validation", RefusedError),
        (401, "unauthenticated", RefusedError),
    ],
)
def test_a_problem_document_becomes_an_error(peer: Any, status: Any, code: Any, kind: Any) -> None:
    errors = [{"pointer": "#/handler", "code": "LU301", "detail": "no function"}]
    peer.answers["GET /x"] = (
        status,
        {"code": code, "detail": "no", "hint": "try", "suggestions": ["a"], "errors": errors},
    )
    with pytest.raises(kind) as caught:
        Client().get("/x")
    assert (caught.value.code, caught.value.message, caught.value.hint) == (code, "no", "try")
    if kind is NotFoundError:
        assert caught.value.suggestions == ("a",)
    if kind is RefusedError:
        assert caught.value.errors == tuple(errors)


def test_an_error_without_a_document_still_has_words(peer: Any) -> None:
    peer.answers["GET /x"] = (500, b"<h1>oops</h1>")
    with pytest.raises(RefusedError, match="the daemon answered 500"):
        Client().get("/x")


def test_an_answer_that_is_no_json_is_not_luad(peer: Any) -> None:
    peer.answers["GET /x"] = (200, b"<h1>hello</h1>")
    with pytest.raises(UnavailableError, match="is not luad"):
        Client().get("/x")


def test_a_missing_socket_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError) as caught:
        Client(tmp_path / "no.sock").get("/jobs")
    assert str(tmp_path / "no.sock") in caught.value.message
    assert "(no such socket)" in caught.value.message
    assert "luad list --offline" in caught.value.hint


def test_what_to_do_depends_on_who_starts_the_daemon(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError) as own:
        Client(tmp_path / "luad.sock").get("/status")
    assert "luad serve starts it" in own.value.hint
    with pytest.raises(UnavailableError) as service:
        Client(Path("/run/luad/nobody.sock")).get("/status")
    assert "luad serve, or systemctl start luad" in service.value.hint


def test_a_dead_socket_refuses(tmp_path: Path) -> None:
    path = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    with pytest.raises(UnavailableError, match=r"\(connection refused\)"):
        Client(path).get("/jobs")


def test_a_silent_daemon_runs_into_the_time_limit(tmp_path: Path) -> None:
    path = tmp_path / "silent.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        with pytest.raises(UnavailableError, match=r"did not answer within 0\.05 s"):
            Client(path, timeout=0.05).get("/jobs")


def test_a_url_reaches_a_daemon_over_tcp() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                asked.append(connection.recv(4096).split(b"\r\n")[0])
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        asked: list[bytes] = []
        thread = threading.Thread(target=answer)
        thread.start()
        client = Client(url=f"http://127.0.0.1:{port}/below/")
        assert client.get("/status") == {}
        assert client.address == f"http://127.0.0.1:{port}/below/"
        thread.join()
    assert asked == [b"GET /below/v1/status HTTP/1.1"]


@pytest.mark.parametrize("url", ["127.0.0.1:5823", "ftp://x", "http://", "http://x:port"])
def test_what_is_no_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(UsageError):
        Client(url=url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://ann:hunter22@127.0.0.1:1", "http://ann:***@127.0.0.1:1"),
        ("http://127.0.0.1:1/a@b", "http://127.0.0.1:1/a@b"),
        ("http://ann@127.0.0.1:1", "http://ann@127.0.0.1:1"),
    ],
)
def test_the_password_of_a_url_is_in_no_error(url: str, shown: str) -> None:
    assert Client(url=url).address == shown
    with pytest.raises(UsageError) as refused:
        Client(url="ftp://ann:hunter22@host")
    assert "hunter22" not in str(refused.value)


def test_a_socket_path_that_no_kernel_takes_is_refused_with_the_reason() -> None:
    with pytest.raises(UsageError, match="longer than 107 bytes"):
        Client(Path("/" + "x" * 120))


def test_the_places_of_a_socket_are_tried_in_turn(
    peer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to the first that answers; what else listens on this machine makes no difference."""
    peer.answers["GET /status"] = {}
    monkeypatch.delenv("LUAD_SOCKET")
    runtime = tmp_path / "run"
    runtime.mkdir()
    (runtime / "luad.sock").symlink_to(peer.socket)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(runtime))
    dead = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(dead))
    assert Client(nearby=dead).get("/status") == {}
    with pytest.raises(UnavailableError, match=r"dead\.sock \(connection refused\)"):
        Client(dead).get("/status")


def test_luad_socket_leaves_no_choice(peer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUAD_SOCKET", "/nowhere/luad.sock")
    with pytest.raises(UnavailableError, match=r"/nowhere/luad\.sock"):
        Client(nearby=peer.socket).get("/status")


@pytest.mark.parametrize("answer", [{}, {"x": {"y": 1}}])
def test_an_answer_without_what_luad_sends_is_not_luad(peer: Any, answer: Any) -> None:
    peer.answers["GET /x"] = answer
    with pytest.raises(UnavailableError, match="is not luad: its answer has no `name`"):
        _ = Client().get("/x").get("x", Client().get("/x"))["name"]


@pytest.mark.parametrize("answer", [b"[]", b'"x"', b"5"])
def test_an_answer_that_is_not_an_object_is_not_luad(peer: Any, answer: bytes) -> None:
    peer.answers["GET /x"] = (200, answer)
    with pytest.raises(UnavailableError, match="is not luad: its answer is not an object"):
        Client().get("/x")


def test_a_command_whose_answer_lacks_a_key_says_that_this_is_not_luad(
    luad: Any, peer: Any
) -> None:
    peer.answers["POST /tokens"] = {}
    result = luad("token", "create", "q2")
    assert "is not luad: its answer has no" in result.err
    assert "luad itself failed" not in result.err
    assert result.code == 11
