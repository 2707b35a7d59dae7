"""Slots: the limit of runs at once, and the order of the runs that wait.

Rule: knows run ids and job names, nothing about time or processes.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque


class Slots:
    """At most *capacity* runs at once; waiting runs get slots job by job, in turn.

    A job with a thousand waiting runs delays a run of another job by one place, not by a thousand.
    """

    def __init__(self, capacity: int) -> None:
        assert capacity >= 1
        self.capacity = capacity
        self._taken: set[str] = set()
        self._waiting: OrderedDict[str, deque[str]] = OrderedDict()

    @property
    def taken_count(self) -> int:
        """The number of runs that have a slot."""
        return len(self._taken)

    @property
    def waiting_count(self) -> int:
        """The number of runs that wait for a slot."""
        return sum(map(len, self._waiting.values()))

    @property
    def is_any_waiting(self) -> bool:
        """True if a run waits for a slot."""
        return bool(self._waiting)

    def take(self, run_id: str) -> bool:
        """Give *run_id* a slot if one is free and no run waits; return whether it did."""
        assert run_id not in self._taken
        if len(self._taken) >= self.capacity or self._waiting:
            return False
        self._taken.add(run_id)
        return True

    def wait(self, run_id: str, job_name: str) -> None:
        """Put *run_id* at the end of its job's queue."""
        self._waiting.setdefault(job_name, deque()).append(run_id)

    def next(self) -> str | None:
        """Give a free slot to the next waiting run, and return its id; None without one."""
        if len(self._taken) >= self.capacity or not self._waiting:
            return None
        job_name, queue = self._waiting.popitem(last=False)
        run_id = queue.popleft()
        if queue:
            self._waiting[job_name] = queue  # at the end: the other jobs come first
        self._taken.add(run_id)
        return run_id

    def free(self, run_id: str, job_name: str) -> None:
        """Free the slot of *run_id*, or remove it from its job's queue; do nothing without either."""
        if run_id in self._taken:
            self._taken.remove(run_id)
            return
        queue = self._waiting.get(job_name)
        if queue is not None and run_id in queue:
            queue.remove(run_id)
            if not queue:
                del self._waiting[job_name]


class UnservedRuns:
    """The runs that wait because no worker serves their queue."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()  # of runs, by queue
        self._queues: dict[str, str] = {}  # by run id

    def queue_of(self, run_id: str) -> str | None:
        """Return the queue that *run_id* waits in; None if it waits for no worker."""
        return self._queues.get(run_id)

    def add(self, run_id: str, queue: str) -> None:
        """Let *run_id* wait in *queue*."""
        self._queues[run_id] = queue
        self.counts[queue] += 1

    def discard(self, run_id: str) -> bool:
        """Remove *run_id*; return whether it was there."""
        queue = self._queues.pop(run_id, None)
        if queue is None:
            return False
        self.counts[queue] -= 1
        if not self.counts[queue]:
            del self.counts[queue]
        return True
