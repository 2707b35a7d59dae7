"""Connections to a daemon's Unix socket: the paths to try, and a check of the process that answers.

Rule: the standard library, and the rule of `luad.trust`; it sends nothing.
"""

from __future__ import annotations

import http.client
import os
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn, Protocol

from luad.errors import LuadError, UnavailableError
from luad.wire import SYSTEM_SOCKET, SYSTEM_STATE, socket_candidates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_CREDENTIALS: Final = struct.Struct("3i")


class WrongPeerError(LuadError):
    """The process that answers at the socket is not trusted."""

    code = "forbidden"


@dataclass(frozen=True, slots=True)
class Place:
    """A path at which a daemon may listen.

    *is_project*: it is the socket of a project, where only the user's own daemon, or root's, is trusted.
    """

    path: Path
    is_project: bool = False


class RequestHooks(Protocol):
    """Calls that a client makes before and after its requests."""

    def before(self, *, changes: bool) -> None:
        """Run before each request; *changes* is False for one that only reads. It may raise."""
        ...

    def after_change(self) -> None:
        """Run after each request that has changed something."""
        ...


def places(environ: Mapping[str, str], nearby: Path | None) -> list[Place]:
    """Return the places to try for a daemon, in order; `$LUAD_SOCKET` is the only one if it is set.

    *nearby* is the socket of the project of the client's working folder.
    """
    found = [
        Place(Path(path)) for path in socket_candidates(environ, environ.get("STATE_DIRECTORY"))
    ]
    if nearby is None or environ.get("LUAD_SOCKET"):
        return found
    return [Place(nearby, is_project=True), *found]


class Answer(dict[str, Any]):
    """An object in an answer of *address*.

    Luad always sends the keys that a client reads, so a missing key means that another program answers.
    """

    _address: ClassVar[str] = ""

    def __missing__(self, key: str) -> NoReturn:
        """Raise `UnavailableError` with the name of the missing key."""
        raise not_luad(self._address, f"its answer has no `{key}`")


@cache
def answer_type(address: str) -> type[Answer]:
    """Return the type of all objects in answers of *address*: an answer may have 100,000 of them."""
    return type("Answer", (Answer,), {"_address": address})


def not_luad(address: str, reason: str) -> UnavailableError:
    """Return the error for an answer that a daemon does not give."""
    return UnavailableError(
        f"the program that answers at {address} is not luad: {reason}",
        hint="check --url, --socket, $LUAD_URL and $LUAD_SOCKET",
    )


def without_password(url: str) -> str:
    """Return *url* with its password replaced."""
    from luad.config.secrets import without_passwords  # noqa: PLC0415 - only messages need it

    return without_passwords(url)


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection over the Unix socket at the first of *places* where a daemon answers.

    *state_dirs* names the state folders that the client knows; their owners are trusted. *reached* is
    the place that answered.
    """

    def __init__(
        self,
        places: Sequence[Place],
        timeout: float,
        state_dirs: Callable[[], Iterable[Path]] = tuple,
    ) -> None:
        super().__init__("localhost", timeout=timeout)
        self._places = places
        self._state_dirs = state_dirs
        self.reached: Place | None = None

    def connect(self) -> None:
        """Connect to the socket; raises OSError, with the path, as a TCP connection would.

        Raises `WrongPeerError` if the process that answers is not trusted.
        """
        failures: list[OSError] = []
        for place in self._places:
            try:
                self.sock = self._connect(place)
            except OSError as error:
                error.filename = str(place.path)
                failures.append(error)
            else:
                self.reached = place
                return
        # The failure of a socket that exists tells the user more than a missing socket.
        is_missing = [isinstance(error, FileNotFoundError) for error in failures]
        raise failures[is_missing.index(False) if False in is_missing else 0]

    def _connect(self, place: Place) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(self.timeout)
            sock.connect(str(place.path))
            check_peer(sock, place, self._state_dirs)
        except BaseException:
            sock.close()
            raise
        return sock


def peer_credentials(sock: socket.socket) -> tuple[int, int, int]:
    """Return pid, uid and gid of the process at the other end of *sock*, as the kernel states them."""
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(data)
    return pid, uid, gid


def check_peer(
    sock: socket.socket, place: Place, state_dirs: Callable[[], Iterable[Path]] = tuple
) -> None:
    """Raise `WrongPeerError` unless the process at the other end of *sock* is trusted.

    Root and the user are trusted; so is the owner of the daemon's state folder, but not at the socket
    of a project. No setting turns this check off, because any user can put a socket into a shared folder.
    """
    pid, uid, _ = peer_credentials(sock)
    if uid in {0, os.geteuid()}:
        return
    if not place.is_project and uid in _owners(place.path, state_dirs()):
        return
    expected = "root or to you" if place.is_project else "root, to you or to the owner of its state"
    hint = "luad sends no requests to a process of another user, which may only imitate a daemon"
    if not place.is_project:
        hint += "; if you mean that user's daemon, set LUAD_STATE_DIR to its state folder"
    raise WrongPeerError(
        f"{_shown(uid, pid)} answers at {place.path}, which should belong to {expected}", hint=hint
    )


def _owners(path: Path, state_dirs: Iterable[Path]) -> set[int]:
    """Return the uids of the owners of the state folders that this client knows."""
    found = set()
    known = [*state_dirs, *_from_environment()]
    if str(path) == SYSTEM_SOCKET:
        # Only root can create this folder, so its owner is the user of the service.
        known += [Path(SYSTEM_STATE), path.parent]
    for folder in known:
        with suppress(OSError):
            found.add(folder.stat().st_uid)
    return found


def _from_environment() -> list[Path]:
    named = (os.environ.get("LUAD_STATE_DIR", ""), os.environ.get("STATE_DIRECTORY", ""))
    return [Path(each.split(":")[0]) for each in named if each]


def _shown(uid: int, pid: int) -> str:
    from luad.trust.accounts import user_name  # noqa: PLC0415 - only the message needs it

    name = user_name(uid)
    known = f"{name}, uid {uid}" if name != str(uid) else f"uid {uid}"
    return f"a process of another user ({known}, pid {pid})"
