"""A channel of a user: a valid item to a `Channel`, or to further mistakes.

No message here repeats an address or a header, because both may be secrets.

Rule: pure; resolves no reference, and connects to no address.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeAlias
from urllib.parse import SplitResult, parse_qsl, urlsplit

from luad.config.schema.violations import Mistake
from luad.config.yaml.marks import Path
from luad.core.messaging import Channel, ChannelKind
from luad.core.model import SECOND
from luad.suggestions import close_to
from luad.wire import parse_duration_ms

_MAX_TIMEOUT_MS: Final = 60 * SECOND
_USEFUL: Final[dict[ChannelKind, frozenset[str]]] = {
    ChannelKind.INBOX: frozenset(),
    ChannelKind.LOG: frozenset(),
    ChannelKind.WEBHOOK: frozenset(("url", "headers", "timeout", "allow_private")),
    ChannelKind.APPRISE: frozenset(("url", "timeout")),
}
_REFERENCE: Final = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}", re.ASCII)
_WHOLE: Final = re.compile(r"(file|credential|env):(.*)", re.DOTALL)
_CREDENTIAL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}", re.ASCII)
_BARE: Final = re.compile(r"\$([A-Z_][A-Z0-9_]*)", re.ASCII)
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):", re.ASCII)
_STAND_IN: Final = "x"  # replaces a reference while the rest of an address is checked

_TELLING_WORDS: Final = r"(?:auth|token|secret|passw|pwd|key|sign?ature|sig\b|cookie)"
_TELLING: Final = re.compile(_TELLING_WORDS, re.IGNORECASE | re.ASCII)
_OPEN_SERVICES: Final = frozenset(
    ("json", "jsons", "xml", "xmls", "form", "forms", "mailto", "mailtos", "syslog", "rsyslog")
) | {"dbus", "glib", "qt", "kde", "gnome", "macosx", "windows", "mqtt", "mqtts", "ntfy", "ntfys"}
"""Apprise schemes whose addresses have secrets only in the usual places.

In addresses of the other schemes the host or the path is a secret.
"""

_RANDOM: Final = re.compile(r"(?=[^/]*[0-9])(?=[^/]*[A-Za-z])[A-Za-z0-9_-]{20,}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Services:
    """The known *schemes* of Apprise, and *accepts*, its check of a whole address."""

    schemes: frozenset[str]
    accepts: Callable[[str], bool]


Ask: TypeAlias = Callable[[], Services | None]
"""Returns Apprise's checks; None without Apprise, and in the daemon, which does not import it."""


def no_services() -> Services | None:
    """Return None: no check by Apprise."""
    return None


@cache
def apprise_services() -> Services | None:
    """Return Apprise's checks; None if it is not installed. Only for `luad check`: it takes 0.5 s."""
    with _in_silence():
        try:
            import apprise  # noqa: PLC0415 - an extra, and slow
            from apprise.manager_plugins import NotificationManager  # noqa: PLC0415 - as above
        except ImportError:
            return None
        capture: Any = apprise.LogCapture  # untyped, both
        manager: Any = NotificationManager
        asset = apprise.AppriseAsset(storage_mode=apprise.PersistentStoreMode.MEMORY)
        schemes = frozenset(manager().schemas())

    def accepts(url: str) -> bool:
        with _in_silence(), capture(level=apprise.logging.CRITICAL):  # it would print the address
            return apprise.Apprise.instantiate(url, asset=asset) is not None

    return Services(schemes, accepts)


