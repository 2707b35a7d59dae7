"""The user of the running code: that of `acting_for`, else that of the running job.

Rule: cheap to import, because every handler's process pays for it.
"""

from __future__ import annotations

from contextvars import ContextVar

TYPE_CHECKING = False  # `typing` costs 9 ms, which every handler's process would pay
if TYPE_CHECKING:
    from contextvars import Token
    from typing import Self

    from luad.sdk.user_core import UserCore

_acting: ContextVar[tuple[str | None] | None] = ContextVar("luad_acting_for", default=None)
"""The user of the innermost `acting_for`, in a tuple; None outside of all."""


class acting_for:  # noqa: N801 - a context, used like a function
    """Make *user* (an id, a `User`, or None for no user) the user of the code inside ``with``.

    Inside, `User.get()` returns this user, and `Jobs.create` makes jobs for this user. The effect
    covers the task or thread that enters the block, the tasks that it starts, and
    `asyncio.to_thread`.
    """

    __slots__ = ("_tokens", "_user")

    def __init__(self, user: str | UserCore | None) -> None:
        from luad.sdk.checking import user_id_of

        self._user = user_id_of(user)
        self._tokens: list[Token[tuple[str | None] | None]] = []

    def __enter__(self) -> Self:
        self._tokens.append(_acting.set((self._user,)))
        return self

    def __exit__(self, *_: object) -> None:
        _acting.reset(self._tokens.pop())


def acting_user() -> str | None:
    """Return the id of the current user, or None."""
    from luad.sdk.job_core import running_job

    if (acting := _acting.get()) is not None:
        return acting[0]
    job = running_job()
    return None if job is None else job.user_id


def is_acting() -> bool:
    """Return whether this code is inside `acting_for`."""
    return _acting.get() is not None
