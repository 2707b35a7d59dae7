"""Schedules, retries, messages and their outcomes, as Python values.

Rule: values that become JSON, and JSON that becomes values; sends no request.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from luad.json_text import JsonObject
from luad.sdk.exceptions import InvalidSchedule, NoAttribute

# --- schedules ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cron:
    """Due when the local time in *timezone* (luad's own by default) matches *expression*."""

    expression: str
    timezone: str | None = None

    def to_dict(self) -> JsonObject:
        """Return the schedule as JSON."""
        zone = {} if self.timezone is None else {"timezone": self.timezone}
        return {"type": "cron", "expression": self.expression, **zone}


@dataclass(frozen=True)
class Every:
    """Due at a fixed distance: ``"15m"``, seconds, or a timedelta; counted from *start_at*."""

    distance: str | float | timedelta
    start_at: datetime | str | None = None

    def to_dict(self) -> JsonObject:
        """Return the schedule as JSON."""
        start = {} if self.start_at is None else {"start_at": instant_text(self.start_at)}
        distance = self.distance
        if isinstance(distance, timedelta):
            distance = distance.total_seconds()
        key = "every" if isinstance(distance, str) else "seconds"
        return {"type": "interval", key: distance, **start}


@dataclass(frozen=True)
class Once:
    """Due once: an aware datetime, ISO text with an offset, or without one but with *timezone*."""

    at: datetime | str
    timezone: str | None = None

    def to_dict(self) -> JsonObject:
        """Return the schedule as JSON."""
        zone = {} if self.timezone is None else {"timezone": self.timezone}
        at = instant_text(self.at, has_zone=self.timezone is not None)
        return {"type": "once", "execute_at": at, **zone}


def instant_text(at: datetime | str, *, has_zone: bool = False) -> str:
    """Return an instant as text. Raises `InvalidSchedule` for a datetime without a zone."""
    if isinstance(at, str):
        return at
    if not isinstance(at, datetime):
        raise InvalidSchedule(
            f"{type(at).__name__!s} is not an instant", hint="use a datetime, or ISO text"
        )
    if at.tzinfo is None and not has_zone:
        raise InvalidSchedule(
            f"{at} has no time zone, so the instant is not known",
            hint="write datetime.now(UTC) + …, or .astimezone(), or pass timezone=",
        )
    return at.isoformat()


@dataclass(frozen=True)
class Retry:
    """How often luad repeats a failed attempt, and after which delay.

    *max_attempts* counts the first.
    """

    max_attempts: int = 3
    backoff_seconds: float = 0
    backoff_multiplier: float = 1
    max_backoff_seconds: float | None = None

    def to_dict(self) -> JsonObject:
        """Return the policy as JSON."""
        values = {
            "max_attempts": self.max_attempts,
            "backoff_seconds": self.backoff_seconds,
            "backoff_multiplier": self.backoff_multiplier,
        }
        if self.max_backoff_seconds is not None:
            values["max_backoff_seconds"] = self.max_backoff_seconds
        return values


# --- messages ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Text:
    """A text, plain or with *format* ``"markdown"``."""

    text: str
    format: str | None = None

    def to_dict(self) -> JsonObject:
        """Return the part as JSON."""
        return {"type": "text", "text": self.text, **_given(format=self.format)}


@dataclass(frozen=True)
class Image:
    """A picture by its URL, with a description in *alt*."""

    url: str
    alt: str = ""

    def to_dict(self) -> JsonObject:
        """Return the part as JSON."""
        return {"type": "image", "url": self.url, **_given(alt=self.alt)}


@dataclass(frozen=True)
class File:
    """A file: a path on luad's machine, or a URL."""

    place: str
    name: str = ""

    def to_dict(self) -> JsonObject:
        """Return the part as JSON."""
        key = "url" if "://" in str(self.place) else "path"
        return {"type": "file", key: self.place, **_given(name=self.name)}


def _given(**values: object) -> dict[str, object]:
    return {key: value for key, value in values.items() if value}


def part_of(value: JsonObject) -> Text | Image | File:
    """Return the part of its JSON."""
    match value.get("type"):
        case "image":
            return Image(value["url"], value.get("alt", ""))
        case "file":
            return File(value.get("path") or value["url"], value.get("name", ""))
        case _:
            return Text(value["text"], value.get("format"))


def parts_json(messages: object) -> list[object]:
    """Return a message as JSON: a text, a part, a dict, or a list of them."""
    items = messages if isinstance(messages, list | tuple) else [messages]
    return [each.to_dict() if isinstance(each, Text | Image | File) else each for each in items]


@dataclass(frozen=True)
class Outcome:
    """The outcome of one message on one channel."""

    channel: str
    status: str
    ok: bool
    error: str = ""
    answer: str = ""
    elapsed: timedelta | None = None
    degraded: bool = False


class _Read:
    """A value from the API: an assignment to an attribute raises `NoAttribute`."""

    _method = ""

    if not TYPE_CHECKING:

        def __setattr__(self, name: str, value: object) -> None:
            if name in vars(self).get("_names", ()):
                kind = type(self).__name__.strip("_").lower()
                message = f"{kind}.{name} cannot be assigned: it is read-only"
                raise NoAttribute(message, hint=self._method)
            object.__setattr__(self, name, value)

    def _close(self) -> None:
        """Make the attributes read-only."""
        self._names = frozenset(vars(self))


class Delivery(_Read):
    """The outcome of a `send`: true if it arrived, with one outcome per message and channel.

    An outcome has *channel*, *status* (``delivered``, ``repeated``, ``failed``), *ok*, *error*,
    *answer*, *elapsed* (a timedelta) and *degraded* (a picture or a file was sent as a link).
    """

    _method = "user.send(...) sends again"

    def __init__(self, view: JsonObject) -> None:
        self._view = view
        self.ok: bool = view["ok"]
        self.outcomes = tuple(_outcome(each) for each in view["deliveries"])
        self._close()

    def __bool__(self) -> bool:
        return self.ok

    def __iter__(self) -> Iterator[Outcome]:
        return iter(self.outcomes)

    def __len__(self) -> int:
        return len(self.outcomes)

    def to_dict(self) -> JsonObject:
        """Return the answer of the API."""
        return dict(self._view)

    def __repr__(self) -> str:
        good = sum(each.ok for each in self.outcomes)
        return f"<Delivery {good}/{len(self.outcomes)}>"


def _outcome(row: JsonObject) -> Outcome:
    elapsed = row.get("elapsed_ms")
    return Outcome(
        row["channel"],
        row["status"],
        row["ok"],
        row.get("error", ""),
        row.get("answer", ""),
        None if elapsed is None else timedelta(milliseconds=elapsed),
        row.get("degraded", False),
    )


@dataclass(frozen=True)
class SentMessage:
    """A message that luad has sent, or tried to send.

    *id*, *at*, *title*, *parts* (`Text`, `Image`, `File`), *job* and *run_id* of the handler that
    sent it, *outcomes* (as in a `Delivery`).
    """

    id: str
    at: str
    title: str
    parts: tuple[Text | Image | File, ...]
    job: str | None
    run_id: str | None
    outcomes: tuple[Outcome, ...]
    view: JsonObject = field(repr=False, compare=False)

    def to_dict(self) -> JsonObject:
        """Return the message, as the API shows it."""
        return dict(self.view)


def sent_message(view: JsonObject) -> SentMessage:
    """Return the message of its JSON."""
    return SentMessage(
        view["id"],
        view["at"],
        view["title"],
        tuple(map(part_of, view["parts"])),
        view["job"],
        view["run_id"],
        tuple(map(_outcome, view["deliveries"])),
        view,
    )


@dataclass(frozen=True)
class _Profile:
    user_id: str
    full_name: str
    emails: tuple[str, ...]
    phones: tuple[str, ...]


class Profile(_Profile):
    """The name and addresses of a user; only the operator can change them."""

    if not TYPE_CHECKING:

        def __setattr__(self, name: str, value: object) -> None:
            del value
            hint = f"write {name} into users.d, or use luad users; user.update({name}=...) stores a value in user.data"
            raise NoAttribute(f"user.profile.{name} cannot be assigned", hint=hint)

        def __delattr__(self, name: str) -> None:
            self.__setattr__(name, None)


class Revision(_Read):
    """One revision of a job's definition.

    *revision* (its hash), *first_seen_at* and *last_installed_at* (texts, RFC 3339), *is_current*,
    *definition* (as in a job file), and *difference* to the current one, as a list of objects with
    ``key``, ``then`` and ``now``.
    """

    _method = "job.restore(revision) puts one back"

    def __init__(self, view: JsonObject) -> None:
        self._view = view
        self.revision: str = view["revision"]
        self.first_seen_at: str = view["first_seen_at"]
        self.last_installed_at: str = view["last_installed_at"]
        self.is_current: bool = view["is_current"]
        self.definition: JsonObject = view["definition"]
        self.difference: Sequence[JsonObject] = view.get("difference", ())
        self._close()

    def to_dict(self) -> JsonObject:
        """Return the revision as the API shows it."""
        return dict(self._view)

    def __repr__(self) -> str:
        return f"<Revision {self.revision}{' (current)' if self.is_current else ''}>"


class Run(_Read):
    """One run, as it was when it was fetched.

    *id*, *job*, *status*, *attempt*, *trigger*, *scheduled_for*, *started_at*, *completed_at*
    (texts, RFC 3339), *result*, and *error* with ``type``, ``message`` and ``traceback``.
    """

    _method = "job.runs() shows the runs as they are now"

    def __init__(self, view: JsonObject) -> None:
        self._view = view
        self.id: str = view["id"]
        self.job: str | None = view.get("job")
        self.status: str | None = view.get("status")
        self.attempt: int | None = view.get("attempt")
        self.trigger: str | None = view.get("trigger")
        self.scheduled_for: str | None = view.get("scheduled_for")
        self.started_at: str | None = view.get("started_at")
        self.completed_at: str | None = view.get("completed_at")
        self.result: Any = view.get("result")
        self.error: JsonObject | None = view.get("error")
        self._close()

    def to_dict(self) -> JsonObject:
        """Return the run, as the API shows it."""
        return dict(self._view)

    def __repr__(self) -> str:
        return f"<Run {self.id} {self.status}>"
