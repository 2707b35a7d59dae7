"""Places of connections: their number, and the connection that is closed when all are taken.

The Unix socket and TCP have limits of their own, so neither takes places of the other. Over TCP connections
are counted in groups (one address), and a group has a share of the places.

    taken      a request of this connection is answered            at most *room*, of a group its share
    waiting    no place was free; a request takes one if it can     as many again
    turned away   not even a place to wait in                       hung up on

Rule: looks for a free place and takes it in one step, without an `await` between.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Protocol


class CountedConnection(Protocol):
    """The parts of a connection that its limits need."""

    @property
    def is_idle(self) -> bool:
        """Return whether no request of it is being answered."""
        ...

    @property
    def idle_since(self) -> float:
        """Return since when it is idle, in seconds of the loop's clock."""
        ...

    def hang_up(self) -> None:
        """End it at once."""
        ...


@dataclass(eq=False, slots=True)
class Place:
    """The place of one connection. *share*: places that its *group* may have together."""

    connection: CountedConnection
    group: str
    share: int
    is_taken: bool = False
    is_known: bool = False  # a request with a valid token has come over it


class ConnectionLimits:
    """The connections of one listener: *room* of them are answered, as many again may wait."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._places: dict[Place, None] = {}
        self._taken: Counter[str] = Counter()
        self._waiting: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._places)

    def enter(
        self, connection: CountedConnection, group: str, share: int, idle_before: float
    ) -> Place | None:
        """Return the place of a newcomer; None when there is not even one to wait in.

        A connection that is idle since before *idle_before* makes room for it.
        """
        place = Place(connection, group, min(share, self.room))
        is_taken = self._take(place)
        if not is_taken:
            self._displace(place, idle_before, must_be_taken=True)
            is_taken = self._take(place)
        if not is_taken:
            if not self._has_waiting_room(place):
                self._displace(place, float("inf"), must_be_taken=False)
            if not self._has_waiting_room(place):
                return None
            self._waiting[group] += 1
        self._places[place] = None
        return place

    def claim(self, place: Place, *, is_known: bool = False) -> bool:
        """Return whether a request over *place* is answered; takes a place for it if it has none.

        A request with a valid token takes the place of an idle connection without one.
        """
        place.is_known = place.is_known or is_known
        if place.is_taken or place not in self._places:
            return place.is_taken
        is_taken = self._take(place)
        if not is_taken and is_known:
            self._displace(place, float("inf"), must_be_taken=True)
            is_taken = self._take(place)
        if is_taken:
            _count_down(self._waiting, place.group)
        return is_taken

    def leave(self, place: Place) -> None:
        """Give a place back; twice is fine."""
        if place in self._places:
            del self._places[place]
            _count_down(self._taken if place.is_taken else self._waiting, place.group)

    # --- inside ---

    def _take(self, place: Place) -> bool:
        is_free = self._taken.total() < self.room and self._taken[place.group] < place.share
        if is_free:
            self._taken[place.group] += 1
            place.is_taken = True
        return is_free

    def _has_waiting_room(self, place: Place) -> bool:
        is_free = self._waiting.total() < self.room
        return is_free and self._waiting[place.group] < place.share

    def _displace(self, newcomer: Place, idle_before: float, *, must_be_taken: bool) -> None:
        """Hang up on the connection that needs its place least, if there is one.

        A group that has its whole share gives way itself. A connection that has shown a valid token
        gives way only to another one.
        """
        counts = self._taken if must_be_taken else self._waiting
        has_whole_share = counts[newcomer.group] >= newcomer.share
        candidates = [
            each
            for each in self._places
            if each.is_taken == must_be_taken
            and each.connection.is_idle
            and each.connection.idle_since <= idle_before
            and (newcomer.is_known or not each.is_known)
            and (not has_whole_share or each.group == newcomer.group)
        ]
        least = min(
            candidates,
            key=lambda each: (each.is_known, -counts[each.group], each.connection.idle_since),
            default=None,
        )
        if least is not None:
            self.leave(least)
            least.connection.hang_up()


class Shares:
    """Counts the requests in progress: at most *most*, and *share* for one owner."""

    def __init__(self, most: int, share: int) -> None:
        self.most = most
        self.share = share
        self._counts: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._counts.total()

    def of(self, owner: str) -> int:
        """Return how many *owner* has."""
        return self._counts[owner]

    def take(self, owner: str) -> bool:
        """Take one for *owner*; False when there is none left for it."""
        if self._counts.total() >= self.most or self._counts[owner] >= self.share:
            return False
        self._counts[owner] += 1
        return True

    def give_back(self, owner: str) -> None:
        """Give one back that was taken."""
        _count_down(self._counts, owner)


def _count_down(counts: Counter[str], key: str) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
