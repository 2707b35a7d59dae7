"""The keepers below one spawner: at least two for each key, so that one that dies costs only its own runs.

Rule: chooses the keeper of an attempt. A dead keeper is replaced when the next one is needed.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from luad.runner.keeper_link import KeeperLink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from luad.core.events import StartAttempt
    from luad.runner.attempt import Attempt
    from luad.runner.spawner_link import SpawnerLink

_COUNT: Final = 2  # for each key


def key_of(_start: StartAttempt) -> str:
    """Return the key of the keepers that may run an attempt; for now there is one."""
    return ""


class Keepers:
    """The keepers of *spawner*."""

    def __init__(
        self,
        spawner: SpawnerLink,
        *,
        on_frame: Callable[[Attempt, dict[str, Any]], None],
        on_gone: Callable[[KeeperLink], None],
    ) -> None:
        self._spawner = spawner
        self._on_frame = on_frame
        self._on_gone = on_gone
        self._links: dict[str, list[KeeperLink]] = {}

    def __iter__(self) -> Iterator[KeeperLink]:
        return (link for links in self._links.values() for link in links)

    def prepare(self, key: str = "") -> None:
        """Make the keepers of *key* that are missing. Raises ``OSError`` if there is none."""
        links = [link for link in self._links.get(key, ()) if link.is_open]
        self._links[key] = links
        try:
            while len(links) < _COUNT:
                links.append(
                    KeeperLink(self._spawner, on_frame=self._on_frame, on_gone=self._on_gone)
                )
        except OSError:
            if not links:
                raise

    def pick(self, key: str) -> KeeperLink:
        """Return the keeper of *key* with the fewest runs. Raises ``OSError`` if none can be made."""
        self.prepare(key)
        links = self._links[key]
        ready = [link for link in links if link.process is not None] or links
        return min(ready, key=lambda link: len(link.attempts))

    def replace(self) -> None:
        """Make new keepers for those that are gone, as far as that is possible now."""
        with suppress(OSError):
            for key in self._links:
                self.prepare(key)

    def close(self) -> None:
        """Close all connections."""
        for link in self:
            link.close()