@contextmanager
def _in_silence() -> Iterator[None]:
    """Suppress the warnings of Apprise's modules, which users cannot act on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def build_channel(
    number: int, item: Any, mistakes: list[Mistake], services: Ask = no_services
) -> Channel:
    """Return the channel of item *number* of `channels`, which must obey the schema.

    Mistakes are appended to *mistakes*. *services* returns the checks for Apprise addresses.
    """
    if isinstance(item, str):
        return Channel(item, ChannelKind(item))
    place: Path = ("channels", number)
    kind = ChannelKind(item["type"])
    mistakes.extend(_useless_keys(place, kind, item))
    url = item.get("url", "")
    if "url" in _USEFUL[kind]:
        mistakes.extend(_url_mistakes(place, kind, url, services))
    for name, value in item.get("headers", {}).items():
        mistakes.extend(_header_mistakes((*place, "headers", name), name, value))
    return Channel(
        item.get("name", kind.value),
        kind,
        url,
        tuple(item.get("headers", {}).items()),
        _timeout_ms((*place, "timeout"), item.get("timeout", 10), mistakes),
        item.get("allow_private", False),
    )


def _useless_keys(place: Path, kind: ChannelKind, item: Mapping[str, object]) -> Iterator[Mistake]:
    for key in [each for each in item if each not in _USEFUL[kind] | {"type", "name"}]:
        message = f"`{key}` has no effect with `type: {kind.value}`"
        yield Mistake((*place, key), "LU504", message, "delete it", is_key=True, is_warning=True)


def _timeout_ms(path: Path, value: object, mistakes: list[Mistake]) -> int:
    try:
        timeout_ms = parse_duration_ms(value)
    except ValueError as error:
        mistakes.append(Mistake(path, "LU104", str(error)))
        return SECOND
    if not 0 < timeout_ms <= _MAX_TIMEOUT_MS:
        mistakes.append(Mistake(path, "LU104", "`timeout` is out of range", "above 0, at most 60s"))
    return timeout_ms


# --- addresses ---------------------------------------------------------------------------------


def _url_mistakes(place: Path, kind: ChannelKind, url: str, services: Ask) -> Iterator[Mistake]:
    path = (*place, "url")
    if not url:
        yield Mistake(
            path,
            "LU101",
            f"missing key `url`: a channel of type {kind.value} needs an address",
            'write  url: "${SOME_VARIABLE}"',
        )
        return
    broken = list(_reference_mistakes(path, url))
    if broken or is_whole_reference(url):
        yield from broken
        return
    judge = _webhook_fault if kind is ChannelKind.WEBHOOK else _service_fault
    fault = judge(url, services)
    if fault is not None:
        code, message, help_text = fault
        yield Mistake(path, code, message, help_text)
    elif _holds_secret(kind, url):
        yield _in_clear(path, "url")


def _reference_mistakes(path: Path, text: str) -> Iterator[Mistake]:
    """Yield mistakes in the syntax of references; the target is checked at the first use."""
    if bare := _BARE.fullmatch(text):
        message = "a variable must be written in braces"
        yield Mistake(path, "LU604", message, f'write  "${{{bare[1]}}}"')
    elif "${" in _REFERENCE.sub("", text):
        message = (
            "a `${` here does not begin a reference: `${NAME}` has only letters, digits and `_`"
        )
        yield Mistake(path, "LU604", message, "write ${NAME}, and the name alone in the braces")
    elif whole := _WHOLE.fullmatch(text):
        kind, rest = whole[1], whole[2]
        if kind == "env":
            yield Mistake(path, "LU604", "`env:` is not a reference", "write ${NAME}")
        elif kind == "file" and (not rest.startswith("/") or rest.startswith("//")):
            message = "`file:` takes an absolute path"
            yield Mistake(path, "LU604", message, "write file:/etc/luad/secrets/NAME")
        elif kind == "credential" and not _CREDENTIAL.fullmatch(rest):
            message = "`credential:` takes the name of a systemd credential"
            yield Mistake(
                path, "LU604", message, "write credential:NAME, as LoadCredential= has it"
            )


def is_whole_reference(text: str) -> bool:
    """Return whether the whole *text* is a reference, or is meant as one."""
    return any(each.fullmatch(text) for each in (_WHOLE, _REFERENCE, _BARE))


Fault: TypeAlias = tuple[str, str, str]
"""Code, message, help."""


def _split(url: str) -> SplitResult | None:
    """Return the parts of an address, with a placeholder for each reference; None if invalid."""
    try:
        parts = urlsplit(_REFERENCE.sub(_STAND_IN, url))
        _ = parts.port
    except ValueError:
        return None
    return parts


def _webhook_fault(url: str, _services: Ask) -> Fault | None:
    scheme = _SCHEME.match(url)
    if any(char.isspace() or not char.isprintable() for char in url):
        return "LU602", "an address cannot contain blanks", "write a blank as %20"
    if url.startswith("${"):
        return None  # its scheme is not known
    if scheme is None or "://" not in url:
        return "LU602", "a webhook is an http or https address", "write https:// before it"
    if scheme[1].lower() not in {"http", "https"}:
        message = f"a webhook is an http or https address, not {scheme[1].lower()[:20]}"
        return "LU602", message, "Apprise sends to other services: write  type: apprise"
    parts = _split(url)
    if parts is None or not parts.hostname:
        return "LU602", "this address names no host, or has an impossible port", ""
    return None


def _service_fault(url: str, services: Ask) -> Fault | None:
    if url.startswith("${"):
        return None
    scheme, separator, _ = url.partition("://")
    scheme = scheme.lower()
    if not separator or not _SCHEME.fullmatch(f"{scheme}:"):
        help_text = "write mailto://, slack://, tgram:// or another scheme of Apprise"
        return "LU602", "an address of Apprise must begin with the name of a service", help_text
    known = services()
    if known is None:
        return None
    if scheme not in known.schemes:
        near = close_to(scheme, known.schemes)
        help_text = f"did you mean `{near[0]}://`?" if near else "apprise -l lists all services"
        return "LU603", f"Apprise does not know the service `{scheme[:40]}`", help_text
    if not _REFERENCE.search(url) and not known.accepts(url):
        message = f"Apprise cannot use this address of `{scheme}`"
        return (
            "LU602",
            message,
            "a required part is missing; see the service in Apprise's documentation",
        )
    return None


# --- secrets -----------------------------------------------------------------------------------


def _header_mistakes(path: Path, name: str, value: str) -> Iterator[Mistake]:
    broken = list(_reference_mistakes(path, value))
    yield from broken
    has_reference = is_whole_reference(value) or _REFERENCE.search(value)
    if not broken and value and not has_reference and _TELLING.search(name):
        yield _in_clear(path, name)


def _holds_secret(kind: ChannelKind, url: str) -> bool:
    if _REFERENCE.search(url):
        return False  # with one reference, the other parts are probably not secret
    if kind is ChannelKind.APPRISE and url.partition("://")[0].lower() not in _OPEN_SERVICES:
        return True
    parts = _split(url)
    if parts is None:
        return False
    if parts.password or any(_TELLING.search(key) for key, _ in parse_qsl(parts.query)):
        return True
    return any(_RANDOM.fullmatch(each) for each in parts.path.split("/"))


def _in_clear(path: Path, name: str) -> Mistake:
    return Mistake(
        path,
        "LU605",
        f"`{name}` seems to contain a secret, which each reader of this file can see",
        "write a reference: ${NAME}, file:/path or credential:name",
        is_warning=True,
    )


def not_a_channel(item: object, path: Path) -> Mistake:
    """Return the mistake of an *item* that is not a channel: its type or word is unknown."""
    word = item.get("type") if isinstance(item, dict) else item
    place = (*path, "type") if isinstance(item, dict) else path
    kinds = [kind.value for kind in ChannelKind]
    if not isinstance(word, str) or "://" in word or word.startswith("${"):
        kind = "webhook" if isinstance(word, str) and word.startswith("http") else "apprise"
        help_text = f'write  {{type: {kind}, url: "..."}}'
        return Mistake(place, "LU601", "an address alone is not a channel", help_text)
    if not isinstance(item, dict) and word in kinds:
        help_text = f'write  {{type: {word}, url: "${{SOME_VARIABLE}}"}}'
        return Mistake(place, "LU601", f"a channel `{word}` needs an address", help_text)
    near = close_to(word.lower(), kinds)
    help_text = (
        f"did you mean `{near[0]}`?"
        if near
        else "write inbox, log or webhook, and for other services  type: apprise"
    )
    return Mistake(place, "LU601", f"unknown channel type `{word[:40]}`", help_text)


# --- lines without their secrets -------------------------------------------------------

_ADDRESS: Final = re.compile(r"(\w[\w+.-]*://)((?:\$\{[\w-]*\}|[^\s\"'`,}\]])+)", re.ASCII)
_HEADER: Final = re.compile(
    rf"([\w-]*{_TELLING_WORDS}[\w-]*[\"']?\s*:\s+)([^#,}}`]+)", re.IGNORECASE | re.ASCII
)


_LEGIBLE: Final = re.compile(r"\$\{[\w-]*\}|^\w[\w+.-]*://", re.ASCII)


def masked(line: str, secrets: Collection[str]) -> str:
    """Return a line of a users file without secrets: the length and the references stay."""
    for secret in sorted(secrets, key=len, reverse=True):  # one may be a prefix of another
        line = line.replace(secret, _stars(secret))
    line = _ADDRESS.sub(lambda found: found[1] + _stars(found[2]), line)
    return _HEADER.sub(lambda found: found[1] + _stars(found[2]), line)


def _stars(text: str) -> str:
    kept = [found.span() for found in _LEGIBLE.finditer(text)]
    return "".join(
        char if char in " \"'" or any(first <= index < end for first, end in kept) else "*"
        for index, char in enumerate(text)
    )
