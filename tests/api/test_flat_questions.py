"""Questions take as many steps with ten thousand jobs as with a hundred.

A step is a call of a function, Python's or C's, in any turn of the loop while the question is answered.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.loop_steps import LoopSteps

from luad.config.users.user_file import LoadedUsers
from luad.core.messaging import User
from luad.core.model import Cron, Once, Origin
from luad.errors import Problem

FEW, MANY = 100, 10_000
SLACK = 1.25
"""Halving a longer list takes some steps more; a step for every job would be a hundred times as many."""

ORIGIN = Origin("users.d/all.yaml")
QUESTIONS = [
    "/v1/jobs?limit=20",
    "/v1/jobs?limit=20&count=1&include_dynamic=1",
    "/v1/jobs?limit=20&tag=rare",
    "/v1/jobs?limit=20&status=paused",
    "/v1/jobs?limit=20&health=failing",
    "/v1/jobs?limit=20&user=ann&include_dynamic=1",
    "/v1/jobs?limit=20&prefix=job-0000",
    "/v1/jobs?limit=20&sort=next",
    "/v1/jobs?limit=501",
    "/v1/jobs?status=wrong",
    "/v1/jobs/job-0000",
    "/v1/jobs/job-00007x",
    "/v1/jobs/job_nowhere",
    "/v1/status",
    "/v1/healthz",
    "/v1/schedule?limit=20",
    "/v1/schedule?limit=0",
    "/v1/schedule?until=2026-11-22T12:30:00Z",
]


async def costs(api: Any, steps: LoopSteps) -> dict[str, int]:
    """Return the steps of each question; the second time, when everything is imported and cached."""
    found = {}
    for path in QUESTIONS:
        await api.get(path)
        steps.count = 0
        await api.get(path)
        found[path] = steps.count
    return found


async def test_a_question_costs_what_it_returns(
    api: Any, daemon: Any, kit: Any, steps: LoopSteps
) -> None:
    rare = [kit.make_job(f"a-{number}", tags=("rare",), enabled=False) for number in range(5)]
    near = [kit.make_job(f"b-{number}", schedule=Cron("*/5 * * * *")) for number in range(30)]
    daemon.troubles = (Problem("jobs.d/broken.yaml", 1, 1, "LU101", "it is broken"),)

    def jobs(first: int, end: int) -> list[Any]:
        return [
            kit.make_job(f"job-{number:05}", schedule=Once(daemon.clock.wall + 10**9 + number))
            for number in range(first, end)
        ]

    few = jobs(0, FEW)
    await daemon.install(*rare, *near, *few)
    before = await costs(api, steps)
    await daemon.install(*jobs(FEW, MANY))
    after = await costs(api, steps)
    grown = {path: (before[path], after[path]) for path in QUESTIONS}
    assert all(most <= SLACK * least for least, most in grown.values()), grown


class CountedId(str):
    """An id whose comparisons are calls in Python, so a sort of many ids is many steps."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __lt__(self, other: str) -> bool:
        return str.__lt__(self, other)

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other)


async def user_costs(api: Any, steps: LoopSteps) -> dict[str, int]:
    """Return the steps of changes of one user, and of questions for one."""
    found = {}
    for name, method, path, body in (
        ("add", "POST", "/v1/users", {"id": "zoe", "emails": ["zoe@example.com"]}),
        ("change", "PATCH", "/v1/users/zoe", {"phones": ["+44 20 7946 0018"]}),
        ("by address", "GET", "/v1/users?email=ZOE@example.com", None),
        ("by number", "GET", "/v1/users?phone=442079460018", None),
        ("misspelt", "GET", "/v1/users/zpe", None),
        ("status", "GET", "/v1/status", None),
        ("remove", "DELETE", "/v1/users/zoe", None),
    ):
        steps.count = 0
        answer = await api.ask(method, path, body)
        found[name] = steps.count
        assert answer.status == (404 if name == "misspelt" else 201 if name == "add" else 200), name
    return found


async def test_one_user_costs_the_same_among_many(api: Any, daemon: Any, steps: LoopSteps) -> None:
    def load(count: int) -> None:
        users = [
            User(
                id=CountedId(f"user-{number:05}"), emails=(f"{number}@example.com",), origin=ORIGIN
            )
            for number in range(count)
        ]
        daemon.users.load(LoadedUsers({user.id: user for user in users}))

    load(FEW)
    await user_costs(api, steps)
    before = await user_costs(api, steps)
    load(MANY)
    after = await user_costs(api, steps)
    grown = {name: (before[name], after[name]) for name in before}
    assert all(most <= SLACK * least for least, most in grown.values()), grown


async def test_pages_join_to_the_whole_list_while_jobs_come_and_go(
    api: Any, daemon: Any, kit: Any
) -> None:
    names = [f"job-{number:03}" for number in range(60)]
    await daemon.install(*(kit.make_job(name) for name in names))
    found: list[str] = []
    cursor = ""
    while cursor is not None:
        answer = (await api.get(f"/v1/jobs?limit=7&cursor={cursor}")).json
        found += [job["name"] for job in answer["jobs"]]
        cursor = answer["next_cursor"]
        await daemon.install(kit.make_job(f"aaa-{len(found)}"))
        daemon.wanted.pop(found[-1])
        await daemon.install()
    assert found == names


async def test_a_job_that_goes_while_the_list_is_sent_leaves_sound_json(
    api: Any, daemon: Any, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await daemon.install(*(kit.make_job(f"job-{number:03}") for number in range(60)))
    look, seen = daemon.installed.at, list[str]()

    def at(place: str) -> Any:
        seen.append(place)
        return None if place.endswith(("000", "024", "059")) else look(place)

    monkeypatch.setattr(daemon.installed, "at", at)
    answer = await api.get("/v1/jobs")
    assert len(json.loads(answer.body)["jobs"]) == 57
    assert len(seen) == 60
