"""The jobs of a node's files: the set that it has read, and the set that its shards use.

Rule: a shard gets a changed set only once the set is in force. Else a node with older files could take the shard
meanwhile, and undo the change.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from luad.core.shards import shard_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luad.core.model import Wanted

_BITS: Final = 128


class SetDigest:
    """The digest of a set of jobs, kept up to date one job at a time; the order does not count."""

    def __init__(self) -> None:
        self._sum = 0
        self.count = 0

    def add(self, name: str, wanted: Wanted) -> None:
        """Add a job."""
        self._sum = (self._sum + _number(name, wanted)) % (1 << _BITS)
        self.count += 1

    def take(self, name: str, wanted: Wanted) -> None:
        """Take a job out again."""
        self._sum = (self._sum - _number(name, wanted)) % (1 << _BITS)
        self.count -= 1

    def __str__(self) -> str:
        return f"{self._sum:032x}"


def _number(name: str, wanted: Wanted) -> int:
    words = f"{name}\0{wanted.job.revision}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(words, digest_size=_BITS // 8).digest())


class Declared:
    """The jobs of this node's files. *digest*: of the set that was read; *used*: of the set that shards use."""

    def __init__(self) -> None:
        self._of_shard: dict[int, dict[str, Wanted]] = {}
        self._unused: dict[str, Wanted | None] = {}
        self.digest = SetDigest()
        self.used: str | None = None

    def of(self, shard: int) -> Mapping[str, Wanted]:
        """Return the jobs that *shard* uses, by name."""
        return self._of_shard.get(shard, {})

    def find(self, name: str) -> Wanted | None:
        """Return the job that was read."""
        if name in self._unused:
            return self._unused[name]
        return self.of(shard_of(name)).get(name)

    def is_stale(self, name: str) -> bool:
        """Return whether the file of the job is broken, so that its last good version runs."""
        wanted = self.find(name)
        return wanted is not None and wanted.stale

    def load(self, wanted: Mapping[str, Wanted]) -> None:
        """Replace all jobs, before the node has a shard."""
        self._of_shard.clear()
        self.digest = SetDigest()
        self.change(wanted)
        self.use()

    def change(self, items: Mapping[str, Wanted | None]) -> None:
        """Note changes of the files, None removes."""
        for name, wanted in items.items():
            before = self.find(name)
            if before is not None:
                self.digest.take(name, before)
            if wanted is not None:
                self.digest.add(name, wanted)
            self._unused[name] = wanted

    def use(self) -> dict[int, dict[str, Wanted | None]]:
        """Let the shards use the set that was read; return what that changes, by shard."""
        changes, self._unused = by_shard(self._unused), {}
        for shard, items in changes.items():
            jobs = self._of_shard.setdefault(shard, {})
            for name, wanted in items.items():
                jobs.pop(name, None)
                if wanted is not None:
                    jobs[name] = wanted
        self.used = str(self.digest)
        return changes


def by_shard(items: Mapping[str, Wanted | None]) -> dict[int, dict[str, Wanted | None]]:
    """Return *items* by shard."""
    found: dict[int, dict[str, Wanted | None]] = {}
    for name, wanted in items.items():
        found.setdefault(shard_of(name), {})[name] = wanted
    return found
