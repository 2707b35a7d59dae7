"""The users of a daemon: users from files, and users added at run time.

Rule: answers come from memory; a user added at run time is stored first. A change of one user costs the same
however many users there are.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal

from luad.config.users.user_file import unknown_users, user_from_body
from luad.core.dynamic_jobs import merge_patch
from luad.core.job_index import Kind, in_order, key_at
from luad.core.messaging import User
from luad.core.sorted_names import SortedNames
from luad.errors import ConflictError, NotFoundError, Problem, Severity, ValidationError

if TYPE_CHECKING:
    from luad.clock import Clock
    from luad.config.users.user_file import LoadedUsers
    from luad.core.engine import Engine
    from luad.core.model import JSON
    from luad.store import Store

_NEIGHBOURS: Final = 100
_LONGEST_ID: Final = 80
_NO_DIGIT: Final = re.compile(r"\D+")


class UserDirectory:
    """Implements `luad.api.service.Users`. *on_change* gets the users that are new or changed."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        on_change: Callable[[Sequence[User]], None] = lambda _: None,
    ) -> None:
        self._on_change = on_change
        self._store = store
        self._clock = clock
        self._static: Mapping[str, User] = {}
        self._dynamic: dict[str, User] = {}
        self._file_problems: tuple[Problem, ...] = ()
        self._all: dict[str, User] = {}
        self._ids = SortedNames()
        # The ids by address and number, made at the first search; mostly one, so a set of them is short.
        self._found_by: dict[str, set[str]] | None = None
        self.version = 0  # changes with the users
        self._job_problems: tuple[tuple[int, int], Sequence[Problem]] = ((-1, -1), ())
        self._writing = asyncio.Lock()  # a change is checked and stored before the next one

    def restore(self) -> tuple[Problem, ...]:
        """Load the stored users; return the problems of those that cannot be read."""
        problems = []
        for user_id, definition in self._store.users.all():
            try:
                self._dynamic[user_id] = user_from_body(definition)
            except ValidationError as error:
                problems.append(Problem("the store", 0, 0, "LU607", f"{user_id}: {error.message}"))
        self._refresh(self._dynamic)
        return tuple(problems)

    def load(self, loaded: LoadedUsers) -> None:
        """Replace the users from files."""
        before, self._static = self._static, loaded.users
        self._file_problems = loaded.problems
        self._refresh({**before, **self._static})

    def _refresh(self, ids: Iterable[str]) -> None:
        """Bring the users *ids* up to date. The user of a file wins over the one added at run time."""
        changed = []
        for user_id in ids:
            user = self._static.get(user_id, self._dynamic.get(user_id))
            old = self._all.get(user_id)
            self._file_keys(user_id, old, user)
            if user is not None:
                self._all[user_id] = user
                changed.append(user)
            elif old is not None:
                del self._all[user_id]
                self._ids.remove(user_id)
        self._ids.update(each.id for each in changed)
        self.version += 1
        self._on_change(changed)

    def _file_keys(self, user_id: str, old: User | None, new: User | None) -> None:
        """File *user_id* by the addresses and numbers of *new* instead of those of *old*."""
        if self._found_by is None:
            return
        for key in _keys_of(old):
            self._found_by[key].remove(user_id)
            if not self._found_by[key]:
                del self._found_by[key]
        for key in _keys_of(new):
            self._found_by.setdefault(key, set()).add(user_id)

    def problems(self, engine: Engine | None = None) -> tuple[Problem, ...]:
        """Return the problems: of the files, duplicate ids, and static jobs of unknown users."""
        found = list(self._file_problems)
        for user_id in self._dynamic.keys() & self._static.keys():
            origin = self._static[user_id].origin
            assert origin is not None, "a static user comes from a file"
            message = (
                f"the user `{user_id}` was added at run time too; the one of the file is in force"
            )
            hint = f"luad users remove {user_id} removes the other one; or give this one another id"
            severity = Severity.WARNING
            found.append(
                Problem(origin.path, origin.line, 1, "LU402", message, hint, severity=severity)
            )
        return (*found, *(self._of_jobs(engine) if engine is not None else ()))

    def _of_jobs(self, engine: Engine) -> Sequence[Problem]:
        """Return the problems of static jobs, computed again after a change of jobs or users."""
        index = engine.index
        if self._job_problems[0] != (index.declared, self.version):
            groups = [
                group
                for kind in (Kind.USER, Kind.ALERTED)
                for group in index.groups(
                    is_dynamic=False,
                    kind=kind,
                    values=[
                        each
                        for each in index.values(kind, is_dynamic=False)
                        if each not in self._all
                    ],
                )
            ]
            wanted = [engine.entries[key_at(place)].wanted for place in in_order(groups, "")]
            found = unknown_users(wanted, self._all)
            self._job_problems = ((index.declared, self.version), found)
        return self._job_problems[1]

    # --- the service ---

    def ids(self) -> Collection[str]:
        """Return the ids of all users; callers must not change them."""
        return self._all.keys()

    def ids_near(self, user_id: str) -> Sequence[str]:
        """Return ids that *user_id* may have been meant to be: its neighbours in the order of ids."""
        near = dict[str, None]()
        for length in range(len(user_id[:_LONGEST_ID]), -1, -1):
            near |= dict.fromkeys(islice(self._ids.beginning(user_id[:length]), _NEIGHBOURS))
            if len(near) >= _NEIGHBOURS:
                break
        return list(near)

    def all(self) -> Sequence[User]:
        """Return all users, in order of ids."""
        return tuple(self._all[user_id] for user_id in self._ids)

    def page(self, after: str, limit: int) -> Sequence[User]:
        """Return the first *limit* users whose ids come after *after*, in order of ids."""
        return tuple(self._all[user_id] for user_id in islice(self._ids.after(after), limit))

    def get(self, user_id: str) -> User | None:
        """Return the user of that exact id."""
        return self._all.get(user_id)

    def find(self, *, email: str | None = None, phone: str | None = None) -> User | None:
        """Return the user with that address (case is ignored) or number (only digits count)."""
        if self._found_by is None:
            self._found_by = {}
            for user in self._all.values():
                self._file_keys(user.id, None, user)
        for key in ((email or "").lower(), _digits(phone or "")):
            if key and (ids := self._found_by.get(key)):
                return self._all[min(ids)]
        return None

    async def add(
        self, definition: Mapping[str, JSON], *, if_exists: Literal["error", "keep", "replace"]
    ) -> User:
        """Add a user at run time, durably. Raises `ValidationError`, `ConflictError`."""
        user = user_from_body(definition)
        async with self._writing:
            return await self._add(user, if_exists)

    async def _add(self, user: User, if_exists: str) -> User:
        old = self._all.get(user.id)
        if old is not None and old.origin is not None:
            raise _file_owned(old)
        if old is not None and if_exists == "keep":
            return old
        if old is not None and if_exists == "error":
            raise ConflictError(
                f"the user `{user.id}` already exists",
                hint="choose another id, or set if_exists to replace or keep",
                code="name_taken",
            )
        return await self._save(user)

    async def change(self, user_id: str, values: Mapping[str, JSON]) -> User:
        """Merge *values* into the definition of a user added at run time."""
        async with self._writing:
            old = self._own(user_id)
            if values.get("id", user_id) != user_id:
                item = {"pointer": "#/id", "code": "value", "detail": "an id cannot be changed"}
                raise ValidationError("an id cannot be changed", errors=(item,))
            return await self._save(user_from_body(merge_patch(old.definition, values)))

    async def remove(self, user_id: str) -> None:
        """Remove a user added at run time, with the user's data."""
        async with self._writing:
            if user_id not in self._dynamic:  # where a file has the id too, the file's user stays
                self._own(user_id)
            await self._store.users.remove(user_id)
            self._dynamic.pop(user_id, None)
            self._refresh([user_id])

    async def _save(self, user: User) -> User:
        now = self._clock.now().wall
        await self._store.users.save(user.id, user.definition, user.revision, now)
        self._dynamic[user.id] = user
        self._refresh([user.id])
        return user

    def _own(self, user_id: str) -> User:
        user = self._all.get(user_id)
        if user is None:
            raise NotFoundError(f"no user `{user_id}`", hint="luad users lists them")
        if user.origin is not None:
            raise _file_owned(user)
        return user


def _file_owned(user: User) -> ConflictError:
    assert user.origin is not None, "only a static user comes from a file"
    place = f"{user.origin.path}:{user.origin.line}"
    message = f"{user.id} comes from {place}"
    return ConflictError(message, hint="change the file", code="file_owned")


def _keys_of(user: User | None) -> set[str]:
    """Return the addresses of *user* in lower case, and the digits of the numbers."""
    if user is None:
        return set()
    return {*map(str.lower, user.emails), *map(_digits, user.phones)}


def _digits(number: str) -> str:
    return _NO_DIGIT.sub("", number)
