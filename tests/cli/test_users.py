"""People, messages and tokens: users, send, token."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ANN = {
    "id": "ann", "full_name": "Ann Ö", "emails": ["ann@example.org"], "phones": [],
    "timezone": "UTC", "source": "file", "file": {"path": "users.d/ann.yaml", "line": 3, "stale": False},
    "channels": [
        {"name": "inbox", "type": "inbox", "url": ""},
        {"name": "tgram", "type": "apprise", "url": "tgram://****${TOKEN}"},
    ],
    "data": {"plan": "pro"},
}  # fmt: skip
BOB = {**ANN, "id": "bob", "full_name": "", "source": "api", "file": None, "channels": []}


def delivery(channel: str, *, ok: bool = True, index: int = 0, **more: Any) -> dict[str, Any]:
    return {"index": index, "channel": channel, "ok": ok, "error": "", "answer": "",
            "status": "delivered" if ok else "failed", "degraded": False, "elapsed_ms": 412,
            **more}  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "luad.yaml").write_text("timezone: UTC\n")
    return tmp_path


# --- users ---


def test_users_are_listed_and_shown(luad: Any, peer: Any) -> None:
    peer.answers["GET /users"] = (200, {"users": [ANN, BOB]})
    result = luad("users")
    assert result.lines[1].split() == ["ann", "Ann", "Ö", "inbox,", "tgram", "users.d/ann.yaml:3"]
    assert "added at run time" in result.lines[2]
    assert luad("users", "list", "--json").json["users"] == [ANN, BOB]
    peer.answers["GET /users/ann"] = (200, ANN)
    text = luad("users", "show", "ann").out
    assert "tgram (apprise) tgram://****${TOKEN}" in text
    assert 'data      {"plan": "pro"}' in text
    stale = {**ANN, "file": {**ANN["file"], "stale": True}}
    peer.answers["GET /users"] = (200, {"users": [stale]})
    assert luad("users").lines[1].endswith("users.d/ann.yaml:3  (stale)")
    peer.answers["GET /users"] = (200, {"users": []})
    assert "no users yet" in luad("users").err


def test_a_user_who_is_not_there(luad: Any, peer: Any) -> None:
    peer.answers["GET /users/anna"] = (404, {"code": "not_found", "detail": "no user `anna`",
                                             "suggestions": ["ann"]})  # fmt: skip
    result = luad("users", "show", "anna")
    assert result.code == 3
    assert result.err == "error[not_found]: no user `anna`\n  hint: did you mean `ann`?\n"
    assert luad("users", "show").code == 2
    assert "luad users show ID" in luad("users", "show").err


def test_adding_somebody_writes_a_file_that_checks(luad: Any, project: Path, peer: Any) -> None:
    name = "Ann 😀 \"A\" \\ 'B': #1"
    result = luad("users", "add", "ann", "--name", name, "--email", "a@b.org", "--phone", "+44 1")
    assert (result.code, result.err) == (
        0,
        "Created users.d/ann.yaml; the daemon reads it at once\n",
    )
    assert peer.asked == []
    text = (project / "users.d/ann.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=../.luad/users.schema.json\n")
    assert luad("check", "users.d", "--strict").code == 0
    again = luad("users", "add", "ann")
    assert again.code == 8
    assert again.err.startswith("error[file_exists]: users.d/ann.yaml already exists\n")
    assert (project / "users.d/ann.yaml").read_text() == text


def test_add_without_a_daemon_says_when_the_file_is_read(
    luad: Any, peer: Any, tmp_path: Path
) -> None:
    (tmp_path / "jobs.d").mkdir(exist_ok=True)
    peer.socket.unlink()
    result = luad("users", "add", "ben")
    assert result.code == 0
    assert "luad serve will read it; no daemon of this project runs now" in result.err


@pytest.mark.parametrize("bad", ["a/b", "../x", "a b", "", "x" * 300])
def test_an_id_that_cannot_be_one_writes_nothing(luad: Any, project: Path, bad: str) -> None:
    result = luad("users", "add", bad)
    assert result.code == 2
    assert not list(project.glob("**/*.yaml")) or [
        path.name for path in project.glob("**/*.yaml")
    ] == ["luad.yaml"]


def test_adding_somebody_where_no_project_is(luad: Any, tmp_path: Path) -> None:
    result = luad("users", "add", "ann")
    assert result.code == 2
    assert "--dynamic adds the user to the database" in result.err
    assert not (tmp_path / "users.d").exists()


def test_adding_somebody_to_the_store(luad: Any, peer: Any) -> None:
    peer.answers["POST /users"] = (201, BOB)
    result = luad("users", "add", "bob", "--dynamic", "--email", "b@x.org")
    assert result.err == "Added bob to the database of the daemon\n"
    assert peer.asked[0].body == {"id": "bob", "emails": ["b@x.org"]}


def test_removing_asks_and_leaves_files_alone(luad: Any, peer: Any) -> None:
    peer.answers["GET /users/ann"] = (200, ANN)
    peer.answers["GET /users/bob"] = (200, BOB)
    peer.answers["DELETE /users/bob"] = (200, {"deleted": True, "message": "bob is deleted"})
    owned = luad("users", "remove", "ann", "--yes")
    assert owned.code == 8
    assert owned.err.startswith("error[file_owned]: ann comes from users.d/ann.yaml:3\n")
    assert luad("users", "remove", "bob").code == 2
    assert luad("users", "remove", "bob", "--yes").err == "bob is deleted\n"
    assert [each.method for each in peer.asked] == ["GET", "GET", "GET", "DELETE"]


def test_the_inbox_shows_what_was_sent_oldest_first(luad: Any, peer: Any) -> None:
    message = {"at": "2026-11-22T09:31:00Z", "title": "Report", "job": "weekly",
               "parts": [{"type": "text", "text": "line\x1b[2J"}],
               "deliveries": [delivery("tgram", ok=False, error="timed out")]}  # fmt: skip
    older = {**message, "at": "2026-11-22T08:00:00Z", "title": "", "job": None, "deliveries": []}
    peer.answers["GET /users/ann/messages"] = (200, {"messages": [message, older]})
    result = luad("users", "inbox", "ann", "-n", "5", "--utc")
    assert peer.asked[0].query == {"limit": "5"}
    assert re.match(r"Sun 22 Nov (\d+ )?08:00:00 UTC", result.lines[0])
    assert result.lines[-1] == "  not by tgram: timed out"
    assert "\x1b[2J" not in result.out
    peer.answers["GET /users/ann/messages"] = (200, {"messages": []})
    assert "no message was sent to ann yet" in luad("users", "inbox", "ann").err


# --- send ---


def test_send_shows_each_channel_with_latency_and_answer(luad: Any, peer: Any) -> None:
    deliveries = [delivery("inbox"), delivery("tgram", ok=False, error="timed out")]
    peer.answers["POST /users/ann/send"] = (200, {"ok": True, "deliveries": deliveries})
    result = luad("send", "ann", "hello", "--title", "Hi", "--channel", "inbox")
    assert result.code == 0
    assert result.lines == [
        "✓ inbox       delivered    0.4 s",
        "✗ tgram       failed       0.4 s  timed out",
    ]
    assert peer.asked[0].body == {
        "messages": ["hello"], "title": "Hi", "channels": ["inbox"], "require": "any"
    }  # fmt: skip


def test_send_exits_6_when_it_did_not_arrive(luad: Any, peer: Any) -> None:
    answer = {"ok": False, "deliveries": [delivery("tgram", ok=False, error="no")]}
    peer.answers["POST /users/ann/send"] = (200, answer)
    result = luad("send", "ann", "hello", "--require", "all")
    assert result.code == 6
    assert peer.asked[0].body["require"] == "all"
    assert luad("send", "ann", "hello", "--json").json == answer
    assert luad("users", "test", "ann").code == 6
    assert peer.asked[-1].body["require"] == "all", "each channel is tried, and each one counts"
    peer.answers["POST /users/ann/send"] = (200, {"ok": False, "deliveries": []})
    nowhere = luad("send", "ann", "hello")
    assert (nowhere.code, nowhere.err) == (6, "ann has no channel  (luad users show ann)\n")


def test_send_refuses_what_it_could_not_deliver(luad: Any, peer: Any) -> None:
    missing = luad("send", "ann", "a", "--file", "nofile")
    assert missing.code == 2
    assert "--file nofile does not exist" in missing.err
    assert "--file . is not a file" in luad("send", "ann", "--file", ".").err
    assert "the message is empty" in luad("send", "ann", "a", " ").err
    assert peer.asked == []


def test_send_takes_pictures_files_and_several_texts(luad: Any, peer: Any, tmp_path: Path) -> None:
    deliveries = [delivery("inbox", index=0), delivery("inbox", index=1, degraded=True)]
    (tmp_path / "report.pdf").touch()
    peer.answers["POST /users/ann/send"] = (200, {"ok": True, "deliveries": deliveries})
    result = luad(
        "send", "ann", "a", "b", "--image", "https://x/y.png", "--file", "report.pdf",
        "--file", "https://x/z.pdf", "--idempotency-key", "k",
    )  # fmt: skip
    assert peer.asked[0].body["messages"] == [
        "a",
        "b",
        {"type": "image", "url": "https://x/y.png"},
        {"type": "file", "path": str(tmp_path / "report.pdf"), "name": "report.pdf"},
        {"type": "file", "url": "https://x/z.pdf", "name": "z.pdf"},
    ]
    assert peer.asked[0].headers["Idempotency-Key"] == '"k"'
    assert [line[:8] for line in result.lines] == ["✓ 1: inb", "✓ 2: inb"]
    assert result.lines[1].endswith("(as a link)")
    nothing = luad("send", "ann")
    assert (nothing.code, len(peer.asked)) == (2, 1)


# --- tokens ---


def test_a_token_is_printed_once_alone_on_stdout(luad: Any, peer: Any) -> None:
    peer.answers["POST /tokens"] = (201, {"name": "ci", "token": "luad_secret"})
    result = luad("token", "create", "ci", "--role", "operator", "--expires", "90d")
    assert result.out == "luad_secret\n"
    assert "luad shows it only now" in result.err
    assert peer.asked[0].body == {"name": "ci", "role": "operator", "expires_in": "90d"}
    luad("token", "create", "ci")
    assert peer.asked[1].body == {"name": "ci", "role": "viewer"}
    assert luad("token", "create", "ci", "--expires", "soon").code == 2
    assert luad("token", "create", "ci", "--role", "king").code == 2
    assert luad("token", "create").code == 2
    assert len(peer.asked) == 2


def test_tokens_are_listed_and_revoked(luad: Any, peer: Any) -> None:
    ci = {"name": "ci", "role": "viewer", "created_at": "2026-11-22T09:00:00Z",
          "created_by": "ann", "expires_at": None}  # fmt: skip
    peer.answers["GET /tokens"] = (200, {"tokens": [ci]})
    peer.answers["DELETE /tokens/ci"] = (200, {"deleted": True, "message": "ci is revoked"})
    row = luad("token", "list", "--utc").lines[1]
    assert row.startswith("ci     viewer  Sun 22 Nov ")
    assert row.endswith("by ann  never     never")
    assert luad("token", "revoke", "ci").code == 2
    assert luad("token", "revoke", "ci", "--yes").err == "ci is revoked\n"
    assert luad("token", "revoke", "ci", "--yes", "--json").json["deleted"] is True
    assert luad("token", "revoke", "none", "--yes").code == 3
    peer.answers["DELETE /tokens/ci"] = (
        200,
        {"deleted": True, "message": "ci is revoked", "revoked": ["ci"], "made": ["kid"]},
    )
    assert "luad token revoke kid" in luad("token", "revoke", "ci", "--yes").err
    luad("token", "revoke", "ci", "--yes", "--made")
    assert peer.asked[-1].body == {"made": True}


def test_a_token_is_listed_with_its_creator_last_use_and_expiry(luad: Any, peer: Any) -> None:
    peer.answers["GET /tokens"] = (
        200,
        {
            "tokens": [
                {"name": "ci", "role": "viewer", "created_at": "2026-11-22T09:00:00Z",
                 "created_by": "token ann", "expires_at": "2036-11-22T09:00:00Z",
                 "last_used_at": "2026-11-22T10:00:00Z", "rotated_at": None,
                 "overlap_until": "2036-01-01T00:00:00Z"}
            ]
        },
    )  # fmt: skip
    result = luad("token", "--utc")
    assert result.lines[0].split() == ["TOKEN", "ROLE", "MADE", "LAST", "USE", "EXPIRES"]
    for word in ("by token ann", "10:00", "the previous secret: "):
        assert word in result.lines[1]


def test_a_token_is_rotated(luad: Any, peer: Any) -> None:
    peer.answers["POST /tokens/ci/rotate"] = (
        200,
        {"name": "ci", "token": "luad_new", "overlap_until": "2026-11-23T09:00:00Z"},
    )
    result = luad("token", "rotate", "ci", "--overlap", "1d")
    assert result.out == "luad_new\n"
    assert "The previous secret is valid until" in result.err
    assert peer.asked[0].body == {"overlap": "1d"}
    luad("token", "rotate", "ci", "--expires", "30d")
    assert peer.asked[1].body == {"expires_in": "30d"}


@pytest.mark.parametrize(
    "args",
    [
        ("create", "ci", "--overlap", "1d"),
        ("rotate", "ci", "--role", "admin"),
        ("revoke", "ci", "--expires", "1d"),
        ("rotate", "ci", "--made"),
        ("list", "--role", "viewer"),
        ("rotate",),
    ],
)
def test_an_option_that_has_no_meaning_is_refused(luad: Any, peer: Any, args: Any) -> None:
    assert luad("token", *args).code == 2
    assert peer.asked == []
