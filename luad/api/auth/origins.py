"""The origin that a request is for, and the pages that may send a form to it.

Rule: pure; headers in, a refusal out. Browsers send a cookie to all ports of a host, and other ports are not
luad's, so scheme, name and port are compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from luad.api.auth.sessions import SECURE_COOKIE
from luad.api.auth.web_origin import is_same_origin, scheme_of
from luad.api.http.api_problems import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from luad.api.transport.client_addresses import Address, Network

_PORTS: Final = {"http": "80", "https": "443"}


@dataclass(frozen=True, slots=True)
class Target:
    """The origin that the client has asked: *name* is the host without the port, in lower case."""

    scheme: str
    name: str
    port: str
    own_port: int

    @property
    def origin(self) -> str:
        """Return it as a browser writes it in Origin."""
        if self.port == _PORTS.get(self.scheme):
            return f"{self.scheme}://{self.name}"
        return f"{self.scheme}://{self.name}:{self.port}"

    @property
    def is_secure(self) -> bool:
        """Return whether the browser's connection is encrypted."""
        return self.scheme == "https"

    @property
    def cookie(self) -> str:
        """Return the name of the cookie of a session."""
        return SECURE_COOKIE if self.is_secure else f"luad-{self.own_port}"

    def session_secret(self, headers: Mapping[str, str]) -> str:
        """Return the secret in the cookie of a request; empty without one.

        Two different ones have the same name when another site has set one of them for a wider domain:
        then neither counts.
        """
        pairs = (each.partition("=") for each in headers.get("cookie", "").split(";"))
        found = {value.strip() for name, _, value in pairs if name.strip() == self.cookie}
        return found.pop() if len(found) == 1 else ""


def headers_of(headers: Iterable[tuple[bytes, bytes]], *, is_from_proxy: bool) -> dict[str, str]:
    """Return the headers of a request by name; of several with one name the last, but all cookies.

    A proxy may say in X-Forwarded-Host which Host the client has sent.
    """
    found: dict[str, str] = {}
    for key, value in headers:
        name, text = key.decode("latin-1"), value.decode("latin-1")
        found[name] = f"{found[name]};{text}" if name == "cookie" and name in found else text
    if is_from_proxy and "x-forwarded-host" in found:
        found["host"] = found["x-forwarded-host"]
    return found


def target_of(
    scope: Mapping[str, Any],
    headers: Mapping[str, str],
    peer: Address | None,
    proxies: Sequence[Network],
) -> Target:
    """Return the origin that a request is for. Only a trusted proxy may name another scheme."""
    scheme = scheme_of(scope.get("scheme", "http"), peer, headers, proxies).lower()
    name, port = split_host(headers.get("host", ""))
    server = scope.get("server") or ("", 0)
    return Target(scheme, name, port or _PORTS.get(scheme, ""), int(server[1] or 0))


def split_host(host: str) -> tuple[str, str]:
    """Return the name in lower case and the port of a Host; an empty port without one."""
    text = host.strip().lower()
    if text.startswith("["):
        name, _, rest = text.partition("]")
        return name + "]", rest.removeprefix(":")
    name, _, port = text.partition(":")
    return name, port


def check_form(headers: Mapping[str, str], target: Target) -> None:
    """Refuse a form that a page of another origin has sent. Raises `ApiError` (forbidden).

    Browsers say so in Sec-Fetch-Site; old ones only send Origin. Another port is "same-site" to a browser.
    """
    site = headers.get("sec-fetch-site")
    origin = headers.get("origin", "")
    is_own = (
        site == "same-origin"
        if site is not None
        else is_same_origin(origin, target.scheme, headers.get("host", ""))
    )
    if not is_own:
        raise ApiError(
            "forbidden",
            "this form did not come from a page of this luad",
            hint="open the page again, and send the form from there",
        )
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise ApiError("unsupported_media_type", "a form is application/x-www-form-urlencoded")
