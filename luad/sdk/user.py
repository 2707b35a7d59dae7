"""Users, as handlers and programs see them.

Rule: as in `luad.sdk.job`: one core, two faces.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal, TypeVar

from luad.sdk.acting import acting_user, is_acting
from luad.sdk.ask import Ask
from luad.sdk.checking import checked_text
from luad.sdk.exceptions import NotFound, NoUser, WrongCall
from luad.sdk.job_core import running_job
from luad.sdk.link import run_async, segment
from luad.sdk.pending import awaited
from luad.sdk.user_core import UserCore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from luad.sdk.ask import Steps
    from luad.sdk.user_core import Part
    from luad.sdk.values import Delivery, SentMessage

U = TypeVar("U", bound=UserCore)


def _way_to(value: object) -> str:
    """Return the advice for *value*, which is not a text."""
    if isinstance(value, dict):
        for key in ("email", "phone", "id"):
            if isinstance(value.get(key), str):
                return f"write User.get({'' if key == 'id' else key + '='}{json.dumps(value[key])})"
    return "write User.get('ann'), or email= or phone= with a text"


def _ambient() -> str:
    job = running_job()
    if job is not None and not is_acting():
        return job._need_user()  # noqa: SLF001 - the SDK among itself
    user_id = acting_user()
    if user_id is None:
        raise NoUser(
            "User.get() without an id needs a job with a user, or luad.acting_for",
            hint="write User.get('ann'), email= or phone=, or with luad.acting_for('ann'):",
        )
    return user_id


def get_steps(
    face: type[U], user_id: str | None, email: str | None, phone: str | None
) -> Steps[U | None]:
    """Return a user, or None; without an argument, the user of the running job."""
    given = {"id": user_id, "email": email, "phone": phone}
    said = {key: each for key, each in given.items() if each is not None}
    if len(said) > 1:
        raise WrongCall("User.get takes one of id, email= and phone=", hint="pass only one")
    for key, each in said.items():
        if key == "id" or each != "":
            checked_text(each, key, _way_to(each))
    if email is not None or phone is not None:
        answer = yield Ask("GET", "/users", query={"email": email, "phone": phone})
        if not answer["users"]:
            return None
        user_id = str(answer["users"][0]["id"])
    if user_id is None:
        user_id = _ambient()
    try:
        return face((yield Ask("GET", f"/users/{segment(user_id, 'id')}")))
    except NotFound:
        return None


class User(UserCore):
    """A user for ``async def``.

    *id*; *profile* (frozen: *user_id*, *full_name*, *emails*, *phones*); *data* (a dict of stored
    values).
    """

    @classmethod
    @awaited("User.get")
    async def get(
        cls,
        id: str | None = None,  # noqa: A002 - the usual word
        *,
        email: str | None = None,
        phone: str | None = None,
    ) -> User | None:
        """Return the user with an id, an address or a number (with or without ``+``), or None.

        Without an argument: the user of `acting_for`, else of the running job. Raises
        `ValidationError` for an empty one.
        """
        return await run_async(get_steps(cls, id, email, phone))

    @awaited("user.update")
    async def update(
        self, mapping: Mapping[str, object] | None = None, /, **values: object
    ) -> None:
        """Set keys of `data`. luad merges, so writers of different keys do not overwrite each other."""
        await run_async(self._update(mapping, values))

    @awaited("user.patch")
    async def patch(self, patch: Mapping[str, object]) -> None:
        """Apply a merge patch (RFC 7396) to `data`."""
        await run_async(self._patch(patch))

    @awaited("user.save")
    async def save(self) -> None:
        """Replace the stored data by `data`."""
        await run_async(self._save())

    @awaited("user.clear")
    async def clear(self) -> None:
        """Delete all stored data of the user."""
        await run_async(self._clear())

    @awaited("user.send")
    async def send(
        self,
        messages: Part | Sequence[Part],
        *,
        title: str | None = None,
        channels: Sequence[str] | None = None,
        require: Literal["any", "all"] = "any",
        priority: Literal["low", "normal", "high"] = "normal",
        dedupe_key: str | None = None,
    ) -> Delivery:
        """Send a message to the user, through all channels or *channels*.

        Raises `DeliveryFailed` if the message has not arrived on any channel, or with *require*
        ``"all"`` not on each. In a handler, a retried run sends again only to the channels that
        failed; elsewhere *dedupe_key* does that.
        """
        return await run_async(self._send(messages, title, channels, require, priority, dedupe_key))

    @awaited("user.messages")
    async def messages(self, limit: int = 50) -> list[SentMessage]:
        """Return the messages that luad has sent to the user, newest first."""
        return await run_async(self._messages(limit))
