"""The parameters that a handler declares, and which handlers a client may let luad import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from luad.api.service import DynamicRules

DECLARED = """\
import os, pathlib, luad

pathlib.Path(__file__).with_name("imported").write_text("once")

@luad.params({"type": "object", "properties": {"region": {"enum": ["emea", "apac"]}}})
def with_params(job): ...

def without(job): ...

def ends(job): ...
"""


def write(folder: Path, name: str, text: str) -> None:
    path = folder / "handlers"
    path.mkdir(exist_ok=True)
    (path / f"{name}.py").write_text(text)


async def test_the_schema_of_a_handler(api: Any, tmp_path: Path) -> None:
    write(tmp_path, "shop", DECLARED)
    answer = await api.get("/v1/handlers/shop:with_params")
    assert answer.status == 200, answer.json
    assert answer.json["params"]["properties"] == {"region": {"enum": ["emea", "apac"]}}
    assert answer.json["problem"] is None
    assert (await api.get("/v1/handlers/shop:without")).json["params"] is None


async def test_an_import_that_ends_its_process_is_a_problem(api: Any, tmp_path: Path) -> None:
    write(tmp_path, "bad", "import os\nos._exit(3)\n")
    answer = await api.get("/v1/handlers/bad:run")
    assert answer.status == 200
    assert "exits with 3" in answer.json["problem"]["message"]


async def test_a_missing_module_is_not_found(api: Any) -> None:
    answer = await api.get("/v1/handlers/missing:run")
    assert answer.status == 404
    assert answer.json["code"] == "not_found"


async def test_a_client_does_not_choose_what_is_imported(
    api: Any, daemon: Any, kit: Any, tmp_path: Path
) -> None:
    write(tmp_path, "shop", DECLARED)
    daemon.dynamic = DynamicRules((), tmp_path)
    refused = await api.get("/v1/handlers/shop:with_params")
    assert refused.status == 403, refused.json
    await daemon.install(kit.make_job(handler="shop:without"))
    other = await api.get("/v1/handlers/shop:with_params?job=tidy")
    assert other.status == 403
    assert not (tmp_path / "handlers" / "imported").exists()
    own = await api.get("/v1/handlers/shop:without?job=tidy")
    assert own.status == 200
    assert (tmp_path / "handlers" / "imported").exists()
    assert (await api.get("/v1/handlers/luad.handlers.files:prune")).status == 200
