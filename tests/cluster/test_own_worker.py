"""The output of runs on a node, in its log: after the line that they have started."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("procrastinate")

from luad.cluster.mirror import Mirror
from luad.cluster.own_worker import WorkerReports
from luad.core.events import AttemptEnded
from luad.core.model import Ending, EndKind, Now
from luad.core.shards import shard_of
from luad.core.state import Bounds


class Worker:
    """One that has the attempt of a run that no mirror has seen yet."""

    def shard_of(self, _key: tuple[str, int]) -> int:
        return shard_of("quick")

    def take_event(self, _event: object) -> None:
        pass

    def take_lines(self, *_: object) -> None:
        pass


class Lines:
    """The log: what was written of the output of runs."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def emit(self, _level: str, event: str, fields: dict[str, Any]) -> None:
        assert event == "run.output"
        self.lines.append(fields["message"])


@pytest.mark.parametrize("is_mine", [True, False], ids=["this node decides", "another one does"])
def test_output_of_a_run_that_ends_at_once_waits_for_the_line_of_the_node_that_decides(
    is_mine: bool,
) -> None:
    log: Any = Lines()
    unused: Any = None
    reports = WorkerReports(
        Mirror(Bounds(1), Now(0, 0), lambda _: None), log, unused, unused, unused
    )
    worker: Any = Worker()
    reports.worker = worker
    reports.follow = lambda *_: None
    reports.decides_for = lambda shard: is_mine and shard == shard_of("quick")
    reports.take_lines("run_1", 1, "quick", [{"message": "hello"}])
    reports.take_event(AttemptEnded("run_1", 1, Ending(EndKind.RETURNED, 5)))
    assert log.lines == ([] if is_mine else ["hello"])
    reports.order.release("run_1", is_last=True)
    assert log.lines == ["hello"]
