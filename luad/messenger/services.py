"""Everything that Apprise knows: mail, chats, telephones.

Room rule: Apprise is imported here, in the sender's process, and nowhere else. It is asked to keep nothing
on disk and to try once: attempts are luad's, and stand in the history.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from luad.config.messages import plain_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from luad.core.people import Part

MAX_FILE: Final = 10 * 1024 * 1024
_KINDS: Final = {"low": "info", "normal": "info", "high": "warning"}
_MAX_SAID: Final = 300


class ServiceError(Exception):
    """It did not arrive; the message says why."""


def send(url: str, parts: Sequence[Part], title: str, priority: str) -> tuple[str, bool]:
    """Send through the service of *url*. Returns what it said, and whether a picture or a file has
    become a link because it takes none. Raises `ServiceError`."""
    try:
        import apprise  # noqa: PLC0415 - 0.2 s, and an extra
    except ImportError:
        raise ServiceError("Apprise is not installed: pip install 'luad[notify]'") from None
    asset = apprise.AppriseAsset(app_id="luad", storage_mode=apprise.PersistentStoreMode.MEMORY)
    service: Any = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    if service is None:
        raise ServiceError("Apprise does not know this kind of address")
    attachments = [part for part in parts if part["type"] != "text"]
    takes_them = bool(getattr(service, "attachment_support", False))
    is_degraded = bool(attachments) and not takes_them
    texts = [part for part in parts if part["type"] == "text"]
    body = plain_text(parts if is_degraded else texts)
    is_markdown = any(part.get("format") == "markdown" for part in texts)
    sender = apprise.Apprise(asset=asset)
    sender.add(service)
    capture: Any = apprise.LogCapture
    with capture(level=apprise.logging.INFO, fmt="%(message)s") as said:
        is_sent = sender.notify(
            body=body
            or (str(attachments[0].get("alt") or title or "file") if attachments else " "),
            title=title,
            notify_type=_KINDS.get(priority, "info"),
            body_format="markdown" if is_markdown else "text",
            attach=[_place(part) for part in attachments] if takes_them and attachments else None,
        )
        lines = said.getvalue().strip().splitlines()
    if not is_sent:
        raise ServiceError((lines[-1] if lines else "the service refused it")[:_MAX_SAID])
    return (lines[-1][:_MAX_SAID] if lines else ""), is_degraded


def _place(part: Part) -> str:
    if part.get("url"):
        return str(part["url"])
    path = Path(str(part["path"]))
    try:
        is_regular, size = path.is_file(), path.stat().st_size
    except OSError as error:
        raise ServiceError(f"{path} cannot be read: {error.strerror}") from None
    if not is_regular or size > MAX_FILE:
        raise ServiceError(f"{path} is no file of at most {MAX_FILE >> 20} MB")
    return str(path)
