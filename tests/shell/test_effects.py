"""The daemon carries out the effects of the engine that are not records."""

import asyncio
from collections.abc import Mapping
from typing import Any

from luad.core.events import Log, ReleaseOutput, Reply, logged
from luad.daemon.effects import DaemonEffects
from luad.daemon.replies import Replies
from luad.daemon.run_output import LineOrder


class Lines:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, Mapping[str, Any]]] = []

    def emit(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        del level
        self.lines.append((event, fields))


def effects(log: Any, order: Any = None, replies: Any = None) -> DaemonEffects:
    nothing: Any = None
    return DaemonEffects(nothing, log, order, replies, nothing, nothing, nothing)


def test_an_instant_is_logged_as_a_date_whatever_its_field_is_called() -> None:
    log = Lines()
    fields = {"some_time": logged(0), "until": logged(None), "count": 1_000}
    effects(log).log(Log("job.paused", fields))
    shown = {"some_time": "1970-01-01T00:00:00Z", "until": None, "count": 1_000}
    assert log.lines == [("job.paused", shown)]


def test_output_waits_until_the_engine_releases_it_and_is_logged_at_once_afterwards() -> None:
    written: list[str] = []
    order = LineOrder(
        lambda _run_id, _job, lines: written.extend(each["message"] for each in lines)
    )
    order.put("run_1", "a", [{"message": "early"}])
    order.put("run_2", "b", [{"message": "of another run"}])
    assert written == []
    effects(Lines(), order).release_output(ReleaseOutput("run_1"))
    order.put("run_1", "a", [{"message": "late"}])
    assert written == ["early", "late"]


def test_a_run_that_is_over_leaves_nothing_behind() -> None:
    written: list[str] = []
    order = LineOrder(
        lambda _run_id, _job, lines: written.extend(each["message"] for each in lines)
    )
    order.put("run_1", "a", [{"message": "only"}])
    effects(Lines(), order).release_output(ReleaseOutput("run_1", is_last=True))
    assert written == ["only"]
    order.put("run_1", "a", [{"message": "of another life"}])
    assert written == ["only"]


async def test_a_reply_reaches_its_request_and_one_without_a_request_is_dropped() -> None:
    replies = Replies()
    waiting = replies.expect("req_1")
    sender = effects(Lines(), replies=replies)
    sender.reply(Reply("req_2"))
    sender.reply(Reply("req_1", value=1))
    assert (await asyncio.wait_for(waiting, 1)).value == 1
