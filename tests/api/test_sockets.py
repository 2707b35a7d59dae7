"""Making, finding and removing the socket."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from luad.api.server import ApiServer
from luad.api.transport import unix_socket
from luad.errors import AlreadyRunningError, LuadError, UsageError

pytestmark = pytest.mark.socket


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_the_socket_and_its_folder_have_their_modes_under_every_umask(
    tmp_path: Path, umask: int
) -> None:
    (tmp_path / "run").mkdir(mode=0o750)
    before = os.umask(umask)
    try:
        listener = unix_socket.listen(tmp_path / "run" / "luad.sock")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "run" / "luad.sock") == 0o660
    listener.close()


def test_a_folder_that_is_missing_is_made_for_us_and_our_group(tmp_path: Path) -> None:
    listener = unix_socket.listen(tmp_path / "run" / "luad.sock")
    assert mode_of(tmp_path / "run") & 0o027 == 0
    listener.close()
    assert not (tmp_path / "run" / "luad.sock").exists()


def test_the_socket_is_never_wider_than_0660_not_for_an_instant(tmp_path: Path) -> None:
    path = tmp_path / "luad.sock"
    seen: set[int] = set()
    is_over = threading.Event()

    def look() -> None:
        while not is_over.is_set():
            with contextlib.suppress(FileNotFoundError):
                seen.add(stat.S_IMODE(os.lstat(path).st_mode))

    watcher = threading.Thread(target=look)
    before = os.umask(0)
    try:
        watcher.start()
        for _ in range(300):
            unix_socket.listen(path).close()
        listener = unix_socket.listen(path)
        while 0o660 not in seen:
            pass
        listener.close()
    finally:
        os.umask(before)
        is_over.set()
        watcher.join()
    assert {mode & ~0o660 for mode in seen} == {0}


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "luad.sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    before = path.lstat().st_ino, path.lstat().st_ctime_ns
    listener = unix_socket.listen(path)
    assert (path.lstat().st_ino, path.lstat().st_ctime_ns) != before
    listener.close()


@pytest.mark.parametrize("backlog", [0, 5])
def test_a_socket_that_somebody_answers_on_is_not_touched(tmp_path: Path, backlog: int) -> None:
    path = tmp_path / "luad.sock"
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(str(path))
        alive.listen(backlog)
        clients = [socket.socket(socket.AF_UNIX) for _ in range(backlog + 1)]
        for client in clients:  # so many that the queue is full
            client.setblocking(False)
            client.connect(str(path))
        with pytest.raises(AlreadyRunningError, match="answers at"):
            unix_socket.listen(path)
        assert path.exists()
        for client in clients:
            client.close()


def test_two_at_once_get_one_socket(tmp_path: Path) -> None:
    path = tmp_path / "luad.sock"
    made: list[unix_socket.Listener] = []
    refused: list[LuadError] = []
    gate = threading.Barrier(8)

    def try_it() -> None:
        gate.wait()
        try:
            made.append(unix_socket.listen(path))
        except LuadError as error:
            refused.append(error)

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(refused)) == (1, 7)
    assert all(isinstance(error, AlreadyRunningError) for error in refused)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    made[0].close()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_text("x"), "a file, not a socket"),
        (lambda path: path.mkdir(), "a folder, not a socket"),
        (lambda path: path.symlink_to("/etc/passwd"), "a symbolic link"),
        (os.mkfifo, "a special file"),
    ],
)
def test_what_is_no_socket_is_left_alone(tmp_path: Path, make: Any, words: str) -> None:
    path = tmp_path / "luad.sock"
    make(path)
    with pytest.raises(UsageError, match=words):
        unix_socket.listen(path)
    assert os.path.lexists(path)


def test_paths_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="longer than 107 bytes"):
        unix_socket.listen(tmp_path / ("ü" * 60))
    longest = tmp_path / ("s" * (107 - len(os.fsencode(tmp_path)) - 1))
    assert len(os.fsencode(longest)) == 107
    unix_socket.listen(longest).close()
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="not a folder"):
        unix_socket.listen(tmp_path / "file" / "luad.sock")


@pytest.mark.parametrize("mode", [0o777, 0o2777, 0o757, 0o3777 & ~0o1000])
def test_in_a_folder_that_others_may_write_the_socket_is_sheltered(
    tmp_path: Path, mode: int
) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(mode)
    path = folder / "luad.sock"
    for _ in range(2):
        listener = unix_socket.listen(path)
        assert str(path.readlink()) == ".luad-socket/luad.sock"
        assert mode_of(folder / ".luad-socket") & 0o777 == 0o750
        assert mode_of(folder / ".luad-socket" / "luad.sock") == 0o660
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
        with pytest.raises(AlreadyRunningError, match="another program answers"):
            unix_socket.listen(path)
        assert listener.is_in_place()
        listener.close()
        assert list(folder.iterdir()) == []


def test_what_a_killed_luad_left_in_its_shelter_is_replaced(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    path = tmp_path / "luad.sock"
    unix_socket.listen(path).sock.close()
    assert path.is_symlink()
    listener = unix_socket.listen(path)
    listener.sock.close()
    tmp_path.chmod(0o750)  # the folder was mended meanwhile
    listener = unix_socket.listen(path)
    assert stat.S_ISSOCK(path.lstat().st_mode)
    listener.close()


def test_a_folder_like_tmp_needs_no_shelter(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    listener = unix_socket.listen(tmp_path / "luad.sock")
    assert stat.S_ISSOCK((tmp_path / "luad.sock").lstat().st_mode)
    listener.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_a_shelter_that_another_user_made_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    (tmp_path / ".luad-socket").mkdir()
    os.chown(tmp_path / ".luad-socket", 65534, 65534)
    with pytest.raises(UsageError, match="another user made it") as caught:
        unix_socket.listen(tmp_path / "luad.sock")
    assert "rm -r" in caught.value.hint
    (tmp_path / ".luad-socket").rmdir()
    (tmp_path / ".luad-socket").symlink_to("/tmp")
    with pytest.raises(UsageError, match="it is not a folder"):
        unix_socket.listen(tmp_path / "luad.sock")


def test_the_lock_of_the_place_is_not_the_lock_of_the_folder(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # as the store does, when this is the state folder
        unix_socket.listen(tmp_path / "luad.sock").close()
        assert list(tmp_path.iterdir()) == []
    finally:
        os.close(folder)


def test_closing_does_not_remove_the_socket_of_a_successor(tmp_path: Path) -> None:
    path = tmp_path / "luad.sock"
    first = unix_socket.listen(path)
    path.rename(tmp_path / "aside")
    second = unix_socket.listen(path)
    first.close()
    assert path.exists()
    second.close()
    assert not path.exists()


def test_a_folder_without_permission_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "fchmod", deny)  # root may write everywhere: play the kernel's part
    with pytest.raises(LuadError, match="cannot listen at") as caught:
        unix_socket.listen(tmp_path / "luad.sock")
    assert str(tmp_path) in caught.value.hint


INHERITOR = """
import os, sys
from luad.api.transport import unix_socket
from luad.errors import UsageError
environ = {"LISTEN_FDS": sys.argv[1], "LISTEN_PID": str(os.getpid() + int(sys.argv[2]))}
try:
    listener = unix_socket.inherited(environ, os.getpid())
