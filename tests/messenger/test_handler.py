"""The handler that `luad remind` makes jobs of."""

from __future__ import annotations

import pytest

from luad import Text
from luad.testing import fake_user, run_job

SEND = "luad.handlers.message:send"


async def test_it_tells_the_person_whom_the_job_is_for() -> None:
    metadata = {"text": "The water boils.", "title": "Tea"}
    run = await run_job(SEND, user=fake_user("ann"), metadata=metadata)
    assert run.status == "succeeded"
    assert run.sent == [Text("The water boils.")]
    assert run.result == {"user": "ann", "arrived": ["inbox"]}


@pytest.mark.parametrize(
    ("metadata", "user", "says"),
    [
        ({}, "ann", "`text`"),
        ({"text": " "}, "ann", "`text`"),
        ({"text": "x", "titel": "y"}, "ann", "title"),
        ({"text": "x"}, None, "has no user"),
    ],
)
async def test_what_it_cannot_do_fails_the_run_with_a_reason(
    metadata: dict[str, str], user: str | None, says: str
) -> None:
    run = await run_job(SEND, user=fake_user(user) if user else None, metadata=metadata)
    assert (run.status, run.sent) == ("failed", [])
    assert says in run.error["message"]
