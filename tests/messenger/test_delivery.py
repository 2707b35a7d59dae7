"""Messages on their way: real servers on loopback that take them, refuse them, or never answer."""

from __future__ import annotations

import base64
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from luad.core.messaging import Channel, ChannelKind, Message
from luad.ip_addresses import is_public
from luad.messenger import services
from luad.messenger.references import HIDDEN, BrokenReferenceError, Resolver
from luad.messenger.sender import Sender

SECRET = "canary-5d41402abc4b"  # noqa: S105 - looked for in what leaves
CERTIFICATE = Path(__file__).with_name("loopback.pem")


def message(number: int = 1, **fields: Any) -> Message:
    fields = {"parts": ({"type": "text", "text": f"hello {number}"},), **fields}
    return Message(f"msg_{number}", "ann", 1_795_348_800_000, **fields)


def webhook(url: str, **fields: Any) -> Channel:
    return Channel("hook", ChannelKind.WEBHOOK, url, **fields)


# --- webhooks ------------------------------------------------------------------------------------


async def test_a_webhook_gets_the_message_as_json(sender: Sender, service: Any) -> None:
    channel = webhook(f"{service.url}/ok", headers=(("X-Team", "ops"),))
    outcome = await sender.deliver(message(title="T", job_name="j", run_id="run_1"), channel)
    assert (outcome.error, outcome.answer) == ("", "200 OK")
    ((path, headers, body),) = service.got
    assert path == "/ok"
    assert (headers["X-Team"], headers["Luad-Message"]) == ("ops", "msg_1")
    assert body["parts"] == [{"type": "text", "text": "hello 1"}]
    assert (body["title"], body["job"], body["at"]) == ("T", "j", "2026-11-22T12:00:00Z")


async def test_a_name_and_a_password_in_an_address_are_credentials(
    sender: Sender, service: Any
) -> None:
    url = f"http://ann:p%40ss@127.0.0.1:{service.port}/ok"
    assert (await sender.deliver(message(), webhook(url))).error == ""
    word = service.got[0][1]["Authorization"].removeprefix("Basic ")
    assert base64.b64decode(word) == b"ann:p@ss"


async def test_a_small_file_goes_along_and_a_large_one_stays_behind(
    sender: Sender, service: Any, tmp_path: Path
) -> None:
    (tmp_path / "small.txt").write_bytes(b"content")
    (tmp_path / "large.bin").write_bytes(bytes(300_000))
    names = ("small.txt", "large.bin")
    parts = tuple({"type": "file", "path": str(tmp_path / name)} for name in names)
    outcome = await sender.deliver(message(parts=parts), webhook(f"{service.url}/ok"))
    assert (outcome.error, outcome.is_degraded) == ("", True)
    assert service.got[0][2]["parts"] == [
        {"type": "file", "name": "small.txt", "content": base64.b64encode(b"content").decode()},
        {"type": "file", "name": "large.bin", "content": None},
    ]


async def test_what_is_no_file_is_not_sent(sender: Sender, service: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, says in (
        ("nothing", "No such file"),
        ("pipe", "not a regular file"),
        (".", "Is a directory"),
    ):
        parts = ({"type": "file", "path": f"{tmp_path}/{name}"},)
        outcome = await sender.deliver(message(parts=parts), webhook(f"{service.url}/ok"))
        assert says in outcome.error
    assert service.got == []


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("broken", "answered 500"),
        ("gone", "answered 410"),
        ("close", "the connection failed"),
        ("away", "another host"),
        ("loop", "more than 3 redirects"),
        ("never", "no answer within"),
        ("drip", "no answer within"),
    ],
)
async def test_what_does_not_arrive_says_why(
    sender: Sender, service: Any, path: str, says: str
) -> None:
    channel = webhook(f"{service.url}/{path}", timeout_ms=700)
    outcome = await sender.deliver(message(), channel)
    assert says in outcome.error
    assert outcome.is_silent is says.startswith("no answer")
    pid = sender.pid
    assert (await sender.deliver(message(), webhook(f"{service.url}/ok"))).error == ""
    assert sender.pid == pid, "the limit was kept in the process; nothing hangs there"


