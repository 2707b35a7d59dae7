"""Names and ids in calls: an empty one is refused by its argument, any other is one segment of a path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from luad import Jobs, User, sync
from luad.errors import NotFoundError, ValidationError
from luad.sdk.ask import Ask
from luad.sdk.link import set_link


class Listener:
    """A link that notes what is asked for, and has none of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def call(self, ask: Ask) -> Any:
        self.asked.append(ask.path)
        raise NotFoundError("there is nobody")


@pytest.fixture
def link() -> Iterator[Listener]:
    listener = Listener()
    before = set_link(listener)
    yield listener
    set_link(before)


async def test_an_empty_name_is_refused_by_its_argument_and_asks_for_nothing(
    link: Listener,
) -> None:
    calls = [
        (lambda: Jobs.get(""), "id_or_name"),
        (lambda: User.get(""), "id"),
    ]
    for call, argument in calls:
        with pytest.raises(ValidationError, match=rf"^{argument}: it is empty") as caught:
            await call()
        assert caught.value.errors[0]["pointer"] == argument
    assert link.asked == []


def test_the_face_that_waits_refuses_it_as_well(link: Listener) -> None:
    with pytest.raises(ValidationError, match=r"^id_or_name: it is empty"):
        sync.Jobs.get("")
    with pytest.raises(ValidationError, match=r"^id: it is empty"):
        sync.User.get("")
    assert link.asked == []


async def test_a_slash_in_a_name_leads_to_no_other_path(link: Listener) -> None:
    with pytest.raises(NotFoundError):
        await Jobs.get("a/b")
    assert await User.get("../jobs") is None
    assert link.asked == ["/jobs/a%2Fb", "/users/..%2Fjobs"]
