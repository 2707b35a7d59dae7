"""Sends a message as an HTTP POST to the URL of a channel.

It includes the content of small files of luad's machine. A larger file is left out, and the outcome says so.

Rule: a message has arrived if the status of the answer is 2xx, and only then.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from luad.messenger.attachments import FileError, read_file
from luad.messenger.exchange import Ask, exchange
from luad.messenger.mixed_text import ForeignText, MixedTextError

MAX_BODY: Final = 1024 * 1024
MAX_FILE: Final = 256 * 1024
MAX_ANSWER: Final = 64 * 1024
_REDIRECTS: Final = frozenset({307, 308})  # other redirects would change the method to GET
_SHOWN: Final = 4_096


class WebhookError(MixedTextError):
    """The message did not arrive; the text gives the reason."""


@dataclass(frozen=True, slots=True)
class Post:
    """A request to a webhook. *message* is JSON.

    *allow_private*: the request may go to this machine and to private networks.
    """

    url: str
    headers: dict[str, str]
    message: Mapping[str, Any]
    timeout_ms: int
    allow_private: bool = False


def send(post: Post) -> tuple[tuple[str, ...], bool]:
    """Send *post*; return the status and reason of the answer, and True if a file was left out.

    Raises `WebhookError`, `FileError`, `ExchangeError`.
    """
    is_degraded = False
    parts = []
    for part in post.message["parts"]:
        full = _with_content(part)
        is_degraded |= full is None
        parts.append(full or _without_path(part))
    body = json.dumps({**post.message, "parts": parts}).encode()
    if len(body) > MAX_BODY:
        raise WebhookError(f"the message has {len(body)} bytes; a webhook takes {MAX_BODY}")
    ask = Ask(
        "POST",
        post.url,
        post.timeout_ms,
        MAX_ANSWER,
        post.headers,
        body,
        redirects=_REDIRECTS,
        allow_private=post.allow_private,
    )
    answer = exchange(ask)
    status, reason = str(answer.status), ForeignText(f" {answer.reason}".rstrip())
    if not 200 <= answer.status < 300:
        text = printable(answer.data)
        raise WebhookError("answered ", status, reason, ": " if text else "", ForeignText(text))
    return (status, reason), is_degraded


def printable(data: bytes) -> str:
    """Return the beginning of an answer as one line."""
    text = data[:_SHOWN].decode("utf-8", "replace")
    return "".join(char if char.isprintable() else " " for char in text).strip()


def _with_content(part: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return a part with the content of its file; None if the file is too large."""
    if "path" not in part:
        return part
    try:
        file = read_file(str(part["path"]), part.get("name"), MAX_FILE)
    except FileError as error:
        if error.is_too_large:
            return None
        raise
    return {"type": "file", "name": file.name, "content": b64encode(file.data).decode()}


def _without_path(part: Mapping[str, object]) -> Mapping[str, object]:
    name = part.get("name") or str(part["path"]).rpartition("/")[2]
    return {"type": "file", "name": name, "content": None}
