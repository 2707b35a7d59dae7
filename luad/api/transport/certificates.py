"""The certificate and the key for TCP: read again when they change, used once both load and match.

A renewal writes two files, one after the other. Until both fit, the last good pair stays in use; that is
said once. Connections that are open keep the pair they began with.

Rule: knows files and TLS, no HTTP. The key's file has to pass the rule for what luad takes orders from.
"""

from __future__ import annotations

import os
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from luad.core.events import Log
from luad.errors import UsageError
from luad.trust.rule import path_problem

if TYPE_CHECKING:
    from pathlib import Path

_SEQUENCE: Final = 0x30
_EXPLICIT_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_LONG: Final = 0x80
_FIELDS_BEFORE_VALIDITY: Final = 3  # serial number, signature, issuer

Mark = tuple[tuple[int, ...], ...]


class Pair(NamedTuple):
    """A certificate and a key that fit. *until*: when the certificate expires, in seconds since 1970."""

    context: ssl.SSLContext
    until: float | None


class Certificates:
    """The pair in use. `load` raises `UsageError`; `look` never does."""

    def __init__(self, certificate: Path, key: Path, *, permits_insecure: bool = False) -> None:
        self._certificate = certificate
        self._key = key
        self._permits_insecure = permits_insecure
        self._seen: Mark = ()  # of the look before
        self._tried: Mark = ()  # that was loaded, or could not be
        self._is_told = False
        self.pair: Pair | None = None

    def load(self) -> Pair:
        """Load the pair and use it. Raises `UsageError` with what to do instead."""
        mark = self._mark()
        pair = self._load()
        self._seen = self._tried = mark
        self.pair = pair
        return pair

    def look(self) -> Log | None:
        """Use what the files hold now, if both load and match; return the log line of a change.

        A file that has changed since the look before is still being written, and is left for the next.
        """
        mark = self._mark()
        is_settled, self._seen = mark == self._seen, mark
        if not is_settled or mark == self._tried:
            return None
        self._tried = mark
        try:
            self.pair = self._load()
        except UsageError as error:
            if self._is_told:
                return None
            self._is_told = True
            fields = {"certificate": str(self._certificate), "why": error.message}
            return Log("tls.kept", fields | {"help": error.hint}, "error")
        self._is_told = False
        fields = {"certificate": str(self._certificate), "expires_at": _instant(self.pair.until)}
        return Log("tls.reloaded", fields)

    def _mark(self) -> Mark:
        """Return values that change when a file is replaced or written."""
        return _status_of(self._certificate), _status_of(self._key)

    def _load(self) -> Pair:
        if not self._permits_insecure:
            problem = path_problem(self._key, daemon_uid=os.geteuid())
            if problem is not None:
                raise UsageError(f"the key of tls: {problem.message}", hint=problem.help)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self._certificate, self._key, password=_no_password)
            text = self._certificate.read_text("latin-1")
        except (OSError, ssl.SSLError) as error:
            reason = getattr(error, "reason", None) or error.strerror or str(error)
            raise UsageError(
                f"the certificate cannot be used: {reason}",
                hint=f"{self._certificate} and {self._key} have to be PEM files that fit",
            ) from error
        return Pair(context, expiry_of(text))


def expiry_of(pem: str) -> float | None:
    """Return when the first certificate of a PEM text expires, in seconds since 1970."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    start, stop = pem.find(begin), pem.find(end)
    if not 0 <= start < stop:
        return None
    try:
        der = ssl.PEM_cert_to_DER_cert(pem[start : stop + len(end)])
        return _not_after(der).timestamp()
    except (ValueError, IndexError):
        return None


def _no_password() -> str:
    """Refuse a key with a password instead of asking for it on a terminal."""
    raise ssl.SSLError("the key has a password")


def _status_of(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError as error:
        return (-(error.errno or 1),)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _instant(seconds: float | None) -> str:
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


# --- just enough of DER ------------------------------------------------------------------------


def _not_after(der: bytes) -> datetime:
    """Return the end of a certificate's validity; raises ValueError or IndexError where it has none."""
    _, place, _ = _element(der, 0)  # the certificate
    _, place, _ = _element(der, place)  # what is signed
    tag, _, end = _element(der, place)
    if tag == _EXPLICIT_VERSION:
        place = end
    for _ in range(_FIELDS_BEFORE_VALIDITY):
        _, _, place = _element(der, place)
    tag, place, _ = _element(der, place)
    if tag != _SEQUENCE:
        raise ValueError("the validity is missing")
    _, _, place = _element(der, place)  # not before
    tag, start, end = _element(der, place)
    text = der[start:end].decode("ascii")
    if tag == _UTC_TIME:  # two digits of the year: 1950 to 2049
        text = ("19" if text >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _element(der: bytes, place: int) -> tuple[int, int, int]:
    """Return the tag at *place*, where its content starts, and where that ends."""
    tag, size, start = der[place], der[place + 1], place + 2
    if size & _LONG:
        count = size & ~_LONG
        size = int.from_bytes(der[start : start + count])
        start += count
    return tag, start, start + size
