"""Decides whether people were told of trouble with jobs when they should be, and no more than that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from simulation.dictstore import DictStore, key_of

from luad.core.events import AddMessage, Deliver, Effect, StoredJob
from luad.core.model import AlertCause, AlertPolicy, Wanted


class Telling:
    """The messages of one batch, beside what was stored before it (*before*, by name) and after it."""

    def __init__(
        self,
        store: DictStore,
        files: Mapping[str, Wanted],
        before: Mapping[str, StoredJob],
        effects: Sequence[Effect],
    ) -> None:
        self.store = store
        self.files = files
        self.before = before
        self.after = {key_of(row): row for row in store.jobs.values()}
        rows = [*before.values(), *store.jobs.values()]
        self.shared = {row.name for row in rows if not row.standing.holds_name}
        self.posted = [each.message for each in effects if isinstance(each, AddMessage)]
        self.sent = [each.message for each in effects if isinstance(each, Deliver)]
        self.told: dict[tuple[str, str], list[bool]] = {}  # trouble or its end, by job and user
        for message in self.posted:
            key = message.job_name or "", message.user
            self.told.setdefault(key, []).append(not message.title.endswith("recovered"))
        ends = Counter(is_trouble for each in self.told.values() for is_trouble in each)
        self.outcomes = Counter({"alert": ends[True], "recovery": ends[False]})

    def violations(self, begun_anew: set[str]) -> Iterator[str]:
        """Yield every broken promise; the jobs of *begun_anew* may have forgotten their trouble."""
        ids = [message.id for message in self.posted]
        if self.posted != self.sent or len(set(ids)) != len(ids):
            yield f"posted {self.posted}, to be delivered {self.sent}"
        for row in self.after.values():
            wanted = self.files.get(row.name)
            is_stale = row.creation is None and wanted is not None and wanted.stale
            if row.progress.alert.cause == AlertCause.STALE_CONFIG and not is_stale:
                yield f"{row.name} is in trouble because of a file that is good: {row}"
        # Messages name a job: of jobs that share a name they may be of either.
        for name in ({name for name, _ in self.told} | {*self.after}) - begun_anew - self.shared:
            old, new = self.before.get(name), self.after.get(name)
            if old is None or new is None or old.job_id == new.job_id:
                yield from self._of_job(name, old, new)

    def _of_job(self, name: str, old: StoredJob | None, new: StoredJob | None) -> Iterator[str]:
        """One message on entering and one on leaving, in the batch with the state that says so."""
        was_in = bool(old and old.progress.alert.cause)
        is_in = bool(new and new.progress.alert.cause)
        if any(row is not None and row.name in self.shared for row in (old, new)):
            return
        policies = [
            alert
            for row in (old, new)
            if row is not None and (alert := self.store.definitions[row.revision].alert)
        ]
        is_paused = any(row is not None and row.progress.pause is not None for row in (old, new))
        may_leave_silently = is_paused or any(not policy.recovery for policy in policies)
        users = {user for job, user in self.told if job == name}
        for user in users:
            state = was_in
            for is_trouble in self.told[name, user]:
                if is_trouble is state and not (is_trouble and may_leave_silently):
                    yield f"{name}: the same was told twice: {self.told[name, user]}, {old}"
                state = is_trouble
            if new is not None and state is not is_in and not (state and may_leave_silently):
                yield f"{name}: {self.told[name, user]} was told, stored is {new.progress.alert}"
        if is_in and not was_in and not users:
            yield f"{name} is in trouble, and nobody was told: {new}"
        if was_in and new is not None and not is_in and not users and not may_leave_silently:
            yield from self._silent_end(name, policies)
        if users and not any(users == {*policy.to} for policy in policies):
            yield f"{name}: {users} were told, and not as in {policies}"

    @staticmethod
    def _silent_end(name: str, policies: Sequence[AlertPolicy]) -> Iterator[str]:
        if len(policies) == 2:  # with a policy before and after, somebody is to be told
            yield f"{name} is out of trouble, and nobody was told: {policies}"
