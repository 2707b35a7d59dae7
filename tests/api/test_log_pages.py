"""Pages of the log of a run, upwards from its end."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.long_history import counted

LINES = 1_000


@pytest.fixture
async def run_id(api: Any, daemon: Any, kit: Any) -> str:
    await daemon.install(kit.make_job())
    await api.post("/v1/jobs/tidy/trigger")
    found = str(await daemon.begin())
    for start in range(0, LINES, 50):
        await daemon.print(
            found, "tidy", *(f"Line {n} {'x' * 3_000}" for n in range(start, start + 50))
        )
    await daemon.end()
    return found


def numbers(answer: Any) -> list[int]:
    return [json.loads(line)["line_number"] for line in answer.body.decode().splitlines()]


async def pages(api: Any, path: str) -> list[list[int]]:
    found = []
    while path:
        answer = await api.get(path)
        assert answer.status == 200, answer.json
        found.append(numbers(answer))
        link = answer.headers.get("link", "")
        path = link[1 : link.index(">")] if link else ""
    return found


async def test_pages_lead_from_the_end_to_the_beginning(api: Any, daemon: Any, run_id: str) -> None:
    found = await pages(api, f"/v1/runs/{run_id}/log?limit=300")
    assert [len(each) for each in found] == [300, 300, 300, 100]
    assert [number for page in found[::-1] for number in page] == list(range(1, LINES + 1))
    with counted(daemon.store) as steps:
        answer = await api.get(f"/v1/runs/{run_id}/log?before=11&limit=5")
    assert numbers(answer) == [6, 7, 8, 9, 10]
    assert answer.headers["luad-is-complete"] == "true"
    assert steps.count < 3_000
    text = (await api.get(f"/v1/runs/{run_id}/log?before=3&limit=5&format=text")).body.decode()
    assert [line.split()[1] for line in text.splitlines()] == ["0", "1"]


async def test_a_search_in_the_log_goes_on_where_its_time_was_over(
    api: Any, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert numbers(await api.get(f"/v1/runs/{run_id}/log?q=line%20777%20")) == [778]
    monkeypatch.setattr("luad.store.query_budget.BUDGET_MS", 0)
    answer = await api.get(f"/v1/runs/{run_id}/log?q=line%207%20")
    assert (numbers(answer), answer.headers["luad-is-complete"]) == ([], "false")
    found = await pages(api, f"/v1/runs/{run_id}/log?q=line%207%20")
    assert [number for page in found for number in page] == [8]
    assert len(found) > 5


@pytest.mark.parametrize(
    "query", ["before=0", "limit=2001", "limit=5&tail=3", "q=x&follow=1", "before=3&format=sse"]
)
async def test_wrong_words_are_refused(api: Any, run_id: str, query: str) -> None:
    assert (await api.get(f"/v1/runs/{run_id}/log?{query}")).status == 422
