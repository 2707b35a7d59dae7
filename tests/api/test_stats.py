"""Routes of statistics, and how long their answers are kept."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.long_history import fill

from luad.api.http import kept_answers
from luad.api.http.kept_answers import KeptAnswers
from luad.core.model import EndKind, RunError

QUARTER = 15 * 60_000


async def test_the_numbers_of_a_job(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job())
    for kind in (EndKind.RETURNED, EndKind.RAISED, EndKind.RETURNED):
        await daemon.pass_time(QUARTER)
        await daemon.begin()
        daemon.clock.wall += 2_000
        await daemon.end(
            kind, error=RunError("KeyError", "x", "") if kind is EndKind.RAISED else None
        )
    answer = (await api.get("/v1/jobs/tidy/stats")).json
    assert (answer["job"], answer["runs"], answer["success_rate"]) == ("tidy", 3, 0.6667)
    assert (answer["status"]["succeeded"], answer["status"]["failed"]) == (2, 1)
    assert (answer["p50_ms"], answer["p95_ms"], answer["longest_ms"]) == (2_000, 2_000, 2_000)
    assert (await api.get("/v1/jobs/tidy/stats?runs=1")).json["runs"] == 1
    assert (await api.get("/v1/jobs/tidy/stats?runs=1001")).status == 422
    assert (await api.get("/v1/jobs/nothing/stats")).status == 404


async def test_the_numbers_of_the_last_hours(api: Any, daemon: Any, kit: Any) -> None:
    fill(daemon.store, kit.NOON - 7_200_000, 7_200)
    answer = (await api.get("/v1/stats?since=1h&by=hour")).json
    assert (answer["since"], answer["is_complete"]) == ("2026-11-22T11:00:00Z", True)
    assert (answer["total"]["runs"], [row["runs"] for row in answer["rows"]]) == (3_600, [3_600])
    assert answer["rows"][0]["at"] == "2026-11-22T11:00:00Z"
    answer = (await api.get("/v1/stats?since=2026-11-22T11:59:00Z&by=job")).json
    assert len(answer["rows"]) == 50
    assert sum(row["runs"] for row in answer["rows"]) == answer["total"]["runs"] == 60
    answer = (await api.get("/v1/stats")).json
    assert (answer["by"], answer["rows"], answer["total"]["runs"]) == ("status", [], 7_200)


@pytest.mark.parametrize(
    "query", ["since=soon", "since=2027-01-01T00:00:00Z", "since=93d", "by=minute"]
)
async def test_wrong_words_are_refused(api: Any, query: str) -> None:
    assert (await api.get(f"/v1/stats?{query}")).status == 422


async def test_an_answer_is_kept_and_computed_once_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: KeptAnswers[int] = KeptAnswers()
    calls, gate, now = [], asyncio.Event(), [0]
    monkeypatch.setattr(kept_answers, "elapsed_ms", lambda: now[0])

    async def work(number: int) -> int:
        calls.append(number)
        await gate.wait()
        if number < 0:
            raise ValueError(number)
        return number

    both = [asyncio.create_task(kept.get("a", work(number))) for number in (1, 2)]
    await asyncio.sleep(0)
    gate.set()
    assert (await asyncio.gather(*both), calls) == ([1, 1], [1])
    now[0] = kept_answers.KEPT_MS - 1
    assert await kept.get("a", work(3)) == 1
    now[0] += 1
    assert await kept.get("a", work(4)) == 4
    with pytest.raises(ValueError, match="-5"):
        await kept.get("b", work(-5))
    assert await kept.get("b", work(6)) == 6, "a failure is not kept"
    for number in range(kept_answers.MOST_KEPT):
        await kept.get(number, work(7))
    assert await kept.get("a", work(8)) == 8
