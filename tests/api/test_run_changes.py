"""The changes since a job last worked."""

from __future__ import annotations

import os
from typing import Any

from support.long_history import JOBS, ROWS, counted, fill

from luad.core.model import EndKind, RunError
from luad.store.query_types import Software

QUARTER = 15 * 60_000


async def run_once(daemon: Any, *, is_good: bool) -> str:
    await daemon.pass_time(QUARTER)
    run_id = str(await daemon.begin())
    if is_good:
        await daemon.end()
    else:
        await daemon.end(EndKind.RAISED, error=RunError("KeyError", "x", ""))
    return run_id


def definition(**more: Any) -> dict[str, Any]:
    return {"name": "tidy", "handler": "house:tidy", "env": {"API_KEY": "sesame-open"}, **more}


async def test_a_failed_run_is_compared_with_the_last_good_one(
    api: Any, daemon: Any, kit: Any, tmp_path: Any
) -> None:
    (tmp_path / "house.py").write_text("def tidy(job): ...")
    daemon.dynamic = kit.replace(daemon.dynamic, handlers_path=tmp_path)
    history = daemon.store.history
    history.note_software(Software("0.1.0", "3.11.2"), daemon.clock.wall)
    first = definition(timeout="5m", metadata={"since": "2026-11-01", "region": "emea"})
    await daemon.install(kit.make_job(revision="r1", definition=first))
    await run_once(daemon, is_good=False)
    good = await run_once(daemon, is_good=True)
    os.utime(tmp_path / "house.py", (daemon.clock.wall / 1_000 + 60,) * 2)
    daemon.clock.wall += 1_000
    history.note_software(Software("0.2.0", "3.11.2"), daemon.clock.wall)
    second = definition(timeout="1m", metadata={"since": "2026-11-02", "region": "emea"})
    await daemon.install(kit.make_job(revision="r2", definition=second))
    bad = await run_once(daemon, is_good=False)
    found = (await api.get(f"/v1/runs/{bad}/changes")).json
    assert (found["run"], found["revision"], found["is_complete"]) == (bad, "r2", True)
    assert (found["last_good"]["id"], found["last_good"]["revision"]) == (good, "r1")
    assert [each["key"] for each in found["definition"]] == ["metadata", "timeout"]
    assert found["metadata"] == [{"key": "since", "then": "2026-11-01", "now": "2026-11-02"}]
    assert found["software"] == [
        {"name": "luad", "then": "0.1.0", "now": "0.2.0"},
        {"name": "python", "then": "3.11.2", "now": "3.11.2"},
    ]
    file = found["handler_file"]
    assert (file["path"], file["has_changed"]) == ("house.py", True)
    assert "sesame" not in str(found)
    os.utime(tmp_path / "house.py", (1, 1))
    assert (await api.get(f"/v1/runs/{bad}/changes")).json["handler_file"]["has_changed"] is False


async def test_metadata_that_a_run_was_given_count(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job(definition=definition(metadata={"a": 1})))
    await run_once(daemon, is_good=True)
    run_id = (await api.post("/v1/jobs/tidy/trigger", {"metadata": {"a": 2, "b": 3}})).json["id"]
    found = (await api.get(f"/v1/runs/{run_id}/changes")).json
    assert found["definition"] == []
    assert found["metadata"] == [
        {"key": "a", "then": 1, "now": 2},
        {"key": "b", "then": None, "now": 3},
    ]
    assert found["handler_file"] is None


async def test_a_job_that_never_worked_has_nothing_to_compare_with(
    api: Any, daemon: Any, kit: Any
) -> None:
    await daemon.install(kit.make_job())
    bad = await run_once(daemon, is_good=False)
    found = (await api.get(f"/v1/runs/{bad}/changes")).json
    assert (found["last_good"], found["is_complete"], found["definition"]) == (None, True, [])
    assert (await api.get("/v1/runs/run_none/changes")).status == 404


async def test_the_last_good_run_of_a_long_history_is_found_within_the_budget(
    api: Any, daemon: Any, kit: Any
) -> None:
    fill(daemon.store, kit.NOON - ROWS * 1_000, ROWS)
    with counted(daemon.store) as steps:
        found = (await api.get(f"/v1/runs/run_{ROWS - 1:026d}/changes")).json
    assert found["last_good"]["id"] == f"run_{ROWS - 1 - JOBS:026d}"
    assert steps.count < 20_000
