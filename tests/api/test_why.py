"""Why a job did or did not run, in a sentence."""

from __future__ import annotations

from typing import Any

import pytest

from luad.api.json import why
from luad.core.model import CatchUp, EndKind, Reason, RunError

QUARTER = 15 * 60_000
HOUR = 4 * QUARTER


def test_every_reason_has_words() -> None:
    assert set(why._REASONS) == set(Reason)


async def ask(api: Any, at: str = "") -> str:
    answer = await api.get("/v1/jobs/tidy/why" + (f"?at={at}" if at else ""))
    assert answer.status == 200, answer.json
    text: str = answer.json["text"]
    return text


async def test_the_last_time_and_an_instant_are_explained(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job(catch_up=CatchUp.NONE))
    assert await ask(api) == "It has not run yet, and no occurrence was skipped."
    await daemon.pass_time(QUARTER)
    await daemon.begin()
    await daemon.pass_time(QUARTER)
    assert await ask(api) == (
        "It did not run on Sun 22 Nov 2026 12:30 UTC: the run before it was still going on, and the"
        " overlap policy is `skip`."
    )
    assert (await ask(api, "2026-11-22T12:15:00Z")).startswith(
        "Its run for Sun 22 Nov 2026 12:15 UTC has not ended"
    )
    await daemon.end(EndKind.RAISED, error=RunError("KeyError", "'x'", ""))
    assert (await ask(api, "2026-11-22T12:15:00Z")).endswith(
        "and failed, after 15m: KeyError: 'x'."
    )
    await daemon.pass_time(QUARTER)
    await daemon.begin()
    daemon.clock.wall += 1_500
    await daemon.end()
    answer = (await api.get("/v1/jobs/tidy/why")).json
    assert answer["text"] == "It ran for Sun 22 Nov 2026 12:45 UTC, and succeeded, after 1.5s."
    assert (answer["run"]["status"], answer["summary"][:4]) == ("succeeded", "Runs")


async def test_what_was_skipped_in_a_row_is_found_by_each_instant(
    api: Any, daemon: Any, kit: Any
) -> None:
    await daemon.install(kit.make_job())
    await api.post("/v1/jobs/tidy/deactivate", {"reason": "x"})
    for _ in range(4):
        await daemon.pass_time(QUARTER)
    for minute in (15, 30, 45):
        text = await ask(api, f"2026-11-22T12:{minute}:00Z")
        assert text.endswith("(4 occurrences until then): the job was paused."), text


@pytest.mark.parametrize(
    ("at", "text"),
    [
        ("2026-11-22T11:00:00Z", "There was no such job on Sun 22 Nov 2026 11:00 UTC: it was installed on Sun 22 Nov 2026 12:00 UTC."),
        ("2026-11-22T12:20:00Z", "It is not due on Sun 22 Nov 2026 12:20 UTC: the next occurrence from then on is Sun 22 Nov 2026 12:30 UTC."),
        ("2026-11-22T18:00:00Z", "It is due on Sun 22 Nov 2026 18:00 UTC, which is still to come."),
    ],
)  # fmt: skip
async def test_an_instant_without_a_row_is_explained(
    api: Any, daemon: Any, kit: Any, at: str, text: str
) -> None:
    await daemon.install(kit.make_job())
    assert await ask(api, at) == text
    assert (await api.get("/v1/jobs/nothing/why")).status == 404


async def test_a_paused_job_tells_how_to_end_its_pause(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job())
    await api.post("/v1/jobs/tidy/deactivate", {"reason": "too loud"})
    answer = (await api.get("/v1/jobs/tidy/why")).json
    assert answer["summary"] == "Paused: too loud. To end the pause, type  luad resume tidy"
    await api.post("/v1/jobs/tidy/activate", {})
    answer = (await api.get("/v1/jobs/tidy/why")).json
    assert "resume" not in answer["summary"]


async def test_a_disabled_job_tells_where_to_enable_it(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job(enabled=False))
    answer = (await api.get("/v1/jobs/tidy/why")).json
    assert answer["summary"].startswith("Not enabled. To schedule it, write  enabled: true  in ")
