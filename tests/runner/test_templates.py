"""Templates: installed packages that later runs of a handler find imported."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.runner_harness import Harness, config

from luad.core.model import EndKind
from luad.runner.forker_link import ForkerLink
from luad.runner.processes import read_stat
from luad.runner.templates import IDLE_MS, KEPT_MS, MOST, Templates

PACKAGE = """
import os, random, time
STAMP = time.monotonic_ns(), os.getpid()
SEEN = os.environ.get("REGION")
GENERATOR = random.Random(1)
"""
HANDLER = """
import installed, signal, time
STAMP = time.monotonic_ns()

def look(job):
    if job.metadata.get("wait"):
        print("ready")
        signal.pause()
    return {
        "package": installed.STAMP, "seen": installed.SEEN, "module": STAMP,
        "random": installed.GENERATOR.random(), "run": job.run_id,
    }
"""


class Site:
    """A folder of installed packages, and a folder of handlers that use them."""

    def __init__(self, folder: Path) -> None:
        self.packages = folder / "site"
        self.handlers = folder / "own"
        for each in (self.packages, self.handlers):
            each.mkdir()
        self.write(PACKAGE)
        (self.handlers / "uses.py").write_text(HANDLER)

    def write(self, text: str) -> None:
        """Install the package anew, as pip does: it replaces the file."""
        fresh = self.packages / "fresh"
        fresh.write_text(text)
        fresh.replace(self.packages / "installed.py")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@asynccontextmanager
async def running(site: Site, tmp_path: Path) -> AsyncIterator[Harness]:
    usual = config(tmp_path)
    environ = {**usual.environ, "PYTHONPATH": str(site.packages), "PYTHONDONTWRITEBYTECODE": "1"}
    harness = Harness(replace(usual, handlers_path=(site.handlers,), environ=environ))
    await harness.runner.start()
    try:
        yield harness
    finally:
        await harness.runner.close()


@pytest.fixture
async def runner(site: Site, tmp_path: Path) -> AsyncIterator[Harness]:
    async with running(site, tmp_path) as harness:
        yield harness


async def look(runner: Harness, **fields: Any) -> dict[str, Any]:
    done = await runner.run("uses:look", **fields)
    assert done.ending.kind is EndKind.RETURNED, done.ending
    found: dict[str, Any] = done.result
    return found


async def warm(runner: Harness, **fields: Any) -> dict[str, Any]:
    """Run the handler until two runs in a row find the same package; return what the second saw."""
    before = await look(runner, **fields)
    for _ in range(200):
        found = await look(runner, **fields)
        if found["package"] == before["package"]:
            return found
        before = found
    raise AssertionError("no run was started from a template")


async def stays_cold(runner: Harness, **fields: Any) -> None:
    """Let so many runs end that a template, once asked for, would long have been used."""
    seen = [await look(runner, **fields) for _ in range(30)]
    assert len({tuple(each["package"]) for each in seen}) == len(seen)


async def test_later_runs_find_the_package_imported_and_their_own_module_not(
    runner: Harness,
) -> None:
    first, second = await warm(runner), await look(runner)
    assert first["package"] == second["package"]
    assert first["module"] != second["module"], "the top level of a handler runs in each run"
    assert first["run"] != second["run"]
    assert first["random"] != second["random"], "random numbers of its own"


async def test_no_template_before_the_second_run(runner: Harness) -> None:
    assert (await look(runner))["package"] != (await look(runner))["package"]


async def test_two_jobs_with_different_env_share_no_template(runner: Harness) -> None:
    east = await warm(runner, name="east", env=(("REGION", "east"),))
    west = await warm(runner, name="west", env=(("REGION", "west"),))
    none = await warm(runner)
    assert [each["seen"] for each in (east, west, none)] == ["east", "west", None]
    assert len({tuple(each["package"]) for each in (east, west, none)}) == 3
    again = await look(runner, name="east", env=(("REGION", "east"),))
    assert again["package"] == east["package"]
    assert again["seen"] == "east"


async def test_two_jobs_with_the_same_env_share_one(runner: Harness) -> None:
    first = await warm(runner, name="first")
    assert (await look(runner, name="second"))["package"] == first["package"]


async def test_a_job_can_switch_it_off(runner: Harness) -> None:
    await stays_cold(runner, warm=False)
    warmed = await warm(runner)
    assert (await look(runner, warm=False))["package"] != warmed["package"]


async def test_an_edit_of_the_package_is_seen_by_the_next_run(site: Site, runner: Harness) -> None:
    before = await warm(runner)
    site.write(PACKAGE + "SEEN = 'new'\n")
    after = await look(runner)
    assert after["seen"] == "new"
    assert after["package"] != before["package"]
    assert (await warm(runner))["seen"] == "new"


async def test_a_module_of_the_user_takes_the_name_of_the_package(
    site: Site, runner: Harness
) -> None:
    await warm(runner)
    (site.handlers / "installed.py").write_text(PACKAGE + "SEEN = 'own'\n")
    assert (await look(runner))["seen"] == "own"


@pytest.mark.parametrize(
    "leaves",
    [
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
        "FILE = open('/dev/null')",
        "import signal; signal.signal(signal.SIGUSR1, lambda *_: None)",
        "import subprocess; CHILD = subprocess.Popen(['sleep', '30'])",
        "print('hello')",
        "import logging; logging.warning('hello')",
        "os.environ['CHANGED'] = '1'",
        "import sys; sys.path.append('/nowhere')",
        "if os.environ.get('LUAD_RUN_ID') is None: raise RuntimeError",
    ],
)
async def test_an_import_that_leaves_something_is_done_in_each_run(
    site: Site, runner: Harness, leaves: str
) -> None:
    site.write(f"{PACKAGE}\n{leaves}\n")
    await stays_cold(runner)


async def test_a_handler_that_prepares_its_imports_gets_no_template(
    site: Site, runner: Harness
) -> None:
    (site.handlers / "uses.py").write_text(f"import os\nos.environ['REGION'] = 'own'\n{HANDLER}")
    await stays_cold(runner)
    assert (await look(runner))["seen"] == "own"


async def until_noticed(runner: Harness, template: int) -> None:
    """Wait until the keeper knows that its template is dead; a run that it gives to it before is lost."""
    while template in runner.runner.own_pids():
        await runner.run("plain:nothing")


async def test_a_template_that_dies_is_replaced_by_a_usual_handler(runner: Harness) -> None:
    before = await warm(runner)
    template = before["package"][1]
    os.kill(template, signal.SIGKILL)
    await until_noticed(runner, template)
    assert (await look(runner))["package"] != before["package"]


async def test_the_runs_of_a_template_that_dies_are_lost(runner: Harness) -> None:
    template = (await warm(runner))["package"][1]
    key = runner.launch("uses:look", metadata={"wait": True})
    await runner.line_of(key)
    identity = await runner.start_of(key)
    os.kill(template, signal.SIGKILL)
    assert (await runner.end_of(key)).ending.kind is EndKind.LOST
    assert read_stat(identity.pid) is None
    await until_noticed(runner, template)
    assert (await look(runner))["package"][1] != template


async def test_the_daemon_knows_the_process_of_a_template(runner: Harness) -> None:
    template = (await warm(runner))["package"][1]
    assert template in runner.runner.own_pids()


@pytest.fixture
def templates() -> Templates:
    class Forker(ForkerLink):
        def __init__(self) -> None:
            self.orders: list[bytes] = []
            self.is_ready = True

        def make_template(self, order: bytes) -> ForkerLink:
            self.orders.append(order)
            return self

    return Templates(Forker())


SPEC: Any = {"handler": "a:b", "env": {}, "cwd": "/", "handlers_path": [], "warm": True}
FOUND = {"modules": ["csv"], "files": []}


def test_a_template_that_no_run_uses_is_dropped_after_ten_minutes(templates: Templates) -> None:
    for _ in range(2):
        templates.learn(SPEC, FOUND)
    (template,) = templates
    assert not templates.idle(template.used_ms + IDLE_MS - 1)
    assert templates.idle(template.used_ms + IDLE_MS) == [template]
    templates.drop(template)
    assert not list(templates)


@pytest.mark.parametrize("found", [FOUND, {"modules": [], "files": []}])
def test_few_runs_are_asked_for_their_packages(templates: Templates, found: object) -> None:
    asked = []
    for number in range(100):
        spec = dict(SPEC)
        templates.forker_for(spec)
        if spec["learn"]:
            asked.append(number)
            templates.learn(spec, found)
    assert asked == [0, 1, 34, 67]


def test_templates_that_are_used_do_not_give_way_to_others(templates: Templates) -> None:
    for number in range(MOST + 3):
        for _ in range(2):
            templates.learn({**SPEC, "handler": f"a{number}:b"}, {**FOUND, "files": [str(number)]})
    kept = list(templates)
    assert len(kept) == MOST
    kept[3].used_ms -= KEPT_MS
    for _ in range(2):
        templates.learn({**SPEC, "handler": "late:b"}, {**FOUND, "files": ["late"]})
    assert set(kept) - set(templates) == {kept[3]}
    assert len(list(templates)) == MOST


def test_an_edited_handler_gets_another_template(templates: Templates) -> None:
    for found in (FOUND, FOUND, {"modules": ["csv", "cgi"], "files": []}):
        templates.learn(SPEC, found)
    spec = dict(SPEC)
    templates.forker_for(spec)
    assert spec["learn"]
    templates.learn(spec, {"modules": ["csv", "cgi"], "files": []})
    assert len(list(templates)) == 2


async def test_a_run_has_imported_no_asyncio_and_no_logging_until_its_handler_does(
    site: Site, runner: Harness
) -> None:
    (site.handlers / "bare.py").write_text(
        "import sys\n"
        "HEAVY = {'asyncio', 'logging', 'threading', 'subprocess'}\n"
        "BEFORE = sorted(HEAVY & sys.modules.keys())\n"
        "def plain(job):\n    return BEFORE\n"
        "def logs(job):\n    job.log.info('hello')\n    return BEFORE\n"
        "async def waits(job):\n    return BEFORE\n"
    )
    for _ in range(4):
        assert (await runner.run("bare:plain")).result == []
    for handler, heavy in (("bare:logs", "logging"), ("bare:waits", "asyncio")):
        before = [heavy in (await runner.run(handler)).result for _ in range(2)]
        assert before == [False, False]
        done = await runner.run(handler)
        for _ in range(200):
            if heavy in done.result:
                break
            done = await runner.run(handler)
        assert heavy in done.result, "later runs find it imported"
        assert [line["message"] for line in done.lines if line["stream"] == "log"] == (
            ["hello"] if heavy == "logging" else []
        )
