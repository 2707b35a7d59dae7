"""Users, channels, messages and deliveries.

Rule: frozen values only. No code here decides when or if luad sends a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any, Literal, TypeAlias

from luad.core.model import SECOND, Instant, Origin
from luad.core.values import dataclass

Part: TypeAlias = Mapping[str, Any]
"""A piece of a message as JSON: ``{"type": "text", "text"}``, ``{"type": "image", "url", "alt"}`` or
``{"type": "file", "path" or "url", "name"}``; a text may say ``"format": "markdown"``."""

Priority: TypeAlias = Literal["low", "normal", "high"]


class ChannelKind(StrEnum):
    """The way a channel delivers messages."""

    INBOX = "inbox"  # kept in the store, nothing else
    LOG = "log"  # a line in the daemon's log
    WEBHOOK = "webhook"  # an HTTP POST of the message as JSON
    APPRISE = "apprise"  # everything else


@dataclass(frozen=True, slots=True)
class Channel:
    """One way to reach a user.

    *url* is as written: the sender resolves ``${NAME}``, ``file:PATH`` and ``credential:NAME`` in it when
    it sends.
    """

    name: str  # unique for the user; the kind, or the service, unless the file names the channel
    kind: ChannelKind
    url: str = ""
    headers: tuple[tuple[str, str], ...] = ()  # of a webhook; values may be references as well
    timeout_ms: int = 10 * SECOND
    allow_private: bool = False  # a webhook may reach loopback and private networks


@dataclass(frozen=True, slots=True)
class User:
    """A user: jobs can be for this user, and messages go to this user.

    Without *origin*, the user was added at run time. *definition* is the document, and *revision* its hash.
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
    """One message to one user. *channels*: only through these channels of the user; None for all.

    *dedupe_key*: of two messages to one user with the same key, a channel delivers one.
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
    """The outcome of a message on one channel."""

    SENDING = "sending"  # begun; after a crash, luad cannot know if it arrived
    DELIVERED = "delivered"
    FAILED = "failed"
    REPEATED = "repeated"  # it had arrived before, by the same dedupe key


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message on one channel.

    *answer*: the answer of the service, bounded and without secrets. *is_degraded*: a picture or a file
    became a link, because the service accepts none.
    """

    message_id: str
    channel: str
    state: DeliveryState
    started_at: Instant
    ended_at: Instant | None = None
    error: str = ""
    answer: str = ""
    is_degraded: bool = False
