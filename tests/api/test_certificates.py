"""Certificates that are renewed while luad runs: used once both files load and fit."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from luad.api.server import ApiServer
from luad.api.transport.certificates import Certificates, expiry_of
from luad.api.transport.tcp import ListenSpec
from luad.errors import UsageError

LOOPBACK = Path(__file__).parents[1] / "messenger" / "loopback.pem"
pytestmark = [pytest.mark.needs("openssl"), pytest.mark.socket]


def make_pair(folder: Path, name: str, days: int = 30) -> tuple[Path, Path]:
    """Make a certificate and its key with openssl; return their files."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", str(key), "-out", str(certificate), "-days", str(days),
         "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return certificate, key


def put(source: Path, target: Path) -> None:
    """Replace a file as renewals do: by another one of the same name."""
    other = target.with_suffix(".new")
    shutil.copy(source, other)
    other.rename(target)


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Return a folder, and the certificate and the key that luad is told of."""
    one = make_pair(tmp_path, "one")
    used = tmp_path / "cert.pem", tmp_path / "key.pem"
    for source, target in zip(one, used, strict=True):
        put(source, target)
    return tmp_path, *used


def settle(certificates: Certificates) -> list[Any]:
    return [each for each in (certificates.look(), certificates.look()) if each is not None]


def test_a_renewed_pair_is_used_once_both_fit(place: tuple[Path, Path, Path]) -> None:
    folder, certificate, key = place
    found = Certificates(certificate, key)
    first = found.load()
    assert settle(found) == []
    two = make_pair(folder, "two", days=60)
    put(two[0], certificate)
    (kept,) = settle(found)
    assert (kept.level, kept.event) == ("error", "tls.kept")
    assert found.pair is first, "the last good pair stays"
    certificate.touch()
    assert settle(found) == [], "it is said once"
    put(two[1], key)
    (used,) = settle(found)
    assert used.event == "tls.reloaded"
    assert found.pair is not None
    assert found.pair is not first
    assert found.pair.until is not None
    assert first.until is not None
    assert found.pair.until - first.until > 29 * 86_400
    put(two[0], key)
    assert [each.event for each in settle(found)] == ["tls.kept"], "the next time it is said again"


@pytest.mark.parametrize("spoil", ["missing", "empty", "garbage", "half"])
def test_whatever_the_files_hold_the_last_good_pair_stays(
    place: tuple[Path, Path, Path], spoil: str
) -> None:
    _, certificate, key = place
    found = Certificates(certificate, key)
    first = found.load()
    text = key.read_text()
    if spoil == "missing":
        key.unlink()
    else:
        key.write_text({"empty": "", "garbage": "x" * 99, "half": text[: len(text) // 2]}[spoil])
    assert [each.event for each in settle(found)] == ["tls.kept"]
    assert found.pair is first
    key.write_text(text)
    assert [each.event for each in settle(found)] == ["tls.reloaded"]


def test_a_file_that_is_being_written_is_left_alone(place: tuple[Path, Path, Path]) -> None:
    _, certificate, key = place
    found = Certificates(certificate, key)
    found.load()
    key.write_text("begun")
    assert found.look() is None
    key.write_text("begun, and more")
    assert found.look() is None


def test_a_key_that_others_may_write_is_refused(place: tuple[Path, Path, Path]) -> None:
    _, certificate, key = place
    key.chmod(0o666)
    found = Certificates(certificate, key)
    with pytest.raises(UsageError, match="key of tls") as refused:
        found.load()
    assert "chmod" in refused.value.hint
    assert Certificates(certificate, key, permits_insecure=True).load()
    key.chmod(0o600)
    first = found.load()
    key.chmod(0o606)
    (kept,) = settle(found)
    assert kept.event == "tls.kept"
    assert found.pair is first


def test_a_key_with_a_password_asks_nobody(place: tuple[Path, Path, Path]) -> None:
    folder, certificate, key = place
    locked = folder / "locked.key"
    subprocess.run(
        ["openssl", "ec", "-in", str(key), "-aes256", "-passout", "pass:abcd", "-out", str(locked)],
        check=True,
        capture_output=True,
    )
    with pytest.raises(UsageError):
        Certificates(certificate, locked).load()


@pytest.mark.parametrize("days", [1, 400, 20_000])
def test_the_expiry_is_that_of_the_certificate(tmp_path: Path, days: int) -> None:
    """The last one lies beyond 2050, which certificates write in another way."""
    certificate, _ = make_pair(tmp_path, "one", days)
    told = subprocess.run(
        ["openssl", "x509", "-in", str(certificate), "-noout", "-enddate"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    expected = ssl.cert_time_to_seconds(told.strip().partition("=")[2])
    assert expiry_of(certificate.read_text()) == expected


@pytest.mark.parametrize("text", ["", "x", LOOPBACK.read_text()[:300]])
def test_what_is_no_certificate_has_no_expiry(text: str) -> None:
    assert expiry_of(text) is None


def name_of_peer(port: int) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), 20) as sock,
        context.wrap_socket(sock) as secure,
    ):
        found = secure.getpeercert(binary_form=True) or b""
    return "two" if b"two" in found else "one" if b"one" in found else ""


async def test_luad_uses_a_renewed_certificate_without_a_restart(
    daemon: Any,
    kit: Any,
    tmp_path: Path,
    place: tuple[Path, Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("luad.api.server.LOOK_S", 0.02)
    folder, certificate, key = place
    spec = ListenSpec("127.0.0.1", 0, certificate, key)
    server = ApiServer(daemon, tmp_path / "luad.sock", spec=spec)
    await server.start()
    assert server.tcp_address is not None
    port = int(server.tcp_address.rpartition(":")[2])
    api = kit.Api(tmp_path / "luad.sock", server, daemon)
    assert await asyncio.to_thread(name_of_peer, port) == "one"
    two = make_pair(folder, "two", days=60)
    put(two[0], certificate)
    await kit.until(lambda: any(each.event == "tls.kept" for each in daemon.said))
    assert await asyncio.to_thread(name_of_peer, port) == "one"
    put(two[1], key)
    await kit.until(lambda: any(each.event == "tls.reloaded" for each in daemon.said))
    assert await asyncio.to_thread(name_of_peer, port) == "two"
    text = (await api.get("/metrics")).body.decode()
    (line,) = [each for each in text.splitlines() if each.startswith("luad_tls_certificate_exp")]
    assert float(line.split()[1]) == pytest.approx(expiry_of(two[0].read_text()))
    for connection in api.open:
        connection.close()
    await server.stop()
