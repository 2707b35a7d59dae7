"""Root in another user's checkout: files are read with a warning, and no code of theirs runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

NOBODY = 65_534
MODULES = ("acts", "deep", "mine")
JOB = 'name: {name}\nhandler: {handler}\nschedule: {{type: cron, expression: "0 9 * * *"}}\n'
ACTS = "from pathlib import Path\nPath(__file__).with_name('acted').touch()\ndef run(job): ...\n"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in MODULES:
        sys.modules.pop(name, None)  # `luad test` imports into this process
    for name in ("jobs.d", "handlers"):
        (tmp_path / name).mkdir()
    (tmp_path / "handlers" / "acts.py").write_text(ACTS)
    (tmp_path / "handlers" / "mine.py").write_text("def run(job): ...\n")
    for name, handler in (("theirs", "acts:run"), ("own", "mine:run"), ("slip", "mine:rn")):
        text = JOB.format(name=name, handler=handler)
        (tmp_path / "jobs.d" / f"{name}.yaml").write_text(text)
    return tmp_path


def has_acted(checkout: Path) -> bool:
    return (checkout / "handlers" / "acted").exists()


def by_owner(checkout: Path) -> None:
    os.chown(checkout / "handlers" / "acts.py", NOBODY, -1)


def by_mode(checkout: Path) -> None:
    (checkout / "handlers" / "acts.py").chmod(0o666)


def by_link(checkout: Path) -> None:
    there = checkout / "theirs"
    there.mkdir()
    (checkout / "handlers" / "acts.py").rename(there / "acts.py")
    (checkout / "handlers" / "acts.py").symlink_to(there / "acts.py")
    os.chown(there, NOBODY, -1)


def by_package(checkout: Path) -> None:
    there = checkout / "theirs"
    there.mkdir()
    (checkout / "handlers" / "acts.py").rename(there / "__init__.py")
    (checkout / "handlers" / "acts").symlink_to(there)
    os.chown(there, NOBODY, -1)


def by_what_it_imports(checkout: Path) -> None:
    (checkout / "handlers" / "acts.py").rename(checkout / "handlers" / "deep.py")
    (checkout / "handlers" / "acts.py").write_text("from deep import run\n")
    os.chown(checkout / "handlers" / "deep.py", NOBODY, -1)


WAYS = [by_owner, by_mode, by_link, by_package, by_what_it_imports]


@pytest.mark.parametrize("spoil", WAYS)
@pytest.mark.slow
def test_check_imports_no_module_of_another_user_and_goes_on(
    luad: Any, checkout: Path, spoil: Callable[[Path], None]
) -> None:
    (checkout / "jobs.d" / "slip.yaml").unlink()
    spoil(checkout)
    result = luad("check")
    assert result.code == 0, result.out
    assert "LU306 warning" in result.out
    assert "run: ch" in result.out
    assert not has_acted(checkout)
    assert luad("check", "--strict").code == 1
    found = luad("check", "--format", "concise").out
    assert found.startswith("jobs.d/theirs.yaml:2:10: LU306 warning: `")
    assert found.count("LU306") == 1


def test_check_finds_what_is_wrong_with_the_other_handlers(luad: Any, checkout: Path) -> None:
    by_owner(checkout)
    result = luad("check", "--format", "concise")
    assert result.code == 1
    assert "LU301 `mine` has no function `rn`" in result.out
    assert "LU306" in result.out
    assert f"run: chown root {checkout}/handlers/acts.py" in result.out


@pytest.mark.slow
def test_check_of_a_whole_checkout_of_another_user_is_advice(luad: Any, checkout: Path) -> None:
    (checkout / "users.d").mkdir()
    (checkout / "users.d" / "ann.yaml").write_text("id: ann\nfull_name: Ann\n")
    (checkout / "luad.yaml").write_text("timezone: UTC\n")
    for path in (checkout, *checkout.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    (checkout / "jobs.d" / "slip.yaml").write_text("name: slip\nhandler: mine:run\n")
    result = luad("check", "--format", "concise")
    assert result.code == 1  # a job without a schedule is an error in every checkout
    (checkout / "jobs.d" / "slip.yaml").unlink()
    result = luad("check", "--format", "concise")
    assert result.code == 0, result.out
    assert "jobs.d: LU033 warning" in result.out
    assert result.out.count("LU306") == 2
    assert luad("check", "jobs.d/own.yaml").code == 0
    assert luad("check", "--strict").code == 1
    doctor = luad("doctor")
    assert "not imported" in doctor.out
    assert "fail" not in doctor.out, doctor.out
    assert doctor.code == 0
    assert not has_acted(checkout)


@pytest.mark.parametrize("spoil", [*WAYS, pytest.param(lambda _: None, id="sound")])
@pytest.mark.parametrize("what", ["theirs", "acts:run", "jobs.d/theirs.yaml"])
def test_test_refuses_a_module_of_another_user(
    luad: Any, checkout: Path, spoil: Callable[[Path], None], what: str
) -> None:
    spoil(checkout)
    result = luad("test", what)
    if spoil not in WAYS:
        assert result.code == 0, result.err
        return
    assert result.code != 0
    said = result.out + result.err
    assert "run: ch" in said
    assert not has_acted(checkout)


def test_test_runs_it_where_permit_insecure_is_set(
    luad: Any, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_owner(checkout)
    (checkout / "luad.yaml").write_text("permit_insecure: true\n")
    assert luad("test", "theirs").code == 0
    assert has_acted(checkout)
    # A luad.yaml of another user gives no such leave.
    (checkout / "handlers" / "acted").unlink()
    os.chown(checkout / "luad.yaml", NOBODY, -1)
    sys.modules.pop("acts")
    refused = luad("test", "theirs")
    assert refused.code == 1
    assert "luad.yaml belongs to nobody" in refused.err
    assert not has_acted(checkout)
    monkeypatch.setenv("LUAD_PERMIT_INSECURE", "yes")
    assert luad("test", "theirs").code == 0


def test_test_refuses_orders_of_another_user(luad: Any, checkout: Path) -> None:
    """A job file may name a shell command: its owner would be root."""
    text = JOB.format(name="shell", handler="luad.handlers.shell:run")
    file = checkout / "jobs.d" / "shell.yaml"
    file.write_text(text + f"metadata: {{command: touch {checkout}/acted}}\n")
    os.chown(file, NOBODY, -1)
    for what in ("shell", "jobs.d/shell.yaml"):
        refused = luad("test", what)
        assert refused.code == 1
        assert f"chown root {file}" in refused.err.replace(" jobs.d", f" {checkout}/jobs.d")
    assert not (checkout / "acted").exists()
