"""The reference page says what the API does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from luad.api.http.api_problems import TABLE as CODES
from luad.api.json import cluster_metrics
from luad.api.routes.openapi import PREFIX
from luad.api.routes.table import TABLE

PAGE = (Path(__file__).parents[2] / "docs/reference/http-api.md").read_text()


def test_every_route_is_on_the_page() -> None:
    served = {f"{row.method} {row.path}" for row in TABLE if row.path.startswith(PREFIX)}
    assert set(re.findall(r"^\| `([A-Z]+ /v1/[^`]*)` \|", PAGE, re.MULTILINE)) == served


def test_every_code_is_on_the_page() -> None:
    errors = PAGE.split("## Errors")[1].split("## Limits")[0]
    told = {code: int(status) for code, status in re.findall(r"`(\w+)` \| (\d{3})", errors)}
    assert told == {code: status for code, (status, _) in CODES.items()}


async def test_every_key_of_a_job_and_of_a_run_is_on_the_page(
    api: Any, daemon: Any, kit: Any
) -> None:
    await daemon.install(kit.make_job())
    await api.post("/v1/jobs/tidy/trigger")
    for path, title in (("jobs", "## A job"), ("runs", "## A run")):
        part = PAGE.split(title + "\n")[1].split("\n## ")[0]
        shown = (await api.get(f"/v1/{path}")).json[path][0]
        assert set(shown) - set(re.findall(r"`(\w+)`", part)) == set()


OF_A_NODE = {
    "luad_takeovers_total",
    *re.findall(r'"(luad_\w+)"', Path(cluster_metrics.__file__).read_text()),
}


async def test_every_metric_is_on_the_page(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job())
    text = (await api.get("/metrics")).body.decode()
    shown = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    told = set(re.findall(r"`(luad_\w+)`", PAGE.split("## Metrics")[1]))
    unknown_here = {
        "luad_scheduler_last_tick_timestamp_seconds",
        "luad_config_last_reload_success_timestamp_seconds",
        "luad_tls_certificate_expiry_timestamp_seconds",
    }
    assert told - shown - OF_A_NODE == unknown_here  # nobody has told this daemon when
    assert shown <= told
