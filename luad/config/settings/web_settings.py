"""The settings of the dashboard, and the readers of their values.

Rule: values in, values out; a reader raises ``ValueError``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROLES: Final = ("viewer", "operator", "admin")
EVERY_USER: Final = "*"
"""The key of `roles` for users that have no key of their own."""

_HEADER: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}", re.ASCII)
_TAKEN: Final = frozenset(
    [
        "accept",
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "forwarded",
        "host",
        "luad-part",
        "luad-proxy-secret",
        "luad-run",
        "origin",
        "transfer-encoding",
        "user-agent",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
    ]
)
"""Headers that have another meaning."""

_BASE_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~-]+)+", re.ASCII)
_MOST_PATH: Final = 200


@dataclass(frozen=True, slots=True)
class Web:
    """The dashboard. *is_enabled*: luad serves it where it listens.

    *user_header*: the header in which the proxy names the user; empty without one. *roles*: the role of each
    user. *base_path*: the path below which the proxy serves the pages; empty for the root.
    """

    is_enabled: bool = True
    user_header: str = ""
    proxy_secret_file: Path | None = None
    proxy_socket: Path | None = None
    roles: Mapping[str, str] = field(default_factory=lambda: {EVERY_USER: "viewer"})
    base_path: str = ""


NO_WEB: Final = Web()
"""The settings without the key `web`."""


def read_header(value: object) -> str:
    """Return the name of a header in lower case. Raises ``ValueError``."""
    text = str(value)
    if _HEADER.fullmatch(text) is None or text.lower() in _TAKEN:
        raise ValueError(f"{text!r} cannot name a user; write X-Remote-User")
    return text.lower()


def read_roles(value: object) -> Mapping[str, str]:
    """Return the roles by user; a text is ``ann=admin,*=viewer``. Raises ``ValueError``."""
    if not isinstance(value, Mapping):
        words = str(value).replace(",", " ").split()
        value = {user: role for user, _, role in (word.rpartition("=") for word in words)}
    for user, role in value.items():
        if not user or role not in ROLES:
            raise ValueError(f"{user}={role} is not a user and a role; write ann=admin,*=viewer")
    return dict(value)


def read_base_path(value: object) -> str:
    """Return the path in front of all pages, without a slash at its end. Raises ``ValueError``."""
    text = str(value).rstrip("/")
    has_dots = any(part in (".", "..") for part in text.split("/"))
    if text and (_BASE_PATH.fullmatch(text) is None or has_dots or len(text) > _MOST_PATH):
        raise ValueError(f"{value!r} is not a path in front of pages; write /luad")
    return text
