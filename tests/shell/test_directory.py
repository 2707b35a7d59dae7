"""People from files and people added at run time, as the API is told of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from luad.clock import SystemClock
from luad.config.users.user_file import LoadedUsers, load_users
from luad.daemon.user_directory import UserDirectory
from luad.errors import ConflictError, NotFoundError, Severity, ValidationError
from luad.store import Store

ANN = b"id: ann\nemails: [Ann@Example.com]\nphones: ['+44 20 7946 0018']\n"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store.open(tmp_path / "state", clock=SystemClock())) as opened:
        yield opened


def directory(store: Store, data: bytes = b"") -> UserDirectory:
    made = UserDirectory(store, SystemClock())
    users = load_users("users.d/a.yaml", data).users
    made.restore()
    made.load(LoadedUsers({each.id: each for each in users}))
    return made


async def test_somebody_is_found_by_address_and_by_number(store: Store) -> None:
    users = directory(store, ANN + b"---\nid: ben\n")
    assert [each.id for each in users.all()] == ["ann", "ben"]
    for found in (
        users.get("ann"),
        users.find(email="ann@example.COM"),
        users.find(phone="442079460018"),
        users.find(phone="+44 (20) 7946-0018"),
    ):
        assert found is not None
        assert found.id == "ann"
    assert users.find(email="ben@example.com") is None
    assert users.find(phone="no number") is None
    assert users.get("an") is None


async def test_who_was_added_is_there_after_a_restart(store: Store) -> None:
    users = directory(store)
    await users.add({"id": "cy", "full_name": "Cy"}, if_exists="error")
    await users.change("cy", {"full_name": None, "emails": ["cy@example.com"]})
    again = directory(store, ANN)
    cy = again.get("cy")
    assert cy is not None
    assert (cy.full_name, cy.emails, cy.origin) == ("", ("cy@example.com",), None)
    await again.remove("cy")
    assert directory(store).get("cy") is None


async def test_who_is_there_already_is_kept_replaced_or_refused(store: Store) -> None:
    users = directory(store)
    await users.add({"id": "cy", "full_name": "One"}, if_exists="error")
    kept = await users.add({"id": "cy", "full_name": "Two"}, if_exists="keep")
    assert kept.full_name == "One"
    replaced = await users.add({"id": "cy", "full_name": "Two"}, if_exists="replace")
    assert replaced.full_name == "Two"
    with pytest.raises(ConflictError, match="the user `cy` already exists"):
        await users.add({"id": "cy"}, if_exists="error")


async def test_of_two_who_add_the_same_at_once_one_is_refused(store: Store) -> None:
    users = directory(store)
    bodies = [{"id": "cy", "full_name": str(number)} for number in range(5)]
    done = await asyncio.gather(
        *(users.add(body, if_exists="error") for body in bodies), return_exceptions=True
    )
    assert sum(isinstance(each, ConflictError) for each in done) == 4


async def test_people_from_files_are_changed_in_their_files(store: Store) -> None:
    users = directory(store, ANN)
    with pytest.raises(ConflictError, match=r"users\.d/a\.yaml:1") as caught:
        await users.change("ann", {"full_name": "Ann"})
    assert caught.value.code == "file_owned"
    with pytest.raises(ConflictError):
        await users.remove("ann")
    with pytest.raises(ConflictError):
        await users.add({"id": "ann"}, if_exists="replace")
    with pytest.raises(NotFoundError):
        await users.remove("nobody")
    with pytest.raises(ValidationError):
        await users.add({"id": "a b"}, if_exists="error")


async def test_an_id_is_for_good(store: Store) -> None:
    users = directory(store)
    await users.add({"id": "cy"}, if_exists="error")
    for value in ("di", None):
        with pytest.raises(ValidationError, match="cannot be changed"):
            await users.change("cy", {"id": value})


async def test_an_id_that_a_file_takes_later_is_a_problem_that_names_both(store: Store) -> None:
    users = directory(store)
    await users.add({"id": "ann", "full_name": "First"}, if_exists="error")
    users.load(LoadedUsers({each.id: each for each in load_users("a.yaml", ANN).users}))
    first = users.get("ann")
    assert first is not None
    assert first.origin is not None, "the file wins"
    (problem,) = users.problems()
    assert (problem.path, problem.line, problem.code) == ("a.yaml", 1, "LU402")
    assert problem.severity is Severity.WARNING
    assert "added at run time" in problem.message
    await users.remove("ann")
    assert (users.problems(), users.get("ann")) == ((), first)
    with pytest.raises(ConflictError, match=r"a\.yaml"):
        await users.remove("ann")


async def test_whom_no_schema_takes_any_more_is_told_and_not_lost(store: Store) -> None:
    await store.users.save("old", {"id": "old", "colour": "red"}, "x", 0)
    users = UserDirectory(store, SystemClock())
    (problem,) = users.restore()
    assert problem.code == "LU607"
    assert users.get("old") is None
    assert [user_id for user_id, _ in store.users.all()] == ["old"]
