"""Talking to a running daemon: HTTP over its Unix socket, or over TCP when asked.

Room rule: the standard library and nothing else, because every command of the command line waits
for this import. It carries requests and answers; what they mean is the caller's business.
"""

from __future__ import annotations

import http.client
import json
import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import quote, urlencode, urlsplit

from luad.errors import (
    ConflictError,
    LuadError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from luad.socket_paths import (
    Answer,
    Guard,
    Place,
    UnixConnection,
    not_luad,
    places,
    without_password,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

PREFIX: Final = "/v1"
MAX_PATH_BYTES: Final = 107
"""Longest path that fits `sun_path` of a Unix socket address."""

STREAM_BYTES: Final = 1 << 16

ASKING_POSTS: Final = frozenset({"/explain", "/config/check"})
"""Questions that need a body; they change nothing."""

HINT_DOWN: Final = "is it running?  {look}   ·   luad list --offline reads jobs.d/ directly"


class RefusedError(LuadError):
    """The daemon said no, for a reason that has no class of its own.

    *status* is the HTTP status; *errors* are the single mistakes of a request that is not valid,
    each with ``pointer``, ``code``, ``detail`` and ``hint``.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int,
        hint: str = "",
        errors: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.status = status
        self.errors = tuple(errors)


class StreamBrokenError(UnavailableError):
    """The daemon went away in the middle of a stream; asking again may go on where it ended."""


def segment(text: str) -> str:
    """Quote *text* (a job name, a run id, whatever somebody typed) as one segment of a path. Raises
    UsageError as `named` does: the path would name all of them, or nothing."""
    return quote(named(text), safe="")


def named(text: str) -> str:
    """Return *text*, which somebody typed to name something. Raises UsageError when it is empty."""
    if not text:
        raise UsageError(
            "an empty text is neither a name nor an id",
            hint="write which one is meant; is a variable of your shell empty?",
        )
    return text


class Client:
    """One daemon, as seen from outside; thread-safe, because no connection is kept.

    *socket_path* or *url* says where it listens; without either, `$LUAD_URL`, then the places of
    `luad.wire.socket_candidates`, *nearby* (the socket of the project one stands in) first. A socket
    is used only if its process may be trusted: root's, the user's own, or that of the owner of one of
    *state_dirs*. *token* (else `$LUAD_TOKEN`) is sent as a bearer token. *timeout* in seconds bounds each wait for the
    daemon, except between the lines of a stream.

    Every method takes a path below `/v1` and raises `UnavailableError` when the daemon cannot be
    reached, `NotFoundError`, `ConflictError` or `RefusedError` when it says no.
    """

    def __init__(
        self,
        socket_path: Path | None = None,
        url: str | None = None,
        token: str | None = None,
        timeout: float = 30,
        *,
        nearby: Path | None = None,
        state_dirs: Callable[[], Iterable[Path]] = tuple,
    ) -> None:
        environ = os.environ
        self._url = None if socket_path else (url or environ.get("LUAD_URL"))
        self._places = [Place(socket_path)] if socket_path else places(environ, nearby)
        self._state_dirs = state_dirs
        self.guard: Guard | None = None
        self.waiting: Callable[[], AbstractContextManager[None]] = nullcontext
        """What surrounds the wait for an answer."""
        self._reached: Place | None = None
        self._token = token or environ.get("LUAD_TOKEN")
        self._timeout = timeout
        self._base = self._check_url()
        self.last_status = 0
        """That of the latest answer."""

    @property
    def address(self) -> str:
        """Where the daemon answered, or else is expected, as shown to people."""
        if self._url:
            return without_password(self._url)
        return str((self._reached or self._places[0]).path)

    def get(self, path: str, **query: Any) -> Any:
        """Fetch *path* and return its JSON. Query values that are None are left out."""
        return self._exchange("GET", path, query, None)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Post *body* as JSON and return the JSON of the answer, None when it is empty."""
        return self._exchange("POST", path, {}, {} if body is None else body)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send any request and return the JSON of the answer, None when it is empty. *headers* are
        laid over the usual ones."""
        return self._exchange(method, path, query or {}, body, headers)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Change *path* by *body*."""
        return self.request("PATCH", path, body)

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        """Replace *path* by *body*."""
        return self.request("PUT", path, body)

    def delete(self, path: str) -> Any:
        """Delete *path*."""
        return self.request("DELETE", path)

    def stream(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Yield the objects of an NDJSON answer as they arrive, waiting for them without end.

        Raises `StreamBrokenError` when the daemon goes away in the middle of the stream.
        """
        connection = self._connection()
        try:
            response = self._send(connection, "GET", path, query, None)
            if response.status >= http.client.BAD_REQUEST:
                self._refuse(response, self._read(response))
            if connection.sock is not None:  # the wait for a line is the point of a stream
                connection.sock.settimeout(None)
            yield from self._lines(response)
        finally:
            connection.close()

    def _lines(self, response: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
        rest = b""
        try:
            # read1, because readline takes a stream that was cut off for one that has ended.
            while data := response.read1(STREAM_BYTES):
                *lines, rest = (rest + data).split(b"\n")
                for line in filter(bytes.strip, lines):  # an empty one says "still there"
                    yield self._parse(line)
            if rest.strip():
                yield self._parse(rest)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise StreamBrokenError(f"luad at {self.address} broke off the stream") from error

    def _exchange(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any],
        body: Any,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        connection = self._connection()
        try:
            with self.waiting():
                response = self._send(connection, method, path, query, body, headers)
                self.last_status = response.status
                data = self._read(response)
            if response.status >= http.client.BAD_REQUEST:
                self._refuse(response, data)
            if self.guard is not None and _changes(method, path, body):
                self.guard.after_change()
            return self._decode(data)
        finally:
            connection.close()

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        query: Mapping[str, Any],
        body: Any,
        extra: Mapping[str, str] | None = None,
    ) -> http.client.HTTPResponse:
        if self.guard is not None:
            self.guard.before(changes=_changes(method, path, body))
        headers = {"Accept": "application/json, application/x-ndjson", "Connection": "close"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body, allow_nan=False).encode()
        headers |= extra or {}
        try:
            connection.request(method, self._base + path + _query(query), data, headers)
            self._reached = getattr(connection, "reached", None)
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        try:
            return response.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error

    def _decode(self, data: bytes) -> Any:
        try:
            found = self._parse(data) if data else None
        except ValueError as error:
            raise not_luad(self.address, "no JSON") from error
        if found is not None and not isinstance(found, Answer):
            raise not_luad(self.address, "its answer is not an object")
        return found

    def _parse(self, data: bytes) -> Any:
        return json.loads(data, object_hook=lambda content: Answer(content, self.address))

    def _connection(self) -> http.client.HTTPConnection:
        if self._url is None:
            return UnixConnection(self._places, self._timeout, self._state_dirs)
        parts = urlsplit(self._url)
        host = parts.hostname or "localhost"
        if parts.scheme == "https":
            return http.client.HTTPSConnection(host, parts.port, timeout=self._timeout)
        return http.client.HTTPConnection(host, parts.port, timeout=self._timeout)

    def locate(self) -> Place | None:
        """Return the place of the socket that answers; None where the daemon is named by a URL.

        Raises `UnavailableError`.
        """
        connection = self._connection()
        if not isinstance(connection, UnixConnection):
            return None
        try:
            connection.connect()
        except OSError as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()
        return connection.reached

    def _check_url(self) -> str:
        """Return the path that every request starts with; raises `UsageError` for a bad address."""
        if self._url is None:
            path = self._places[0].path
            if len(os.fsencode(path)) > MAX_PATH_BYTES:
                raise UsageError(
                    f"the socket path {path} is longer than {MAX_PATH_BYTES} bytes",
                    hint="the kernel allows no longer ones; choose a shorter --socket",
                )
            return PREFIX
        parts = urlsplit(self._url)
        try:
            is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
            _ = parts.port  # raises for a port that is no number
        except ValueError:
            is_usable = False
        if not is_usable:
            raise UsageError(
                f"`{without_password(self._url)}` is not the URL of a daemon",
                hint="write it like  http://127.0.0.1:5823",
            )
        return parts.path.rstrip("/") + PREFIX

    def _unreachable(self, error: Exception) -> UnavailableError:
        address = str(getattr(error, "filename", None) or self.address)
        if isinstance(error, TimeoutError):
            return UnavailableError(
                f"luad at {address} did not answer within {self._timeout:g} s",
                hint="luad doctor looks for the cause; a longer wait may help",
            )
        message = f"cannot reach luad at {address} ({_reason(error)})"
        if isinstance(error, PermissionError):
            group = _group_of(address)
            hint = f"it is open to the group {group}:  sudo usermod -aG {group} $USER"
            return UnavailableError(message, hint=f"{hint}, then log in again")
        # Below /run it is a service; elsewhere somebody starts it by hand.
        look = "luad serve starts it"
        if self._url is not None or address.startswith("/run/luad/"):
            look = "systemctl status luad"
            if isinstance(error, FileNotFoundError):
                look = "luad serve, or systemctl start luad"  # neither was there
        return UnavailableError(message, hint=HINT_DOWN.format(look=look))

    def _refuse(self, response: http.client.HTTPResponse, data: bytes) -> NoReturn:
        """Raise what a problem document (RFC 9457) says."""
        try:
            problem = json.loads(data)
        except ValueError:
            problem = None
        if not isinstance(problem, dict):
            problem = {}
        raise error_from_problem(problem, response.status)


def error_from_problem(problem: Mapping[str, Any], status: int) -> LuadError:
    """Make the exception for an RFC 9457 document that came with the HTTP *status*."""
    code = str(problem.get("code") or "")
    message = str(problem.get("detail") or problem.get("title") or f"the daemon said {status}")
    hint = str(problem.get("hint") or "")
    match status:
        case 404:
            names = tuple(str(name) for name in problem.get("suggestions") or ())
            return NotFoundError(message, hint=hint, suggestions=names)
        case 409:
            return ConflictError(message, hint=hint, code=code or "conflict")
        case 503:
            unavailable = UnavailableError(message, hint=hint)
            unavailable.code = code or unavailable.code
            return unavailable
        case _:
            fallback = {401: "unauthenticated", 403: "forbidden", 422: "validation"}
            return RefusedError(
                message,
                code=code or fallback.get(status, "error"),
                status=status,
                hint=hint,
                errors=[item for item in problem.get("errors") or () if isinstance(item, dict)],
            )


def _changes(method: str, path: str, body: Any) -> bool:
    """Say whether a request changes something, as far as the client can tell."""
    if method == "GET" or path in ASKING_POSTS:
        return False
    return not (isinstance(body, dict) and body.get("check_only"))


def _query(query: Mapping[str, Any]) -> str:
    """Spell a query: None left out, true as 1, lists joined by commas."""
    pairs = []
    for key, value in query.items():
        if value is None or value is False:
            continue
        if isinstance(value, (list, tuple)):
            value = ",".join(str(item) for item in value)  # noqa: PLW2901 - one spelling per kind
        pairs.append((key, "1" if value is True else str(value)))
    return "?" + urlencode(pairs) if pairs else ""


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, FileNotFoundError):
        return "no such socket"
    if isinstance(error, PermissionError):
        return "permission denied"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__


def _group_of(path: str) -> str:
    import grp  # noqa: PLC0415 - only for the message of a rare failure

    try:
        return grp.getgrgid(Path(path).stat().st_gid).gr_name
    except (OSError, KeyError):
        return "luad"
