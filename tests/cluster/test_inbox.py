"""Rows of the inbox: every request and report comes back as it was, and what no engine can take is told."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from luad.cluster.bodies import BadBodyError
from luad.cluster.inbox import InboxKind, InboxRow, body_of, event_of, reply_body, reply_of
from luad.core.events import AttemptEnded, AttemptStarted, Reply
from luad.core.model import (
    AlertCause,
    AlertPolicy,
    Creation,
    Cron,
    Ending,
    EndKind,
    Interval,
    Job,
    Limits,
    Once,
    ProcessIdentity,
    Reason,
    Run,
    RunError,
    RunState,
    Schedule,
    Trigger,
    Wanted,
)
from luad.core.requests import (
    AcknowledgeRequested,
    AnswerKey,
    CancelRequested,
    ChangeRequested,
    Created,
    CreateRequested,
    DeleteRequested,
    MetadataRequested,
    NewJob,
    PauseRequested,
    Request,
    ResumeRequested,
    RetryRequested,
    TriggerRequested,
)

UNLUCKY = {"nul": "a\0b", "lone": "\ud800", "deep": [{"a": [1, None, True]}], "ü": 1.5}


def job(schedule: Schedule) -> Job:
    alert = AlertPolicy(("ann",), None, 2, also=(AlertCause.TIMEOUT,))
    return Job(
        "a.b", "m:f", schedule, "rev", tags=("x", "y"), env=(("A", "b"),), timeout_ms=None,
        limits=Limits(1), alert=alert, metadata=UNLUCKY, definition={"name": "a.b"},
    )  # fmt: skip


RUN = Run(
    "run_a", "a.b", "job_a", "rev", Trigger.RETRY, 1, 2, 3, RunState.CANCELLED, 2, metadata=UNLUCKY,
    identity=ProcessIdentity(1, 2, "boot"), reason=Reason.REPLACED,
    ending=Ending(EndKind.RAISED, 4, 1, 9, RunError("A", "b\0", "c"), "null", is_retryable=False),
)  # fmt: skip
KEY = AnswerKey("key", "print")
REQUESTS: tuple[Request, ...] = (
    TriggerRequested("q", "a.b", Trigger.API, UNLUCKY, True, KEY, job(Interval(5, 6)), True),
    TriggerRequested("q", "a.b", Trigger.MANUAL),
    RetryRequested("q", RUN, KEY),
    CancelRequested("q", "run_a", True),
    PauseRequested("q", "a.b", "why", "ann", 5, True),
    ResumeRequested("q", "a.b", "all"),
    AcknowledgeRequested("q", "a.b", "ann", "note", 5),
    CreateRequested(
        "q",
        (
            NewJob(Wanted(job(Cron("* * * * *")), creation=Creation(1, "ann", "run_a")), "keep"),
            NewJob(Wanted(job(Once(7)), creation=Creation(1)), pause_reason="not yet"),
        ),
        KEY,
    ),
    ChangeRequested("q", "a.b", job(Once(7, "Europe/Riga")), "rev", "tag"),
    DeleteRequested("q", "a.b", "tag"),
    MetadataRequested("q", "a.b", UNLUCKY, "replace", None, True),
)


def test_every_kind_of_request_is_among_the_examples() -> None:
    assert {type(each) for each in REQUESTS} == {*get_args(Request)}


@pytest.mark.parametrize("event", REQUESTS, ids=lambda each: type(each).__name__)
def test_a_request_comes_back_as_it_was(event: Request) -> None:
    body = body_of(event)
    assert body.isascii()
    assert "\0" not in body
    assert event_of(InboxRow(1, 2, InboxKind.REQUEST, body, "q", "ann")) == event


@pytest.mark.parametrize(
    "report",
    [
        AttemptStarted("run_a", 1, 5, ProcessIdentity(1, 2, "boot")),
        AttemptEnded("run_a", 2, RUN.ending),  # type: ignore[arg-type]
        AttemptEnded("run_a", 2, Ending(EndKind.LOST, 4)),
    ],
)
def test_a_report_comes_back_as_it_was_and_is_short(report: AttemptStarted | AttemptEnded) -> None:
    body = body_of(report)
    assert event_of(InboxRow(1, 2, InboxKind.REPORT, body)) == report
    assert len(body) < 300


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("request", "{"),
        ("request", "[]"),
        ("request", '{"is": "Exploded", "request_id": "q"}'),
        ("request", '{"is": "CancelRequested", "request_id": "q"}'),
        ("request", '{"is": "CancelRequested", "request_id": "other", "run_id": "r"}'),
        ("request", '{"is": "AttemptEnded", "run_id": "r", "attempt": 1, "ending": {"kind": "lost", "at": 1}}'),
        ("request", '{"is": "ResumeRequested", "request_id": "q", "job_name": {"is": 1'),
        ("report", '{"is": "AttemptEnded", "run_id": "r", "attempt": 1, "ending": {"kind": "vanished", "at": 1}}'),
        ("report", '{"is": "CancelRequested", "request_id": "q", "run_id": "r"}'),
        ("report", '{"is": "Run"}'),
        ("question", '{"is": "CancelRequested", "request_id": "q", "run_id": "r"}'),
        ("request", "[" * 100_000),
    ],
)  # fmt: skip
def test_a_row_that_no_engine_can_take_is_told(kind: str, body: str) -> None:
    with pytest.raises(BadBodyError):
        event_of(InboxRow(1, 2, kind, body, "q"))


def test_fields_of_a_newer_version_are_ignored() -> None:
    body = json.loads(body_of(CancelRequested("q", "run_a")))
    body["urgency"] = "high"
    row = InboxRow(1, 2, InboxKind.REQUEST, json.dumps(body), "q")
    assert event_of(row) == CancelRequested("q", "run_a")


@pytest.mark.parametrize(
    "value",
    [
        None,
        RUN,
        UNLUCKY,
        (Created("a.b", "created", "job_a"), Created("c", "refused", error="x")),
        (),
    ],
)
def test_a_reply_comes_back_as_it_was(value: object) -> None:
    reply = Reply("q", value, "conflict", "no", "do")
    assert reply_of("q", reply_body(reply)) == reply
