"""A new spawner takes over without a loss, and sees packages that were installed meanwhile."""

from __future__ import annotations

import asyncio
import gc
import site
import subprocess
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path

import pytest
from support.runner_harness import Harness, config

from luad.core.model import EndKind
from luad.runner.import_check import HandlerInfo, check_handlers
from luad.runner.processes import read_stat
from luad.runner.site_packages import site_marks

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of packages of an interpreter of its own, which luad is started with."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    monkeypatch.setattr(sys, "executable", str(python))
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    folder = tmp_path / "venv/lib" / version / "site-packages"
    (folder / "luad.pth").write_text(f"{PROJECT}\n{sysconfig.get_path('purelib')}\n")
    return folder


def install_editable(packages: Path, source: Path) -> None:
    source.mkdir()
    (source / "installed_late.py").write_text("def run(job):\n    return 'found'\n")
    (packages / "__editable__.installed_late.pth").write_text(f"{source}\n")


async def test_after_a_renewal_runs_find_an_editable_install_as_check_does(
    packages: Path, tmp_path: Path
) -> None:
    harness = Harness(config(tmp_path))
    await harness.runner.start()
    assert (await harness.run("installed_late:run")).ending.kind is EndKind.NOT_STARTED
    install_editable(packages, tmp_path / "source")
    checked = check_handlers(["installed_late:run"], handlers_path=harness.config.handlers_path)
    assert isinstance(checked["installed_late:run"], HandlerInfo)
    assert await harness.runner.renew_spawner()
    assert (await harness.run("installed_late:run")).result == "found"
    await harness.runner.close()


async def test_a_run_goes_on_through_a_renewal_and_its_spawner_ends_with_it(
    runner: Harness,
) -> None:
    key = runner.launch("plain:waits_to_be_stopped")
    await runner.line_of(key)
    before = runner.runner.spawner_pid
    assert await runner.runner.renew_spawner()
    assert runner.runner.spawner_pid != before
    assert before is not None
    assert read_stat(before) is not None
    assert (await runner.run("plain:no_argument")).result == "called without"
    runner.runner.stop(*key)
    assert (await runner.end_of(key)).ending.kind is EndKind.CANCELLED
    await runner.runner.close()
    assert read_stat(before) is None


async def test_what_a_killed_keeper_left_is_ended_by_its_own_spawner(runner: Harness) -> None:
    metadata = {"kinds": ["forked_twice", "without_environment"]}
    key = runner.launch("leaves:kills_its_keeper", metadata=metadata)
    await runner.line_of(key)
    await runner.runner.renew_spawner()
    finished = await runner.end_of(key)
    assert finished.ending.kind is EndKind.LOST
    assert finished.ending.left_processes == 2


def memories() -> int:
    """Return how many pieces of memory this process shares with keepers."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found += "luad-taken" in str(descriptor.readlink())
    return found


@pytest.mark.parametrize("are_killed", [False, True])
async def test_keepers_that_have_ended_hold_no_descriptor_of_the_daemon(
    runner: Harness, are_killed: bool
) -> None:
    gc.disable()  # which would close them some time later
    try:
        for _ in range(4):
            if are_killed:
                await runner.without_keepers()
            else:
                assert await runner.runner.renew_spawner()
            await runner.both_keepers()
        for _ in range(100):
            if memories() <= 2:
                break
            await runner.run("plain:nothing")  # the last ones are closed soon
        assert memories() <= 2
    finally:
        gc.enable()


async def test_renewals_that_overlap_are_one(runner: Harness) -> None:
    answers = await asyncio.gather(*(runner.runner.renew_spawner() for _ in range(5)))
    assert answers == [True] * 5
    assert len(runner.runner.own_pids()) <= 2 * 5  # each with two keepers and their forkers
    assert (await runner.run("plain:no_argument")).result == "called without"


async def test_a_renewal_that_fails_leaves_the_spawner_as_it_is(
    runner: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = runner.runner.spawner_pid
    for python in ("/absent/python", "/bin/false"):
        monkeypatch.setattr(sys, "executable", python)
        assert not await runner.runner.renew_spawner()
        assert runner.runner.spawner_pid == before
        assert runner.runner.fault == ""
        assert (await runner.run("plain:no_argument")).result == "called without"


def test_files_that_python_reads_at_its_start_are_told_apart_from_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "getsitepackages", lambda: [str(tmp_path), str(tmp_path / "absent")])
    monkeypatch.setattr(site, "ENABLE_USER_SITE", False)
    before = site_marks()
    (tmp_path / "package").mkdir()
    (tmp_path / "package/__init__.py").touch()
    assert site_marks() == before
    for name in ("new.pth", "__editable___new_finder.py", "sitecustomize.py"):
        (tmp_path / name).touch()
        after = site_marks()
        assert after != before
        before = after
    (tmp_path / "new.pth").write_text("/somewhere\n")
    assert site_marks() != before


def test_check_sees_the_environment_and_the_folder_of_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "handlers").mkdir()
    (tmp_path / "handlers/world.py").write_text(
        "import os\n"
        "assert 'OF_THE_SHELL' not in os.environ\n"
        "assert os.environ['PASSED'] == '1'\n"
        "assert not [key for key in os.environ if key.startswith('PYTHON') and key != 'PYTHONUNBUFFERED']\n"
        "assert os.getcwd() == os.path.dirname(os.path.dirname(os.path.abspath(__file__)))\n"
        "def run(job): pass\n"
    )
    for name in ("OF_THE_SHELL", "PASSED", "PYTHONDONTWRITEBYTECODE"):
        monkeypatch.setenv(name, "1")
    found = check_handlers(
        ["world:run"], handlers_path=[tmp_path / "handlers"], pass_env=["PASSED"], cwd=tmp_path
    )["world:run"]
    assert isinstance(found, HandlerInfo), found
