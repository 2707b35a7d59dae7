"""The core of a user: the values, and the requests of the methods step by step.

Rule: steps, which yield requests; the faces carry them out.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from luad.sdk.ask import MERGE_PATCH, Ask
from luad.sdk.checking import json_object, plain_json, refuse, shown
from luad.sdk.exceptions import DeliveryFailed
from luad.sdk.job_core import running_job
from luad.sdk.link import segment
from luad.sdk.translating import Guarded, Translating
from luad.sdk.values import Delivery, Profile, parts_json, sent_message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from luad.sdk.ask import Steps
    from luad.sdk.job_core import JobCore
    from luad.sdk.values import File, Image, SentMessage, Text

    Part = Text | Image | File | str | Mapping[str, Any]

U = TypeVar("U", bound="UserCore")


class UserCore(Guarded, metaclass=Translating):
    """The attributes of a user: *id*, *profile* (frozen), *data* (stored values)."""

    id: str
    profile: Profile

    _kind = "user"

    def __init__(self, view: Mapping[str, Any]) -> None:
        self._view = view
        self._data: dict[str, Any] = dict(view.get("data") or {})
        profile = Profile(
            view["id"], view["full_name"], tuple(view["emails"]), tuple(view["phones"])
        )
        vars(self).update(id=view["id"], profile=profile)

    @property
    def data(self) -> dict[str, Any]:
        """The stored values of the user; `save` writes changes that are made here."""
        return self._data

    @data.setter
    def data(self, values: Mapping[str, object]) -> None:
        self._data = json_object(values, "data")

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the user's channels."""
        return tuple(each["name"] for each in self._view["channels"])

    def to_dict(self) -> dict[str, Any]:
        """Return the user, as the API shows it."""
        return {**self._view, "data": dict(self.data)}

    def __repr__(self) -> str:
        return f"<User {self.id}>"

    @property
    def _path(self) -> str:
        return f"/users/{segment(self.id, 'id')}"

    def _update(
        self, mapping: Mapping[str, object] | None, values: Mapping[str, object]
    ) -> Steps[None]:
        given = {} if mapping is None else mapping
        written = {**json_object(given, "data"), **json_object(values, "data")}
        self._data = yield Ask("PATCH", f"{self._path}/data", written)

    def _patch(self, patch: Mapping[str, object]) -> Steps[None]:
        headers = {"Content-Type": MERGE_PATCH}
        body = json_object(patch, "data")
        self._data = yield Ask("PATCH", f"{self._path}/data", body, headers=headers)

    def _save(self) -> Steps[None]:
        self._data = yield Ask("PUT", f"{self._path}/data", json_object(self.data, "data"))

    def _clear(self) -> Steps[None]:
        self._data = yield Ask("DELETE", f"{self._path}/data")

    def _send(
        self,
        messages: Part | Sequence[Part],
        title: str | None,
        channels: Sequence[str] | None,
        require: str,
        priority: str,
        dedupe_key: str | None,
    ) -> Steps[Delivery]:
        parts = plain_json(parts_json(messages), "messages")
        if title is not None and not isinstance(title, str):
            refuse("title", f"{shown(title)} is not a text", "pass a text")
        body: dict[str, Any] = {
            "messages": parts,
            "require": require,
            "priority": priority,
            "dedupe_key": dedupe_key or self._own_key(parts, title),
        }
        if title is not None:
            body["title"] = title
        if channels is not None:
            names = [channels] if isinstance(channels, str) else channels
            if not isinstance(names, list | tuple | set | frozenset):
                refuse("channels", f"{shown(names)} is not a list of names", 'write ["inbox"]')
            body["channels"] = list(names)
        delivery = Delivery((yield Ask("POST", f"{self._path}/send", body)))
        if not delivery:
            failures = ", ".join(
                f"{each.channel}: {each.error}" for each in delivery if not each.ok
            )
            raise DeliveryFailed(f"the message to {self.id} did not arrive: {failures}", delivery)
        return delivery

    def _own_key(self, parts: list[Any], title: str | None) -> str | None:
        """Return a key for a message, the same in each attempt of an occurrence.

        The key depends on the user and the text, so another text is another message.
        """
        job = running_job()
        if job is None or not job.id:
            return None
        from hashlib import blake2b

        said = json.dumps([self.id, title, parts], sort_keys=True).encode()
        digest = blake2b(said, digest_size=12).hexdigest()
        at = int(job.scheduled_for.timestamp() * 1_000)
        return f"{job.id}:{at}:{digest}:{count_sent(job, digest)}"

    def _messages(self, limit: int) -> Steps[list[SentMessage]]:
        answer = yield Ask("GET", f"{self._path}/messages", query={"limit": limit})
        return [sent_message(each) for each in answer["messages"]]


def user_steps(face: type[U], user_id: str) -> Steps[U]:
    """Return a user, who must exist."""
    return face((yield Ask("GET", f"/users/{segment(user_id, 'id')}")))


def count_sent(job: JobCore, digest: str) -> int:
    """Count how often *job* has sent this message in this attempt, including this time."""
    sent = job._sent  # noqa: SLF001 - nothing to handlers
    sent[digest] = sent.get(digest, 0) + 1
    return sent[digest]