except UsageError as error:
    print("refused:", error)
else:
    print("none" if listener is None else f"{listener.path} {os.get_inheritable(3)}")
print(sorted(environ))
"""


def inherit(sock: socket.socket, count: str = "1", offset: int = 0) -> str:
    def third() -> None:
        os.dup2(sock.fileno(), 3)

    found = subprocess.run(
        [sys.executable, "-c", INHERITOR, count, str(offset)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=third,
        pass_fds=(3,),
    )
    *lines, rest = found.stdout.splitlines()
    assert rest == "[]"  # nobody after us shall take them for his
    return "\n".join(lines)


@pytest.mark.slow
def test_the_socket_of_the_service_manager_is_taken_over(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "luad.sock"))
        assert inherit(sock).startswith("refused: the inherited socket is not a listening")
        sock.listen()
        assert inherit(sock) == "None False"
        assert inherit(sock, offset=1) == "none"  # for somebody else
        assert inherit(sock, count="0").startswith("refused")
        assert inherit(sock, count="2").startswith("refused: the service manager passed 2")
    with socket.socket(socket.AF_INET) as sock:
        sock.listen()
        assert inherit(sock).startswith("refused")


async def test_an_inherited_socket_is_served_and_left_in_place(
    daemon: Any, kit: Any, tmp_path: Path
) -> None:
    path = tmp_path / "given.sock"
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen()
    sock.setblocking(False)
    server = ApiServer(daemon, None, inherited=unix_socket.Listener(sock))
    await server.start()
    assert server.address == str(path)
    api = kit.Api(path, server, daemon)
    assert (await api.get("/readyz")).status == 200
    await server.stop()
    assert path.exists()
    path.unlink()
