"""Users that were added at run time, and the data of all users.

The data of a user are one JSON object. A write reads, merges and writes it in one transaction of the only writer,
so that writes of different keys never overwrite each other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final, Literal

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.sqlite import insert

from luad.core.dynamic_jobs import merge_patch
from luad.core.model import JSON, Instant
from luad.errors import ConflictError, ValidationError
from luad.store.columns import to_int, to_json, to_text
from luad.store.tables import user_data, users
from luad.store.transactions import Transactions

DATA_LIMIT: Final = 64 * 1024
"""The largest size of the data of one user, in bytes of JSON."""

_put_user = insert(users)
_save_user = _put_user.on_conflict_do_update(
    index_elements=["id"],
    set_={name: _put_user.excluded[name] for name in ("definition_json", "revision", "changed_at")},
)
_put_data = insert(user_data)
_save_data = _put_data.on_conflict_do_update(
    index_elements=["user_id"],
    set_={name: _put_data.excluded[name] for name in ("data_json", "changed_at")},
)


class StoredUsers:
    """The users of a `Store`; raises `StoreUnavailableError` as it does."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def all(self) -> list[tuple[str, Mapping[str, JSON]]]:
        """Return ids and definitions of the users that were added at run time.

        It is not a coroutine, because the daemon calls it at its start.
        """
        return self._transactions.ask(_all)

    async def save(
        self, user_id: str, definition: Mapping[str, JSON], revision: str, now: Instant
    ) -> None:
        """Add a user, or replace the definition of one."""
        row = {
            "id": to_text(user_id),
            "definition_json": to_json(definition),
            "revision": to_text(revision),
            "changed_at": to_int(now),
        }
        await self._transactions.write(lambda c: c.execute(_save_user, row))

    async def remove(self, user_id: str) -> None:
        """Remove a user and the user's data."""
        await self._transactions.write(lambda c: _remove(c, to_text(user_id)))

    async def data(self, user_id: str) -> dict[str, JSON]:
        """Return the data of a user; an empty object if there are none."""
        return await self._transactions.read(lambda c: _data(c, to_text(user_id)))

    async def write_data(
        self,
        user_id: str,
        values: Mapping[str, JSON],
        mode: Literal["merge", "patch", "replace"],
        now: Instant,
        *,
        if_match: str | None = None,
    ) -> dict[str, JSON]:
        """Write to the data of a user, and return all of them.

        `merge` sets keys, `patch` applies RFC 7396, `replace` sets the data to *values*. Raises ConflictError
        (`precondition_failed`) if *if_match* is not the `version_of` the data, and ValidationError if they would
        be too large.
        """
        return await self._transactions.write(
            lambda c: _write_data(c, to_text(user_id), values, mode, now, if_match)
        )


def version_of(data: Mapping[str, JSON]) -> str:
    """Return the ETag of the data of a user."""
    text = json.dumps(data, sort_keys=True)
    return blake2b(text.encode(), digest_size=8).hexdigest()


def _all(connection: Connection) -> list[tuple[str, Mapping[str, JSON]]]:
    rows = connection.execute(select(users).order_by(users.c.id))
    return [(row.id, json.loads(row.definition_json)) for row in rows]


def _remove(connection: Connection, user_id: str) -> None:
    connection.execute(delete(users).where(users.c.id == user_id))
    connection.execute(delete(user_data).where(user_data.c.user_id == user_id))


def _data(connection: Connection, user_id: str) -> dict[str, JSON]:
    query = select(user_data.c.data_json).where(user_data.c.user_id == user_id)
    text = connection.execute(query).scalar()
    data: dict[str, JSON] = {} if text is None else json.loads(text)
    return data


def _write_data(
    connection: Connection,
    user_id: str,
    values: Mapping[str, JSON],
    mode: str,
    now: Instant,
    if_match: str | None,
) -> dict[str, JSON]:
    before = _data(connection, user_id)
    if if_match is not None and if_match != version_of(before):
        raise ConflictError(
            f"what is known of {user_id} is not as it was",
            hint="get it again, then repeat the change with its new tag",
            code="precondition_failed",
        )
    after: object = dict(values)
    if mode == "merge":
        after = {**before, **values}
    elif mode == "patch":
        after = merge_patch(before, values)
    text = to_json(after)
    if len(text) > DATA_LIMIT:
        message = f"the data of {user_id} would have {len(text)} bytes; {DATA_LIMIT} may be"
        raise ValidationError(message, hint="keep large things elsewhere, and their names here")
    connection.execute(
        _save_data, {"user_id": user_id, "data_json": text, "changed_at": to_int(now)}
    )
    data: dict[str, JSON] = json.loads(text)
    return data
