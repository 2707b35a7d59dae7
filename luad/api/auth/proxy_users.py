"""The users that a proxy has signed in, and the proof that a request comes from the proxy.

A request comes from the proxy if it arrives at the socket for the proxy alone, or has the secret of the proxy
in a header. luad ignores the header with the user in every other request.

Rule: a browser sends these headers without asking its user, as it sends cookies. So such a user counts where a
session counts, and nowhere else.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from luad.api.http.api_problems import ApiError, echo
from luad.store.api_access import Token

SECRET_HEADER: Final = b"luad-proxy-secret"
EVERY_USER: Final = "*"
MOST_NAME: Final = 200
_NO_DIGEST: Final = ""

Headers = Sequence[tuple[bytes, bytes]]


class Proof(Enum):
    """The proofs in a request that it comes from the proxy."""

    NONE = "none"
    WRONG = "wrong"
    GOOD = "good"


@dataclass(frozen=True, slots=True)
class ProxyUsers:
    """The header in which the proxy names the user, and the roles. *secret*: empty where only the socket counts."""

    header: str
    roles: Mapping[str, str]
    secret: bytes = b""

    def proof_of(self, headers: Headers, *, is_proxy_socket: bool) -> Proof:
        """Return whether a request comes from the proxy; secrets are compared in constant time."""
        if is_proxy_socket:
            return Proof.GOOD
        given = [value for name, value in headers if name == SECRET_HEADER]
        if not given:
            return Proof.NONE
        is_good = bool(self.secret) and all(
            hmac.compare_digest(each, self.secret) for each in given
        )
        return Proof.GOOD if is_good else Proof.WRONG

    def user_of(self, headers: Headers) -> Token | None:
        """Return the rights of the user that the proxy names; None without a name.

        Raises `ApiError` (forbidden) for a name that is not one, or that has no role.
        """
        wanted = self.header.encode()
        found = [value for name, value in headers if name == wanted]
        if not found:
            return None
        name = _name_in(found)
        role = self.roles.get(name) or self.roles.get(EVERY_USER)
        if role is None:
            raise ApiError(
                "forbidden",
                f"the user {echo(name)} has no role in luad",
                hint="add it to web.roles in luad.yaml",
            )
        return Token(name, role, _NO_DIGEST, created_at=0)


def _name_in(values: Sequence[bytes]) -> str:
    """Return the one name in *values*. Two names mean that the proxy has kept a header of the client."""
    text = values[0].decode("utf-8", "replace").strip()
    is_name = len(values) == 1 and text and len(text) <= MOST_NAME and text.isprintable()
    if not is_name or "," in text or text == EVERY_USER or "\ufffd" in text:
        raise ApiError(
            "forbidden",
            "the proxy does not name exactly one user",
            hint="let the proxy replace the header that a client sends, not add to it",
        )
    return text
