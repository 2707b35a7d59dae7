"""The recent runs of a page of jobs, read from the store."""

from __future__ import annotations

from typing import Any

import pytest
from support.long_history import counted

QUARTER = 15 * 60_000


async def test_a_page_has_the_recent_runs_of_the_store(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job(), kit.make_job("other"))
    for _ in range(25):
        await daemon.pass_time(QUARTER)
    every = [run["id"] for run in (await api.get("/v1/jobs/tidy/runs?limit=100")).json["runs"]]
    for count in (0, 3, 40):
        with counted(daemon.store) as steps:
            answer = await api.get(f"/v1/jobs?limit=50&recent={count}")
        assert steps.count < 5_000
        other, tidy = answer.json["jobs"]
        assert [run["id"] for run in tidy["recent_runs"]] == every[:count][::-1]
        assert len(other["recent_runs"]) == min(count, len(every))
    (tidy,) = (await api.get("/v1/jobs?limit=1&prefix=tidy&recent=2&fields=name,recent_runs")).json[
        "jobs"
    ]
    assert (tidy["name"], len(tidy["recent_runs"])) == ("tidy", 2)
    assert tidy["recent_runs"][-1]["reason"] == "overlap"


@pytest.mark.parametrize("query", ["recent=5", "recent=41&limit=1", "recent=5&limit=101"])
async def test_recent_runs_need_a_page_of_a_limited_size(api: Any, query: str) -> None:
    assert (await api.get(f"/v1/jobs?{query}")).status == 422
