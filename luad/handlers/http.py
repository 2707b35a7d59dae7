"""Checks that a URL answers in time, with the right status.

``metadata``:

    url              http or https
    method           GET (default), HEAD, POST, OPTIONS
    headers          names and values
    timeout_seconds  for the whole exchange (default: 10)
    expect_status    one status or a list (default: anything from 200 to 399)
    max_latency_ms   fail if the whole answer took longer
    contains         a text that the body must contain

The handler does not follow redirects, because a redirect is an answer and its target a URL of its own.
It does not use proxies of the environment, because it checks the direct connection.

Rule: the standard library and `luad.clock`.
"""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

from luad.clock import elapsed_ms
from luad.handlers.parameters import MAPPING, TEXT, BadParameterError, Parameters, schema, whole
from luad.sdk.params import params

TYPE_CHECKING = False  # `typing` costs 9 ms, which every run would pay
if TYPE_CHECKING:
    from socket import socket
    from typing import Any
    from urllib.parse import SplitResult

    from luad.sync import Job

MAX_BODY_BYTES = 16 << 20
"""The most bytes of a body that are read."""

_CHUNK_BYTES = 1 << 16
_METHODS = ("GET", "HEAD", "POST", "OPTIONS")


class CheckFailedError(RuntimeError):
    """The URL did not answer as it should."""


@params(
    schema(
        "url",
        url={
            "type": ["string"],
            "pattern": r"^[Hh][Tt][Tt][Pp][Ss]?://[^/?#]",
            "examples": ["https://example.com/healthz"],
        },
        method={"enum": [*_METHODS, None]},
        headers=MAPPING,
        timeout_seconds={"type": ["number", "null"], "minimum": 0.001, "maximum": 86_400},
        expect_status={
            "type": ["integer", "array", "null"],
            "minimum": 100,
            "maximum": 599,
            "minItems": 1,
            "items": {"type": "integer", "minimum": 100, "maximum": 599},
            "examples": [200],
        },
        max_latency_ms=whole(0, 10**12),
        contains=TEXT,
    )
)
def check(job: Job) -> dict[str, Any]:
    """Send one request to ``url``; raise `CheckFailedError` if the answer is not the expected one.

    *latency_ms* counts from before the connection to the last byte of the body.
    """
    asked = Parameters(
        job,
        "url",
        "method",
        "headers",
        "timeout_seconds",
        "expect_status",
        "max_latency_ms",
        "contains",
    )
    url = _url(asked)
    method = asked.choice("method", _METHODS, "GET")
    expected = _expected(asked)
    wanted = asked.text("contains") if "contains" in asked else None
    slowest = asked.whole("max_latency_ms") if "max_latency_ms" in asked else None
    timeout_ms = int(asked.number("timeout_seconds", 10, low=0.001, high=86_400) * 1000)

    what = f"{method} {url.geturl()}"
    began = elapsed_ms()
    status, body = _ask(what, url, method, asked.mapping("headers"), began + timeout_ms)
    result = {"status": status, "latency_ms": elapsed_ms() - began, "bytes": len(body)}
    wrong = []
    if status not in expected:
        wrong.append(f"status {status}, expected {_ranges(asked)}")
    if wanted is not None and wanted.encode() not in body:
        wrong.append(f"{wanted!r} is not in the {len(body)} bytes of the body")
    if slowest is not None and result["latency_ms"] > slowest:
        wrong.append(f"took {result['latency_ms']} ms, allowed are {slowest} ms")
    if wrong:
        raise CheckFailedError(f"{what}: {'; '.join(wrong)}")
    job.log.info("%s: status %d in %d ms", what, status, result["latency_ms"])
    return result


def _url(asked: Parameters) -> SplitResult:
    text = asked.text("url")
    try:
        url = urlsplit(text)
        _ = url.port  # raises if it is not a number
    except ValueError as error:
        asked.refuse("url", f"{text!r} is not a URL: {error}", error)
    if url.scheme not in {"http", "https"} or not url.hostname:
        asked.refuse("url", f"{text!r} is not valid; write http://host/path or https://host/path")
    if url.username or url.password:
        asked.refuse("url", "holds a password; write `headers: {Authorization: ...}` instead")
    return url._replace(fragment="")


def _expected(asked: Parameters) -> range | list[int]:
    value = asked.raw("expect_status")
    if value is None:
        return range(200, 400)
    statuses = value if isinstance(value, list) else [value]
    sound = [one for one in statuses if type(one) is int and 100 <= one <= 599]
    if not sound or len(sound) < len(statuses):
        asked.refuse("expect_status", f"write a status such as 200, or a list, not {value!r}")
    return sound


def _ranges(asked: Parameters) -> str:
    value = asked.raw("expect_status")
    if value is None:
        return "200 to 399"
    return " or ".join(map(str, value)) if isinstance(value, list) else str(value)


def _ask(
    what: str, url: SplitResult, method: str, headers: dict[str, str], deadline_ms: int
) -> tuple[int, bytes]:
    """Return status and body, both complete by *deadline_ms* of the elapsed clock."""
    connection = _connection(url, deadline_ms)
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    try:
        connection.request(method, target, headers={"User-Agent": "luad", **headers})
        sock = connection.sock  # the connection drops it if the server closes after the answer
        sock.settimeout(_left(deadline_ms))
        response = connection.getresponse()
        return response.status, _read(sock, response, deadline_ms)
    except TimeoutError as error:
        raise CheckFailedError(f"{what}: no complete answer in time") from error
    except OSError as error:
        raise CheckFailedError(f"{what}: {str(error) or type(error).__name__}") from error
    except (ValueError, http.client.InvalidURL) as error:  # the request itself cannot be written
        raise BadParameterError(f"metadata.url or metadata.headers: {what}: {error}") from error
    except http.client.HTTPException as error:
        raise CheckFailedError(f"{what}: {str(error) or type(error).__name__}") from error
    finally:
        connection.close()


def _connection(url: SplitResult, deadline_ms: int) -> http.client.HTTPConnection:
    host = url.hostname or ""
    if url.scheme == "https":
        return http.client.HTTPSConnection(host, url.port, timeout=_left(deadline_ms))
    return http.client.HTTPConnection(host, url.port, timeout=_left(deadline_ms))


def _read(sock: socket, response: http.client.HTTPResponse, deadline_ms: int) -> bytes:
    """Return the body, read in pieces, so that a slow server cannot exceed the time limit."""
    body = bytearray()
    while len(body) < MAX_BODY_BYTES:
        sock.settimeout(_left(deadline_ms))
        chunk = response.read1(_CHUNK_BYTES)
        if not chunk:
            break
        body += chunk
    return bytes(body)


def _left(deadline_ms: int) -> float:
    """Return the seconds until the deadline; raises ``TimeoutError`` after it."""
    left_ms = deadline_ms - elapsed_ms()
    if left_ms <= 0:
        raise TimeoutError
    return left_ms / 1000
