"""The nouns of people and messages: who, by which channel, what, and what became of it.

Room rule: frozen values only. Nothing here decides when or whether something is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, TypeAlias

from luad.core.model import SECOND, Instant, Origin

Part: TypeAlias = Mapping[str, Any]
"""A piece of a message as JSON: ``{"type": "text", "text"}``, ``{"type": "image", "url", "alt"}`` or
``{"type": "file", "path" or "url", "name"}``; a text may say ``"format": "markdown"``."""

Priority: TypeAlias = Literal["low", "normal", "high"]


class ChannelKind(StrEnum):
    """How a message travels."""

    INBOX = "inbox"  # kept in the store, nothing else
    LOG = "log"  # a line in the daemon's log
    WEBHOOK = "webhook"  # an HTTP POST of the message as JSON
    APPRISE = "apprise"  # everything else


@dataclass(frozen=True, slots=True)
class Channel:
    """One way to reach a person. *url* is kept as it was written: ``${NAME}``, ``file:PATH`` and
    ``credential:NAME`` in it are resolved by the sender, at the moment of sending."""

    name: str  # unique within the person; the kind, or the service, unless the file says otherwise
    kind: ChannelKind
    url: str = ""
    headers: tuple[tuple[str, str], ...] = ()  # of a webhook; values may be references as well
    timeout_ms: int = 10 * SECOND
    allow_private: bool = False  # a webhook may reach loopback and private networks


@dataclass(frozen=True, slots=True)
class User:
    """Somebody jobs are for and messages go to. Without *origin* they were added at run time.

    *definition* is the document, *revision* its hash, as with jobs.
    """

    id: str
    full_name: str = ""
    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    timezone: str = ""
    channels: tuple[Channel, ...] = (Channel("inbox", ChannelKind.INBOX),)
    revision: str = ""
    origin: Origin | None = None
    stale: bool = False
    definition: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to tell one person. *channels*: only through these of theirs, None for all.

    *dedupe_key*: of two messages to one person with the same key, a channel carries one.
    """

    id: str  # msg_…
    user: str
    at: Instant
    parts: tuple[Part, ...]
    title: str = ""
    priority: Priority = "normal"
    channels: tuple[str, ...] | None = None
    kind: Literal["message", "alert"] = "message"
    job_name: str | None = None
    run_id: str | None = None
    dedupe_key: str | None = None


class DeliveryState(StrEnum):
    """What became of a message on one channel."""

    SENDING = "sending"  # begun; after a crash nobody knows whether it arrived
    DELIVERED = "delivered"
    FAILED = "failed"
    REPEATED = "repeated"  # it had arrived before, by the same dedupe key


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message on one channel. *answer* is what the other side said, bounded and free of secrets;
    *is_degraded*: a picture or a file became a link, because the service takes none."""

    message_id: str
    channel: str
    state: DeliveryState
    started_at: Instant
    ended_at: Instant | None = None
    error: str = ""
    answer: str = ""
    is_degraded: bool = False
