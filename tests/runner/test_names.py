"""Names of handler files: the standard library and luad's own libraries come first, then handlers/."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.runner_harness import Harness, config

from luad.config.jobs.reserved_names import OWN_PACKAGES, reserved_files
from luad.core.model import EndKind
from luad.runner.import_check import HandlerInfo, ImportProblem, check_handlers

RUN = "def run(job):\n    return {result}\n"


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Harness]:
    """A runner whose handlers stand in `handlers` of a folder; packages stand in `installed`."""
    (tmp_path / "handlers").mkdir()
    (tmp_path / "installed").mkdir()
    environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path / "installed")}
    harness = Harness(config(tmp_path, handlers_path=(tmp_path / "handlers",), environ=environ))
    await harness.runner.start()
    yield harness
    await harness.runner.close()


def write(harness: Harness, name: str, text: str) -> Path:
    path = harness.config.handlers_path[0].parent / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "files",
    [
        ["handlers/queue.py"],
        ["handlers/json/__init__.py"],
        ["handlers/email/helpers.py"],
        ["handlers/sqlalchemy.py", "handlers/croniter.py", "handlers/yaml.py"],
        ["handlers/json.py", "handlers/logging.py", "handlers/asyncio.py", "handlers/re.py"],
        ["handlers/luad.py", "handlers/typing_extensions.py", "handlers/jsonschema.py"],
    ],
)
async def test_no_file_name_in_handlers_breaks_another_job(
    folder: Harness, files: list[str]
) -> None:
    for name in files:
        write(folder, name, "raise RuntimeError('never imported')\n")
    write(
        folder,
        "handlers/report.py",
        "import asyncio, email, json, logging, queue, re, croniter, jsonschema, sqlalchemy, yaml\n"
        "import luad, typing_extensions\n" + RUN.format(result="json.loads('1')"),
    )
    assert (await folder.run("report:run")).result == 1


@pytest.mark.parametrize(
    ("file", "handler", "new_file", "new_handler"),
    [
        ("queue.py", "queue:run", "queue_jobs.py", "queue_jobs:run"),
        ("email/send.py", "email.send:run", "email_jobs", "email_jobs.send:run"),
        ("click.py", "click:run", "click_jobs.py", "click_jobs:run"),
        ("luad/own.py", "luad.own:run", "luad_jobs", "luad_jobs.own:run"),
    ],
)
async def test_a_job_that_names_such_a_file_has_not_started_and_says_the_new_name(
    folder: Harness, file: str, handler: str, new_file: str, new_handler: str
) -> None:
    write(folder, f"handlers/{file}", RUN.format(result=1))
    ending = (await folder.run(handler)).ending
    assert ending.kind is EndKind.NOT_STARTED
    assert not ending.is_retryable
    assert ending.error is not None
    root = folder.config.handlers_path[0]
    top = file.partition("/")[0]
    assert f"{root}/{top} is never imported" in ending.error.message
    assert f"rename it to {root}/{new_file}, and write  handler: {new_handler}" in (
        ending.error.message
    )
    checked = check_handlers([handler], handlers_path=[root])[handler]
    assert isinstance(checked, ImportProblem)
    assert checked.code == "LU310"


async def test_a_function_of_the_standard_library_is_a_handler_as_before(folder: Harness) -> None:
    assert isinstance((await folder.run("os:getcwd")).result, str)


@pytest.mark.parametrize(
    ("own", "installed"),
    [
        ("handlers/tool.py", "installed/tool.py"),
        ("handlers/tool.py", "installed/tool/__init__.py"),
        ("handlers/tool/__init__.py", "installed/tool/__init__.py"),
    ],
)
async def test_handlers_come_before_installed_packages(
    folder: Harness, own: str, installed: str
) -> None:
    write(folder, installed, RUN.format(result="'installed'"))
    assert (await folder.run("tool:run")).result == "installed"
    write(folder, own, RUN.format(result="'own'"))
    assert (await folder.run("tool:run")).result == "own"


async def test_a_folder_without_init_comes_before_an_installed_package(folder: Harness) -> None:
    write(folder, "installed/tool/__init__.py", "")
    write(folder, "installed/tool/daily.py", RUN.format(result="'installed'"))
    write(folder, "handlers/tool/daily.py", RUN.format(result="'own'"))
    assert (await folder.run("tool.daily:run")).result == "own"


async def test_folders_without_init_share_their_name(folder: Harness) -> None:
    write(folder, "installed/company/lib.py", "value = 'installed'\n")
    write(
        folder,
        "handlers/company/daily.py",
        "from company.lib import value\n" + RUN.format(result="value"),
    )
    assert (await folder.run("company.daily:run")).result == "installed"


async def test_handlers_come_before_a_finder_that_was_put_first(folder: Harness) -> None:
    """Some editable installs put one before all others."""
    finder = (
        "import sys, types\n"
        "from importlib.machinery import ModuleSpec\n"
        "class First:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        return ModuleSpec(name, self) if name == 'tool' else None\n"
        "    def create_module(self, spec): return None\n"
        "    def exec_module(self, module): module.run = lambda job: 'finder'\n"
        "sys.meta_path.insert(0, First())\n"
    )
    write(folder, "installed/sitecustomize.py", finder)
    harness = Harness(folder.config)
    await harness.runner.start()
    assert (await harness.run("tool:run")).result == "finder"
    write(folder, "handlers/tool.py", RUN.format(result="'own'"))
    assert (await harness.run("tool:run")).result == "own"
    await harness.runner.close()


async def test_check_and_run_agree(folder: Harness) -> None:
    write(folder, "handlers/queue_jobs.py", RUN.format(result="1"))
    root = folder.config.handlers_path[0]
    found = check_handlers(["queue_jobs:run"], handlers_path=[root])["queue_jobs:run"]
    assert isinstance(found, HandlerInfo)
    assert (await folder.run("queue_jobs:run")).result == 1


def test_a_new_name_is_free(tmp_path: Path) -> None:
    for name in ("queue.py", "queue_jobs.py", "queue_jobs2.py", "_thread.py", "report.py"):
        (tmp_path / name).touch()
    found = {each.name: each.new_name for each in reserved_files(tmp_path)}
    assert found == {"queue": "queue_jobs3", "_thread": "thread_jobs"}


def test_every_library_that_luad_needs_has_its_name_in_the_list() -> None:
    seen: set[str] = set()

    def walk(name: str) -> None:
        key = re.sub(r"[-_.]+", "-", name).lower()
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            return  # not needed here
        if key in seen:
            return
        seen.add(key)
        for file in found.files or ():
            top = file.parts[0]
            name = top.partition(".")[0]
            is_code = len(file.parts) > 1 or file.suffix in {".py", ".so"}
            is_data = top.endswith((".dist-info", ".egg-info", ".data")) or top in {
                "..",
                "__pycache__",
            }
            if is_code and not is_data and not name.startswith("_editable_impl"):
                assert name in OWN_PACKAGES | sys.stdlib_module_names, (key, name)
        for each in found.requires or ():
            if "extra ==" not in each and (needed := re.match(r"[\w.-]+", each)):
                walk(needed[0])

    walk("luad")
    assert len(seen) > 10