async def test_redirects_to_the_same_place_and_huge_answers_are_fine(
    sender: Sender, service: Any
) -> None:
    for path in ("again", "huge", "half"):
        outcome = await sender.deliver(message(), webhook(f"{service.url}/{path}"))
        assert outcome.error == "", path
    assert [path for path, _, _ in service.got] == ["/again", "/ok", "/huge", "/half"]


async def test_nobody_there_and_no_such_host(sender: Sender) -> None:
    refused = await sender.deliver(message(), webhook("http://127.0.0.1:9/x"))
    assert "the connection failed" in refused.error
    unknown = await sender.deliver(message(), webhook("http://nobody.invalid/x"))
    assert "the host cannot be found" in unknown.error


async def test_private_addresses_are_refused_unless_allowed(service: Any) -> None:
    sender = Sender()
    try:
        outcome = await sender.deliver(message(), webhook(f"{service.url}/ok"))
        assert "not a public address" in outcome.error
        assert service.got == []
        allowed = webhook(f"{service.url}/ok", allow_private=True)
        assert (await sender.deliver(message(), allowed)).error == ""
    finally:
        await sender.close()


@pytest.mark.parametrize(
    "host",
    ["localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "0", "[::1]", "[::ffff:7f00:1]"],
)
async def test_this_machine_is_known_in_every_spelling(service: Any, host: str) -> None:
    sender = Sender()
    try:
        outcome = await sender.deliver(message(), webhook(f"http://{host}:{service.port}/ok"))
        assert "not a public address" in outcome.error
        assert service.got == []
    finally:
        await sender.close()


async def test_of_several_addresses_the_one_that_takes_it_is_used(
    sender: Sender, service: Any
) -> None:
    # Where localhost is ::1 as well, nobody listens there.
    url = f"http://localhost:{service.port}/ok"
    assert (await sender.deliver(message(), webhook(url))).error == ""


async def test_tls_is_checked_and_never_left(
    secure_service: Any, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for certificates, path, says in (
        ("/nonexistent", "ok", "TLS failed"),
        (str(CERTIFICATE), "downgrade", "from https to http"),
        (str(CERTIFICATE), "ok", ""),
    ):
        monkeypatch.setenv("SSL_CERT_FILE", certificates)
        sender = Sender(allow_private=True)
        outcome = await sender.deliver(message(), webhook(f"{secure_service.url}/{path}"))
        await sender.close()
        assert says in outcome.error
        assert bool(outcome.error) is bool(says)
    assert service.got == []


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("192.168.0.1", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),  # noqa: S104 - an address to refuse
        ("224.0.0.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("::7f00:1", False),
        ("64:ff9b:1::1", False),
        ("fec0::1", False),
    ],
)
def test_whose_an_address_is(address: str, expected: bool) -> None:
    assert is_public(address) is expected


# --- mail, through Apprise -----------------------------------------------------------------------


async def test_a_mail_arrives(sender: Sender, mail_server: Any) -> None:
    port, letters = mail_server
    outcome = await sender.deliver(message(title="T"), mail(port))
    assert outcome.error == ""
    (letter,) = letters.got
    assert letter.rcpt_tos == ["ann@example.com"]
    assert b"Subject: T" in letter.content
    assert b"hello 1" in letter.content


def mail(port: int, **fields: Any) -> Channel:
    url = f"mailto://127.0.0.1:{port}/?from=luad@example.com&to=ann@example.com&mode=insecure"
    return Channel("mail", ChannelKind.APPRISE, url, **fields)


async def test_a_picture_and_a_file_go_with_a_mail(
    sender: Sender, mail_server: Any, service: Any, tmp_path: Path
) -> None:
    port, letters = mail_server
    (tmp_path / "report.csv").write_text("a,b")
    parts = (
        {"type": "text", "text": "**this** week", "format": "markdown"},
        {"type": "image", "url": f"{service.url}/picture", "alt": "sales"},
        {"type": "file", "path": str(tmp_path / "report.csv")},
    )
    outcome = await sender.deliver(message(parts=parts), mail(port))
    assert (outcome.error, outcome.is_degraded) == ("", False)
    content = letters.got[0].content
    assert b'filename="picture.png"' in content
    assert b'filename="report.csv"' in content
    assert b"<strong>this</strong> week" in content


async def test_a_picture_where_only_luad_can_reach_stays_a_link(
    mail_server: Any, service: Any
) -> None:
    port, letters = mail_server
    sender = Sender()
    parts = ({"type": "image", "url": f"{service.url}/picture", "alt": "sales"},)
    try:
        outcome = await sender.deliver(message(parts=parts), mail(port))
    finally:
        await sender.close()
    assert (outcome.error, outcome.is_degraded) == ("", True)
    assert "not a public address" in outcome.answer
    assert service.got == []
    assert f"sales: {service.url}/picture".encode() in letters.got[0].content


async def test_a_service_without_pictures_gets_a_link(sender: Sender, service: Any) -> None:
    channel = Channel("phone", ChannelKind.APPRISE, f"gotify://127.0.0.1:{service.port}/{SECRET}")
    parts = ({"type": "image", "url": "https://example.com/a.png", "alt": "sales"},)
    outcome = await sender.deliver(message(parts=parts), channel)
    assert (outcome.error, outcome.is_degraded) == ("", True)
    assert service.got[0][2]["message"] == "sales: https://example.com/a.png"
    assert SECRET not in repr(outcome)


async def test_mail_that_is_refused_or_cannot_be_brought_says_why(
    sender: Sender, mail_server: Any
) -> None:
    port, letters = mail_server
    letters.answer = "554 not for me"
    refused = await sender.deliver(message(), mail(port))
    assert refused.error
    gone = await sender.deliver(message(), mail(9))
    assert gone.error
    assert len(letters.got) == 1


def test_without_apprise_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    wanted = {"parts": [], "title": "", "priority": "normal"}
    with pytest.raises(services.ServiceError, match="pip install apprise"):
        services.send("mailto://x", wanted, 1_000, allow_private=False)


async def test_an_address_that_nobody_knows_is_an_outcome(sender: Sender) -> None:
    channel = Channel("m", ChannelKind.APPRISE, "nosuchservice://x")
    outcome = await sender.deliver(message(), channel)
    assert "does not know" in outcome.error


# --- secrets -------------------------------------------------------------------------------------


async def test_a_secret_never_leaves_the_sender(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", f"{service.url}/echo/{SECRET}?key={SECRET}")
    sender = Sender(allow_private=True)
    try:
        outcome = await sender.deliver(message(), webhook("${HOOK}"))
    finally:
        await sender.close()
    assert service.got[0][0].endswith(SECRET)
    assert "answered 500" in outcome.error
    assert SECRET not in repr(outcome)
    assert HIDDEN in outcome.error


async def test_a_secret_is_known_wherever_it_stands(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    url = (
        f"http://u%2Bser:p{SECRET}@127.0.0.1:{service.port}/echo?a=1&key=q{SECRET}&pad={'x' * 140}"
    )
    sender = Sender(allow_private=True)
    try:
        outcome = await sender.deliver(
            message(), webhook(url, headers=(("Authorization", "Bearer ${TOKEN}"),))
        )
    finally:
        await sender.close()
    assert "answered 500" in outcome.error
    assert service.got[0][1]["Authorization"] == f"Bearer {SECRET}"
    assert SECRET[:8] not in repr(outcome), "nor a piece of one, where the text is cut"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("tgram://123456789:AbCdEf-token/chat", "AbCdEf-token"),
        ("pover://user@AtokenHere", "AtokenHere"),
        ("slack://TokenA12/TokenB12", "tokena12"),
        ("https://h.example.com/x?a=b&sig=s%2Bgn", "s+gn"),
        ("json://u:secret@h.example.com", "secret"),
    ],
)
def test_an_address_has_secrets_where_others_have_a_host(url: str, said: str) -> None:
    resolver = Resolver({})
    resolver.address(url, hides_host=True)
    assert resolver.hide(f"it said {said}") == f"it said {HIDDEN}"


@pytest.mark.parametrize(
    ("url", "said", "shown"),
    [
        ("https://h.example.com/priv/x", "the private road", "the private road"),
        ("https://h.example.com/services/T1", "no services now", f"no {HIDDEN} now"),
        ("https://h.example.com/hook?mode=fast", "too fast", "too fast"),
        ("https://h.example.com/hook?api_key=fast", "too fast", f"too {HIDDEN}"),
        ("https://ann:pass@h.example.com/", "ann may not pass", f"ann may not {HIDDEN}"),
    ],
)
def test_plain_words_of_an_address_are_no_secrets(url: str, said: str, shown: str) -> None:
    resolver = Resolver({})
    resolver.address(url)
    assert resolver.hide(said) == shown


def test_a_value_that_is_named_is_a_secret_from_four_characters_on() -> None:
    resolver = Resolver({"PIN": "abcd", "HOOK": "abc"})
    resolver.address("https://h.example.com/${PIN}/${HOOK}")
    assert resolver.hide("abcd abc") == f"{HIDDEN} abc"


@pytest.mark.parametrize("path", ["/priv", "/address", "/allow_private", "/webhook", "/public/no"])
async def test_what_luad_says_itself_is_not_spoiled(path: str) -> None:
    sender = Sender()
    try:
        outcome = await sender.deliver(message(), webhook(f"http://127.0.0.1:9{path}"))
    finally:
        await sender.close()
    assert outcome.error == (
        "127.0.0.1 is not a public address; `allow_private: true` lets a webhook reach it"
    )


def test_a_secret_is_hidden_in_each_form() -> None:
    resolver = Resolver({"TOKEN": 'pa"ss/w+rd'})
    resolver.resolve("${TOKEN}")
    for form in ("pa%22ss%2Fw%2Brd", 'pa\\"ss/w+rd', "pa&quot;ss/w+rd", "cGEic3MvdytyZA=="):
        assert resolver.hide(f"it said {form}") == f"it said {HIDDEN}"


def test_a_host_is_shown_for_it_says_who_did_not_answer() -> None:
    resolver = Resolver({})
    resolver.address("mailto://u:secret@smtp.example.com:587", hides_host=True)
    assert resolver.hide("smtp.example.com refused it") == "smtp.example.com refused it"


def test_references_are_resolved_or_named(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("mailto://u:secret@example.com\n")
    resolver = Resolver({"TOKEN": "t0ken", "CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert resolver.resolve("Bearer ${TOKEN}") == "Bearer t0ken"
    assert resolver.resolve("credential:mail") == "mailto://u:secret@example.com"
    assert resolver.resolve(f"file:{tmp_path}/mail") == "mailto://u:secret@example.com"
    assert resolver.hide("it was t0ken") == f"it was {HIDDEN}"
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    for broken in (
        "credential:empty",
        "credential:pipe",
        "credential:..",
        "${NOPE}",
        "credential:nope",
        "credential:../mail",
        f"file:{tmp_path}/nope",
    ):
        with pytest.raises(BrokenReferenceError):
            resolver.resolve(broken)


def test_a_secret_file_that_others_may_write_is_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "mail"
    secret.write_text("mailto://u:secret@example.com\n")
    secret.chmod(0o606)
    for kind in (f"file:{secret}", "credential:mail"):
        with pytest.raises(BrokenReferenceError, match=f"run: chmod o-w {secret}"):
            Resolver({"CREDENTIALS_DIRECTORY": str(tmp_path)}).resolve(kind)
        insecure = Resolver({"CREDENTIALS_DIRECTORY": str(tmp_path)}, permit_insecure=True)
        assert insecure.resolve(kind).startswith("mailto:")
    (tmp_path / "link").symlink_to(secret)
    with pytest.raises(BrokenReferenceError, match="chmod"):
        Resolver({}).resolve(f"file:{tmp_path}/link")
