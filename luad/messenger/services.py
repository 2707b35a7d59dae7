"""Sends messages through the services that Apprise supports: mail, chats, telephones.

Rule: only this module imports Apprise, in the sender's process. Apprise stores nothing on disk, tries once,
and fetches nothing: luad itself retries and records attempts, and fetches files with the checks of
`exchange`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from luad.clock import elapsed_ms
from luad.config.users.message_bodies import plain_text
from luad.messenger.attachments import File, FileError, fetch, read_file
from luad.messenger.exchange import SilentError
from luad.messenger.mixed_text import ForeignText, MixedTextError

if TYPE_CHECKING:
    from luad.core.messaging import Part

_KINDS: Final = {"low": "info", "normal": "info", "high": "warning"}
_MAX_SAID: Final = 4_096
_FOR_FETCHING: Final = 2
"""Fetching files may take half of the time; the other half is for sending."""


class ServiceError(MixedTextError):
    """The message did not arrive; the text gives the reason."""


def send(
    url: str,
    message: dict[str, Any],
    timeout_ms: int,
    *,
    allow_private: bool,
) -> tuple[tuple[str, ...], bool]:
    """Send through the service of *url*; return its answer, and True if a file was sent as a link.

    A file becomes a link if the service takes no files, or if luad could not fetch it. Raises `ServiceError`,
    `FileError`, `SilentError`.
    """
    deadline = elapsed_ms() + timeout_ms
    try:
        import apprise  # noqa: PLC0415 - 0.2 s, and an extra
    except ImportError:
        raise ServiceError("Apprise is not installed: pip install apprise") from None
    asset = apprise.AppriseAsset(app_id="luad", storage_mode=apprise.PersistentStoreMode.MEMORY)
    service: Any = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    if service is None:
        raise ServiceError("Apprise does not know this kind of address, or cannot read it")
    parts: Sequence[Part] = message["parts"]
    takes_them = bool(getattr(service, "attachment_support", False))
    files, links, remark = _gather(
        parts if takes_them else (), timeout_ms // _FOR_FETCHING, allow_private=allow_private
    )
    shown = [part for part in parts if part["type"] == "text" or not takes_them or part in links]
    sender = apprise.Apprise(asset=asset)
    sender.add(service)
    with tempfile.TemporaryDirectory(prefix="luad-") as folder:
        result = sender.notify(
            body=plain_text(shown) or _caption(parts, message["title"]),
            title=message["title"],
            notify_type=_KINDS.get(message["priority"], "info"),
            body_format="markdown" if _is_markdown(parts) else "text",
            attach=_lay_out(Path(folder), files) or None,
            timeout=max(deadline - elapsed_ms(), 1) / 1_000,
            log_level=apprise.logging.INFO,
        )
    said = [entry.message for entry in result.logs()]
    if result.status == apprise.AppriseResultStatus.TIMEOUT:
        raise SilentError(f"no answer within {timeout_ms / 1_000:g} s")
    if not result:
        raise ServiceError(ForeignText(said[-1][:_MAX_SAID]) if said else "the service refused it")
    is_degraded = any(part["type"] != "text" for part in shown)
    return remark or (ForeignText((said[-1] if said else "")[:_MAX_SAID]),), is_degraded


def _gather(
    parts: Sequence[Part], timeout_ms: int, *, allow_private: bool
) -> tuple[list[File], list[Part], tuple[str, ...]]:
    """Return the files to attach, the parts that become links, and the reason for the latter."""
    files: list[File] = []
    links: list[Part] = []
    remark: tuple[str, ...] = ()
    for part in parts:
        if part["type"] == "text":
            continue
        name = part.get("name")
        if "path" in part:
            files.append(read_file(str(part["path"]), name))
            continue
        try:
            files.append(fetch(str(part["url"]), name, timeout_ms, allow_private=allow_private))
        except FileError as error:
            links.append(part)
            remark = ("sent as a link: ", *error.parts)
    return files, links, remark


def _lay_out(folder: Path, files: Sequence[File]) -> list[Any]:
    """Write *files* into *folder* and return attachments, because some services open them by path."""
    from apprise.attachment import file as attachment  # noqa: PLC0415 - as Apprise itself

    make: Any = attachment.AttachFile
    attachments = []
    for number, file in enumerate(files):
        place = folder / str(number) / file.name
        place.parent.mkdir()
        place.write_bytes(file.data)
        attachments.append(make(str(place)))
    return attachments


def _caption(parts: Sequence[Part], title: str) -> str:
    """Return a text for a message with only files, because many services require one."""
    for part in parts:
        if part.get("alt") or part.get("name"):
            return str(part.get("alt") or part.get("name"))
    return title or "file"


def _is_markdown(parts: Sequence[Part]) -> bool:
    return any(part.get("format") == "markdown" for part in parts)
