"""One rule for everything that luad takes orders from: at the start, at each scan, before each import."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.access_lists import grant
from support.attack import besieged, job
from support.live_daemon import LiveDaemon

NOBODY = 65_534
ACTS = "from pathlib import Path\nPath({mark!r}).touch()\ndef note(job): ...\n"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


def theirs(daemon: LiveDaemon) -> Path:
    """A folder of another user."""
    folder = daemon.handlers.parent / "theirs"
    folder.mkdir(exist_ok=True)
    os.chown(folder, NOBODY, -1)
    return folder


def a_link_to_a_file(daemon: LiveDaemon, source: str) -> None:
    (theirs(daemon) / "late.py").write_text(source)
    (daemon.handlers / "late.py").symlink_to(theirs(daemon) / "late.py")


def a_link_to_a_package(daemon: LiveDaemon, source: str) -> None:
    (theirs(daemon) / "__init__.py").write_text(source)
    (daemon.handlers / "late").symlink_to(theirs(daemon))


def a_file_of_another_user(daemon: LiveDaemon, source: str) -> None:
    daemon.write_handler("late", source)
    os.chown(daemon.handlers / "late.py", NOBODY, -1)


def a_file_that_others_may_write(daemon: LiveDaemon, source: str) -> None:
    daemon.write_handler("late", source)
    (daemon.handlers / "late.py").chmod(0o666)


def a_file_with_an_access_list(daemon: LiveDaemon, source: str) -> None:
    daemon.write_handler("late", source)
    grant(daemon.handlers / "late.py", ("user", NOBODY, 6))


def a_package_that_others_may_write(daemon: LiveDaemon, source: str) -> None:
    (daemon.handlers / "late").mkdir()
    (daemon.handlers / "late" / "__init__.py").write_text(source)
    (daemon.handlers / "late").chmod(0o777)


def a_link_of_another_user(daemon: LiveDaemon, source: str) -> None:
    own = daemon.handlers.parent / "own"
    own.mkdir()
    (own / "late.py").write_text(source)
    (daemon.handlers / "late.py").symlink_to(own / "late.py")
    os.chown(daemon.handlers / "late.py", NOBODY, -1, follow_symlinks=False)


WAYS = [
    a_link_to_a_file,
    a_link_to_a_package,
    a_file_of_another_user,
    a_file_that_others_may_write,
    a_file_with_an_access_list,
    a_package_that_others_may_write,
    a_link_of_another_user,
]


@pytest.mark.parametrize("put", WAYS)
def test_with_such_a_handler_luad_does_not_start(
    tmp_path: Path, put: Callable[[LiveDaemon, str], None]
) -> None:
    daemon = besieged(tmp_path)
    put(daemon, "")
    refused = daemon.refusal()
    assert refused.returncode == 78, refused.stderr
    assert "a handler cannot be trusted" in refused.stderr
    assert "run: " in refused.stderr


def test_files_that_appear_later_are_told_at_the_scan_and_never_imported(tmp_path: Path) -> None:
    with besieged(tmp_path) as daemon:
        mark = tmp_path / "imported"
        for put in WAYS:
            put(daemon, ACTS.format(mark=str(mark)))
            daemon.write_job("late", job("late", "late:note", 3_600))
            daemon.luad("reload", check=False)
            while "a handler cannot be trusted" not in daemon.wait_for("config.problem")["message"]:
                pass  # the scan may tell first that the module is not there yet
            ended = daemon.luad("run", "late", "--wait", check=False)
            assert "HandlerError" in ended.stdout + ended.stderr, put
            assert not mark.exists(), put
            for path in daemon.handlers.glob("late*"):
                if path.is_dir() and not path.is_symlink():
                    path.rename(tmp_path / "aside")
                else:
                    path.unlink()
            daemon.luad("reload", check=False)
            assert "cannot be trusted" not in daemon.luad("status", check=False).stdout, put
        daemon.write_handler("late", ACTS.format(mark=str(mark)))
        daemon.luad("run", "late", "--wait")
        assert mark.exists()
        # What a good handler imports is judged as well.
        mark.unlink()
        (daemon.handlers / "late.py").chmod(0o666)
        daemon.write_handler("front", "from late import note\n")
        daemon.write_job("front", job("front", "front:note", 3_600))
        daemon.luad("reload", check=False)
        daemon.luad("run", "front", "--wait", check=False)
        assert not mark.exists()


def test_compiled_code_that_others_may_write_is_not_taken(tmp_path: Path) -> None:
    with besieged(tmp_path) as daemon:
        mark = tmp_path / "imported"
        daemon.write_handler("late", "def note(job): ...\n")
        daemon.write_job("late", job("late", "late:note", 3_600))
        daemon.luad("reload")
        daemon.luad("run", "late", "--wait")
        cached = next(
            each
            for each in (daemon.state / "code-cache").iterdir()
            if b"late.py" in each.read_bytes()
        )
        import importlib.util
        import marshal

        evil = compile(ACTS.format(mark=str(mark)), str(daemon.handlers / "late.py"), "exec")
        key = importlib.util.source_hash((daemon.handlers / "late.py").read_bytes())
        cached.write_bytes(key + marshal.dumps(evil))
        os.chown(cached, NOBODY, -1)
        daemon.luad("run", "late", "--wait")
        assert not mark.exists()


def test_a_database_that_others_may_write_gives_luad_no_orders(tmp_path: Path) -> None:
    with besieged(tmp_path) as daemon:
        daemon.wait_for("run.ended", job="tick")
        (daemon.state / "luad.db").chmod(0o666)
        daemon.luad("reload", check=False)
        assert "the state folder cannot be trusted" in daemon.wait_for("config.problem")["message"]
        (daemon.state / "luad.db").chmod(0o600)
