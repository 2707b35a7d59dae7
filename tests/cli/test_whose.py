"""Which daemon a command reaches, which process it trusts, and what it says of it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from luad.cli import main
from luad.cli.project.folders import state_folders
from luad.cli.project.target_daemon import connect
from luad.cli.session import Session
from luad.client import Client
from luad.project_socket import Project, find_project
from luad.socket_paths import Place, WrongPeerError, check_peer

RUN = {"id": "run_01M8NPPNVVVW9GQK7D66QM5R6M", "job_name": "a", "status": "queued"}
LUAD_YAML = "timezone: UTC\n"


def make_project(folder: Path) -> Path:
    (folder / "jobs.d" / "deep").mkdir(parents=True)
    (folder / "luad.yaml").write_text(LUAD_YAML)
    return folder


# --- the walk ----------------------------------------------------------------------------------


def test_a_project_is_found_from_every_folder_below_it(tmp_path: Path) -> None:
    project = Project(make_project(tmp_path / "b"), tmp_path / "b" / "luad.yaml")
    for start in ("", "jobs.d", "jobs.d/deep"):
        assert find_project(tmp_path / "b" / start) == project
    assert find_project(tmp_path) is None
    inner = make_project(tmp_path / "b" / "jobs.d" / "deep" / "inner")
    assert find_project(inner / "jobs.d") == Project(inner, inner / "luad.yaml")


def test_a_folder_with_jobs_and_no_settings_is_a_project_for_those_who_stand_in_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "jobs.d").mkdir()
    assert find_project(tmp_path) == Project(tmp_path, None)
    assert find_project(tmp_path / "jobs.d") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
@pytest.mark.parametrize("spoilt", ["luad.yaml", "."])
@pytest.mark.parametrize("how", ["owner", "mode"])
def test_the_walk_leaves_out_what_others_may_write(tmp_path: Path, spoilt: str, how: str) -> None:
    outer = make_project(tmp_path / "outer")
    inner = make_project(outer / "inner")
    if how == "owner":
        os.chown(inner / spoilt, 65534, 65534)
    else:
        (inner / spoilt).chmod(0o777)
    found = find_project(inner / "jobs.d" / "deep")
    assert found is not None
    assert found.folder == outer


def test_the_walk_stops_at_a_mount_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_project(tmp_path / "b")
    mounts = tmp_path / "mountinfo"
    place = str(tmp_path / "b" / "jobs.d").replace("_", r"\137")
    mounts.write_text(f"36 35 98:0 / {place} rw,noatime master:1 - ext3 /dev/root rw\n")
    monkeypatch.setattr("luad.mount_points.MOUNTS", str(mounts))
    assert find_project(tmp_path / "b" / "jobs.d" / "deep") is None
    assert find_project(tmp_path / "b") is not None


def test_the_socket_of_a_project_has_a_path_of_at_most_100_bytes() -> None:
    short, long = Project(Path("/srv/b"), None), Project(Path("/srv") / ("b" * 100), None)
    assert short.socket({}, 1000) == Path("/srv/b/.luad/luad.sock")
    hashed = long.socket({"XDG_RUNTIME_DIR": "/run/user/1000"}, 1000)
    assert str(hashed.parent) == "/run/user/1000/luad"
    assert len(hashed.name) == len("0123456789abcdef.sock")
    other = Project(Path("/srv") / ("c" * 100), None)
    assert other.socket({"XDG_RUNTIME_DIR": "/run/user/1000"}, 1000) != hashed
    assert long.socket({}, 0).parent == Path("/run/luad")


# --- the peer ----------------------------------------------------------------------------------


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Path]:
    """A socket on which a process of another user answers, as the kernel tells it."""
    path = tmp_path / "luad.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        os.seteuid(65534)  # the kernel notes who calls listen(2)
        try:
            server.listen()
        finally:
            os.seteuid(0)
        path.chmod(0o666)
        yield path


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")


@needs_root
def test_a_stranger_that_answers_is_refused_and_named(
    stranger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUAD_PERMIT_INSECURE", "true")  # it is about files, never about this
    link = tmp_path / "link.sock"
    link.symlink_to(stranger)
    for path in (stranger, link):
        with pytest.raises(WrongPeerError, match=r"uid 65534.*answers at .*\.sock") as caught:
            Client(path).get("/status")
        assert "LUAD_STATE_DIR" in caught.value.hint


@needs_root
def test_the_owner_of_the_state_folder_is_trusted_but_not_at_the_socket_of_a_project(
    stranger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    os.chown(state, 65534, 65534)
    monkeypatch.setenv("LUAD_STATE_DIR", str(state))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(stranger))
        check_peer(client, Place(stranger))
        with pytest.raises(WrongPeerError, match="root or to you"):
            check_peer(client, Place(stranger, is_project=True))
        monkeypatch.delenv("LUAD_STATE_DIR")
        with pytest.raises(WrongPeerError):
            check_peer(client, Place(stranger))
        check_peer(client, Place(stranger), lambda: [state])


def by_settings(folder: Path) -> None:
    (folder / "luad.yaml").write_text(f"state_dir: {folder}/.luad\n")
    os.chown(folder / "luad.yaml", 65534, 65534)


def by_job_folder(folder: Path) -> None:
    (folder / "jobs.d").mkdir()
    os.chown(folder / "jobs.d", 65534, 65534)


def by_working_folder(folder: Path) -> None:
    os.chown(folder, 65534, 65534)


@needs_root
@pytest.mark.parametrize("plant", [by_settings, by_job_folder, by_working_folder])
def test_what_another_user_wrote_names_no_state_folder(
    stranger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: Callable[[Path], None]
) -> None:
    folder = tmp_path / "theirs"
    (folder / ".luad").mkdir(parents=True)
    os.chown(folder / ".luad", 65534, 65534)
    plant(folder)
    monkeypatch.chdir(folder)
    with pytest.raises(WrongPeerError):
        connect(Session(socket=str(stranger)), is_quiet=True).get("/status")


@needs_root
def test_settings_that_only_root_may_write_name_the_state_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(make_project(tmp_path / "b"))
    assert state_folders(Session()) == [Path(".luad")]
    (tmp_path / "b" / "luad.yaml").write_text(f"state_dir: {tmp_path}/s\n")
    assert state_folders(Session()) == [tmp_path / "s"]
    os.chown(tmp_path / "b" / "luad.yaml", 65534, 65534)
    assert state_folders(Session()) == []
    assert state_folders(Session(config=str(tmp_path / "b" / "luad.yaml"))) == []


# --- what is said ------------------------------------------------------------------------------


def test_a_command_that_acts_names_the_daemon_and_one_that_looks_does_not(
    peer: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    peer.answers["POST /jobs/a/trigger"] = RUN
    peer.answers["POST /jobs/a/deactivate"] = {"name": "a", "pause": {}}
    peer.answers["POST /explain"] = {}
    for words in (["run", "a"], ["pause", "a"]):
        assert main(words) == 0
        assert capfd.readouterr().err.count(f"on the daemon at {peer.socket}\n") == 1
        assert main(["--json", *words]) == 0
        assert main(["-q", *words]) == 0
        assert "on the daemon" not in capfd.readouterr().err
    assert main(["run", "none"]) == 3
    assert "on the daemon" not in capfd.readouterr().err, "it did not act"


@pytest.fixture
def elsewhere(
    peer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[list[str]], None]:
    """The working folder is project b, and the daemon of another place answers."""
    monkeypatch.delenv("LUAD_SOCKET")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "luad.sock").symlink_to(peer.socket)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    monkeypatch.chdir(make_project(tmp_path / "b") / "jobs.d")
    peer.answers["POST /jobs/a/trigger"] = RUN
    peer.answers["GET /jobs"] = {"jobs": []}

    def serves(folders: list[str]) -> None:
        peer.answers["GET /status"] = {"jobs_dirs": folders, "status": "ok"}

    return serves


def test_a_daemon_of_other_folders_is_not_acted_on(
    peer: Any, luad: Callable[..., Any], elsewhere: Callable[[list[str]], None], tmp_path: Path
) -> None:
    elsewhere(["/etc/luad/jobs.d"])
    done = luad("run", "a")
    assert done.code == 8
    assert "serves /etc/luad/jobs.d, and not this project" in done.err
    assert str(tmp_path / "b" / "jobs.d") in done.err
    assert "--socket" in done.err
    assert [each.method for each in peer.asked] == ["GET"], "nothing was changed"
    looked = luad("list")
    assert looked.code == 0
    assert looked.err.startswith("note: the daemon at ")
    assert "serves /etc/luad/jobs.d" in looked.err


def test_a_daemon_that_is_named_or_serves_these_folders_is_acted_on(
    peer: Any,
    luad: Callable[..., Any],
    elsewhere: Callable[[list[str]], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    elsewhere([str(tmp_path / "b" / "jobs.d")])
    assert luad("run", "a").code == 0
    elsewhere(["/etc/luad/jobs.d"])
    assert luad("run", "a", "--socket", peer.socket).code == 0
    monkeypatch.setenv("LUAD_SOCKET", str(peer.socket))
    assert luad("run", "a").code == 0
    monkeypatch.delenv("LUAD_SOCKET")
    monkeypatch.chdir(tmp_path)
    assert luad("run", "a").code == 0, "outside of projects there is nothing to mix up"
