"""A client of a running daemon: HTTP over its Unix socket, or over TCP.

Rule: the standard library and nothing else, because every command waits for this import. It carries
requests and answers, and does not interpret them.
"""

from __future__ import annotations

import http.client
import json
import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import quote, urlencode, urlsplit

from luad.errors import UnavailableError, UsageError, error_from_problem
from luad.socket_paths import (
    Answer,
    Place,
    RequestHooks,
    UnixConnection,
    answer_type,
    not_luad,
    places,
    without_password,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from luad.json_text import JsonObject

PREFIX: Final = "/v1"
MAX_PATH_BYTES: Final = 107
"""The longest path that fits `sun_path` of a Unix socket address."""

STREAM_BYTES: Final = 1 << 16

READING_POSTS: Final = frozenset({"/explain", "/config/check"})
"""Paths whose POST requests have a body and change nothing."""

HINT_DOWN: Final = "check that it runs:  {look}   ·   luad list --offline reads jobs.d/ directly"


class StreamBrokenError(UnavailableError):
    """The daemon ended in the middle of a stream; a new request may continue where it broke off."""


def segment(text: str) -> str:
    """Return *text* (a job name, a run id) quoted as one segment of a path.

    Raises UsageError if it is empty, because the path would then name all of them.
    """
    return quote(named(text), safe="")


def named(text: str) -> str:
    """Return *text*, which the user typed as a name or an id. Raises UsageError if it is empty."""
    if not text:
        raise UsageError(
            "the name is empty",
            hint="write a name or an id; check that the variable of your shell is set",
        )
    return text


class Client:
    """Sends requests to one daemon; thread-safe, because it keeps no connection.

    *socket_path* or *url* says where the daemon listens. Without either, the client takes `$LUAD_URL`, then
    *nearby* (the socket of the project of the working folder), then the paths of
    `luad.wire.socket_candidates`. It uses a socket only if its process is trusted: one of root, of the user,
    or of the owner of one of *state_dirs*. *token* (else `$LUAD_TOKEN`) is sent as a bearer token. *timeout*
    in seconds limits each wait for the daemon, except between the lines of a stream.

    Every method takes a path below `/v1`. It raises `UnavailableError` if the client cannot reach the
    daemon, and `NotFoundError`, `ConflictError` or `RefusedError` if the daemon refuses the request.
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
        self.hooks: RequestHooks | None = None
        self.waiting: Callable[[], AbstractContextManager[None]] = nullcontext
        """Makes the context in which the client waits for an answer."""
        self._reached: Place | None = None
        self._token = token or environ.get("LUAD_TOKEN")
        self._timeout = timeout
        self._base = self._check_url()
        self.last_status = 0
        """The HTTP status of the latest answer."""

    @property
    def address(self) -> str:
        """The address at which the daemon answered, or else is expected, without a password."""
        if self._url:
            return without_password(self._url)
        return str((self._reached or self._places[0]).path)

    def get(self, path: str, **query: object) -> Any:
        """Return the JSON of *path*. Query values that are None are left out."""
        return self._exchange("GET", path, query, None)

    def post(self, path: str, body: Mapping[str, object] | None = None) -> Any:
        """Post *body* as JSON and return the JSON of the answer; None if it is empty."""
        return self._exchange("POST", path, {}, {} if body is None else body)

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send a request and return the JSON of the answer; None if it is empty.

        *headers* replace the usual ones of the same name.
        """
        return self._exchange(method, path, query or {}, body, headers)

    def patch(self, path: str, body: Mapping[str, object]) -> Any:
        """Patch *path* with *body*, and return the JSON of the answer."""
        return self.request("PATCH", path, body)

    def put(self, path: str, body: Mapping[str, object]) -> Any:
        """Replace *path* with *body*, and return the JSON of the answer."""
        return self.request("PUT", path, body)

    def delete(self, path: str) -> Any:
        """Delete *path*, and return the JSON of the answer."""
        return self.request("DELETE", path)

    def stream(self, path: str, **query: object) -> Iterator[JsonObject]:
        """Yield the objects of an NDJSON answer as they arrive, without a limit of time.

        Raises `StreamBrokenError` if the daemon ends in the middle of the stream.
        """
        connection = self._connection()
        try:
            response = self._send(connection, "GET", path, query, None)
            if response.status >= http.client.BAD_REQUEST:
                self._refuse(response, self._read(response))
            if connection.sock is not None:  # the next line of a stream may come at any time
                connection.sock.settimeout(None)
            yield from self._lines(response)
        finally:
            connection.close()

    def _lines(self, response: http.client.HTTPResponse) -> Iterator[JsonObject]:
        rest = b""
        try:
            # read1, because readline cannot tell a stream that was cut off from one that has ended.
            while data := response.read1(STREAM_BYTES):
                *lines, rest = (rest + data).split(b"\n")
                for line in filter(bytes.strip, lines):  # an empty line is a sign of life
                    yield self._parse(line)
            if rest.strip():
                yield self._parse(rest)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise StreamBrokenError(f"luad at {self.address} broke off the stream") from error

    def _exchange(
        self,
        method: str,
        path: str,
        query: Mapping[str, object],
        body: object,
        headers: Mapping[str, str] | None = None,
    ) -> object:
        connection = self._connection()
        try:
            with self.waiting():
                response = self._send(connection, method, path, query, body, headers)
                self.last_status = response.status
                data = self._read(response)
            if response.status >= http.client.BAD_REQUEST:
                self._refuse(response, data)
            if self.hooks is not None and _changes(method, path, body):
                self.hooks.after_change()
            return self._decode(data)
        finally:
            connection.close()

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        query: Mapping[str, object],
        body: object,
        extra: Mapping[str, str] | None = None,
    ) -> http.client.HTTPResponse:
        if self.hooks is not None:
            self.hooks.before(changes=_changes(method, path, body))
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

    def _decode(self, data: bytes) -> object:
        try:
            found = self._parse(data) if data else None
        except ValueError as error:
            raise not_luad(self.address, "its answer is not JSON") from error
        if found is not None and not isinstance(found, Answer):
            raise not_luad(self.address, "its answer is not an object")
        return found

    def _parse(self, data: bytes) -> Any:
        return json.loads(data, object_hook=answer_type(self.address))

    def _connection(self) -> http.client.HTTPConnection:
        if self._url is None:
            return UnixConnection(self._places, self._timeout, self._state_dirs)
        parts = urlsplit(self._url)
        host = parts.hostname or "localhost"
        if parts.scheme == "https":
            return http.client.HTTPSConnection(host, parts.port, timeout=self._timeout)
        return http.client.HTTPConnection(host, parts.port, timeout=self._timeout)

    def locate(self) -> Place | None:
        """Return the place of the socket that answers; None if a URL names the daemon.

        Raises `UnavailableError` if no socket answers.
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
                    hint="the kernel allows no longer path; choose a shorter --socket",
                )
            return PREFIX
        parts = urlsplit(self._url)
        try:
            is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
            _ = parts.port  # raises for a port that is not a number
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
        # A daemon below /run is a service; the user starts any other by hand.
        look = "luad serve starts it"
        if self._url is not None or address.startswith("/run/luad/"):
            look = "systemctl status luad"
            if isinstance(error, FileNotFoundError):
                look = "luad serve, or systemctl start luad"  # no socket exists
        return UnavailableError(message, hint=HINT_DOWN.format(look=look))

    def _refuse(self, response: http.client.HTTPResponse, data: bytes) -> NoReturn:
        """Raise the exception for an answer with an RFC 9457 document."""
        try:
            problem = json.loads(data)
        except ValueError:
            problem = None
        if not isinstance(problem, dict):
            problem = {}
        raise error_from_problem(problem, response.status)


def _changes(method: str, path: str, body: object) -> bool:
    """Return True if a request may change something."""
    if method == "GET" or path in READING_POSTS:
        return False
    return not (isinstance(body, dict) and body.get("check_only"))


def _query(query: Mapping[str, object]) -> str:
    """Return a query string: None and False are left out, true is 1, lists are joined by commas."""
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
