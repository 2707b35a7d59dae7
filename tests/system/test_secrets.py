"""Secrets go in by every road there is, and come out nowhere but where that is meant.

Every road has its own canary; the logs, every answer of the API, everything the command line prints, the
database with its companions, the processes and what they leave when they crash are searched for all of them.
"""

from __future__ import annotations

import http.client
import json
import re
import resource
import socket
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support.live_daemon import LiveDaemon, children_of

from luad.api.config_files import id_of
from luad.api.routes.table import TABLE
from luad.config.jobs.job_file import load_file
from luad.config.settings.daemon_settings import Settings

CANARY = re.compile(rb"canary-[a-z]+-[0-9]+")
ROADS = (
    "variable",  # ${NAME} in a channel's address
    "header",  # ${NAME} in a channel's header
    "file",  # file:/path as a channel's address
    "credential",  # credential:name, and a handler that reads it
    "clear",  # the password of an address that stands in a users file
    "passed",  # a variable that pass_env hands to handlers
    "own",  # any other variable of the daemon with a name that tells
    "env",  # `env` of a job file
    "made",  # `env` of a job that was made at run time
    "broken",  # `env` beside a mistake in a job file
    "address",  # the password of an address that a handler prints
    "metadata",  # a job's metadata: meant to be seen
)
SECRET = {road: f"canary-{road}-{number + 4711}" for number, road in enumerate(ROADS)}

HANDLERS = """
import logging, os, sys, time
from pathlib import Path

SEEN = ["PASSED_TOKEN", "API_KEY"]

def leak(job):
    words = [os.environ.get(name, "") for name in SEEN]
    words.append((Path(os.environ["CREDENTIALS_DIRECTORY"]) / "smtp").read_text())
    words.append(f"postgres://ann:{job.metadata['part']}@db.example/x")
    print("said", *words)
    print("complained", *words, file=sys.stderr)
    logging.getLogger("app").warning("logged %s", words, extra={"words": words})
    if job.metadata.get("fails"):
        raise RuntimeError(f"raised {words}")
    return {"returned": words, words[0]: 1}

async def send(job):
    user = await job.user()
    await user.send("hello")

def wait(job):
    print("waiting")
    time.sleep(60)

def crash(job):
    secret = os.environ["API_KEY"]
    os.abort()
"""
JOB = """
name: {name}
handler: work:{handler}
schedule: {{type: interval, seconds: 86400}}
user: ann
env: {{API_KEY: {env}, REGION: emea}}
metadata: {{part: {address}, shown: {metadata}, fails: {fails}}}
"""
BROKEN = """
name: broken
handler: work:leak
schedule: {type: interval, seconds: 0}
env:
  DB_PASSWORD: SECRET
  TIMES: 3
"""
USERS = """
id: ann
channels:
  - {{type: webhook, name: a, url: "http://127.0.0.1:{port}/${{HOOK}}", allow_private: true}}
  - {{type: webhook, name: b, url: "http://127.0.0.1:{port}/b", allow_private: true,
      headers: {{Authorization: "Bearer ${{HEAD}}"}}}}
  - {{type: webhook, name: c, url: "file:{folder}/hook", allow_private: true}}
  - {{type: webhook, name: d, url: "http://luad:{clear}@127.0.0.1:{port}/d", allow_private: true}}
  - {{type: webhook, name: e, url: "http://127.0.0.1:{port}/e", allow_private: true,
      headers: {{X-Key: "credential:smtp"}}}}
"""


class Echo(BaseHTTPRequestHandler):
    """A service that refuses, and repeats in its answer everything it was told."""

    heard = b""

    def do_POST(self) -> None:
        type(self).heard += f"{self.path} {self.headers}".encode()
        body = f"{self.path} {self.headers}".encode()
        self.send_response(400, "no")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


def ask(daemon: LiveDaemon, path: str, body: Any = None, method: str = "") -> bytes:
    connection = http.client.HTTPConnection("localhost", timeout=60)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(20)
    connection.sock.connect(str(daemon.socket))
    data = None if body is None else json.dumps(body)
    headers = {} if data is None else {"Content-Type": "application/json"}
    connection.request(method or ("GET" if data is None else "POST"), path, data, headers)
    answer = connection.getresponse().read()
    connection.close()
    return answer


def answers(daemon: LiveDaemon) -> Iterator[tuple[str, bytes]]:
    """Yield what every route that can be read says of everything there is."""
    jobs = [each["name"] for each in daemon.json("list", "--all")["jobs"]]
    runs = [row[0] for row in daemon.rows("SELECT id FROM runs")]
    files = [id_of(str(path)) for path in sorted(daemon.jobs.glob("*.yaml"))]
    names = {
        "job": jobs,
        "run": runs,
        "user": ["ann"],
        "token": [],
        "file": files,
        "handler": ["work:leak"],
    }
    paths = {
        path for row in TABLE for path in row.paths if row.method == "GET" and "{code}" not in path
    }
    for path in sorted(paths - {"/v1/events"}):  # that one never ends
        kind = re.search(r"\{(\w+)\}", path)
        for name in names[kind[1]] if kind else [""]:
            filled = re.sub(r"\{\w+\}", name, path)
            yield filled, ask(daemon, filled)
    yield "/v1/config/check", ask(daemon, "/v1/config/check", {})
    yield "/v1/config/reload", ask(daemon, "/v1/config/reload", {})


def listen(daemon: LiveDaemon, heard: bytearray) -> threading.Thread:
    """Collect what everybody is told of while it happens, until the daemon ends."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(daemon.socket))
    client.sendall(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")

    def read() -> None:
        with client:
            while piece := client.recv(65_536):
                heard.extend(piece)

    thread = threading.Thread(target=read)
    thread.start()
    return thread


def printed(daemon: LiveDaemon) -> Iterator[tuple[str, bytes]]:
    """Yield what the command line says."""
    for command in (
        ("list", "--all"), ("status",), ("history",), ("logs", "leak"), ("show", "leak"), ("users",),
        ("show", "leak", "--yaml"), ("show", "made", "--yaml"), ("show", "made", "--json"),
        ("users", "show", "ann"), ("token",), ("show", "@last-failed"), ("logs", "fails"),
        ("reload",), ("show", "fails", "--traceback", "full"),
    ):  # fmt: skip
        done = daemon.luad(*command, check=False)
        assert done.returncode != 2, done.stderr
        yield " ".join(command), (done.stdout + done.stderr).encode()
    for command in (("doctor",), ("check",), ("check", "--format", "json")):
        config = ("--config", str(daemon.folder / "luad.yaml"))
        done = daemon.luad(*config, *command, check=False)
        assert done.returncode != 2, done.stderr
        yield " ".join(command), (done.stdout + done.stderr).encode()


def stored(daemon: LiveDaemon) -> Iterator[tuple[str, bytes]]:
    """Yield the rows of every table, and the bytes of every file in the state folder."""
    connection = sqlite3.connect(f"file:{daemon.state / 'luad.db'}?mode=ro", uri=True)
    tables = [
        name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
    ]
    for table in tables:
        rows = connection.execute(f'SELECT * FROM "{table}"').fetchall()  # noqa: S608 - its own names
        yield f"table {table}", repr(rows).encode()
    connection.close()
    for path in daemon.state.rglob("*"):
        if path.is_file():
            yield f"file {path.name}", path.read_bytes()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A daemon to which everything has happened, and what was seen of it by road."""
    folder = tmp_path_factory.mktemp("secrets")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_port
    (folder / "credentials").mkdir()
    (folder / "credentials" / "smtp").write_text(SECRET["credential"] + "\n")
    (folder / "hook").write_text(f"http://127.0.0.1:{port}/{SECRET['file']}\n")
    (folder / "users.d").mkdir()
    (folder / "users.d" / "ann.yaml").write_text(
        USERS.format(port=port, folder=folder, clear=SECRET["clear"])
    )
    (folder / "luad.yaml").write_text("pass_env: [PASSED_TOKEN, CREDENTIALS_DIRECTORY]\n")
    environ = {
        "HOOK": SECRET["variable"],
        "HEAD": SECRET["header"],
        "PASSED_TOKEN": SECRET["passed"],
        "SMTP_PASSWORD": SECRET["own"],
        "CREDENTIALS_DIRECTORY": str(folder / "credentials"),
    }
    daemon = LiveDaemon(folder, "--config", str(folder / "luad.yaml"), env=environ)
    # As in most containers: whoever crashes would leave all its memory in a file where it stands.
    daemon.launcher = ("prlimit", "--core=unlimited:unlimited", "env", f"--chdir={folder}")
    heard = bytearray()
    daemon.write_handler("work", HANDLERS)
    for name, handler in (
        ("leak", "leak"),
        ("fails", "leak"),
        ("send", "send"),
        ("wait", "wait"),
        ("crash", "crash"),
    ):
        fails = "true" if name == "fails" else "false"
        daemon.write_job(name, JOB.format(name=name, handler=handler, fails=fails, **SECRET))
    daemon.write_job("broken", BROKEN.replace("SECRET", SECRET["broken"]))
    with daemon:
        listener = listen(daemon, heard)
        made = {
            "name": "made", "handler": "work:leak", "schedule": {"type": "interval", "seconds": 86_400},
            "env": {"API_KEY": SECRET["made"]}, "metadata": {"part": SECRET["address"]},
        }  # fmt: skip
        ask(daemon, "/v1/jobs", made)
        token = daemon.json("token", "create", "ci")["token"]
        for name in ("leak", "fails", "send", "made", "crash"):
            daemon.luad("run", name, "--wait", check=False)
        daemon.luad("send", "ann", "hello", check=False)
        daemon.luad("run", "wait")
        daemon.wait_for("run.output", message="waiting")
        processes = dict(_processes(daemon))
        found = {
            "answers": dict(answers(daemon)),
            "printed": dict(printed(daemon)),
            "processes": processes,
            "stored": dict(stored(daemon)),
        }
        cores = {place: _core_limit(place) for place in processes if place.startswith("cmdline")}
        daemon.luad("cancel", "@last", "--kill", check=False)
    daemon.drain_log()
    listener.join()
    found["answers"]["/v1/events"] = bytes(heard)
    found["logged"] = {each["event"]: b"" for each in daemon.lines}
    for line in daemon.lines:
        found["logged"][line["event"]] += json.dumps(line).encode() + b"\n"
    left = [path for path in folder.rglob("core*") if path.is_file()]
    yield {"found": found, "token": token.encode(), "cores": cores, "left": left}
    server.shutdown()
    server.server_close()


def _processes(daemon: LiveDaemon) -> Iterator[tuple[str, bytes]]:
    """Yield command line and environment of the daemon and of all it has started."""
    for pid in (daemon.process.pid, *children_of(daemon.process.pid)):
        folder = Path("/proc", str(pid))
        command = (folder / "cmdline").read_bytes()
        yield f"cmdline {pid}", command
        if pid != daemon.process.pid and b"luad.messenger" not in command:
            yield f"environ {pid}", (folder / "environ").read_bytes()


def _core_limit(place: str) -> int:
    """How many bytes that process may leave behind when it crashes."""
    return resource.prlimit(int(place.removeprefix("cmdline ")), resource.RLIMIT_CORE)[0]


def roads_in(text: bytes) -> set[str]:
    return {each.split(b"-")[1].decode() for each in CANARY.findall(text)}


def test_every_secret_has_reached_whom_it_is_for(told: Any) -> None:
    assert roads_in(Echo.heard) == {"variable", "header", "file", "credential"}
    assert b"Basic " in Echo.heard, "what stands before the @ is sent as it is meant"
    logged = told["found"]["logged"]
    assert b"said *** ***" in logged["run.output"], logged["run.output"]
    for name in ("leak", "fails", "made"):
        assert f'"job": "{name}"'.encode() in logged["run.ended"]
    assert b'"ending": "signalled", "signal": 6' in logged["run.ended"], "one has crashed"
    assert told["found"]["answers"]["/v1/events"].count(b"event: run.") > 10


@pytest.mark.parametrize("kind", ["logged", "answers", "printed", "stored", "processes"])
def test_no_secret_is_seen_where_it_is_not_meant_to_be(told: Any, kind: str) -> None:
    seen = {place: roads_in(text) for place, text in told["found"][kind].items()}
    wrong = {place: roads - _meant(kind, place) for place, roads in seen.items()}
    assert {place: roads for place, roads in wrong.items() if roads} == {}
    assert len(seen) >= 5


def _meant(kind: str, place: str) -> set[str]:
    """A secret may be seen where the documentation says so."""
    metadata = {"metadata", "address"}  # a job's metadata are shown to whoever may look at the job
    if kind in ("answers", "printed"):
        return metadata
    if kind == "stored":
        definitions = {"env", "made"} | metadata  # the last good version has to outlive a restart
        if place in ("table jobs", "table revisions") or place.startswith("file luad.db"):
            return definitions
    if kind == "processes" and place.startswith("environ"):
        return {"passed"}  # what pass_env says
    return set()


def test_nobody_leaves_a_core_file_it_would_hold_every_secret(told: Any) -> None:
    """Whose memory is kept is not for luad to say when the kernel hands it to a program: see core(5)."""
    assert len(told["cores"]) >= 4, "the daemon, the spawner, a keeper and a handler"
    assert set(told["cores"].values()) == {0}
    assert told["left"] == []


def test_a_jobs_metadata_are_shown(told: Any) -> None:
    """A value in clear is meant to be seen there, as the documentation says."""
    assert roads_in(told["found"]["answers"]["/v1/jobs/leak"]) == {"metadata", "address"}


def test_the_value_of_a_variable_that_tells_is_masked_and_the_mask_is_not_taken_back(
    told: Any,
) -> None:
    shown = json.loads(told["found"]["answers"]["/v1/jobs/made"])["definition"]
    assert shown["env"] == {"API_KEY": "***"}
    leak = json.loads(told["found"]["answers"]["/v1/jobs/leak"])["definition"]
    assert leak["env"] == {"API_KEY": "***", "REGION": "emea"}
    exported = told["found"]["printed"]["show made --yaml"].decode()
    assert "luad shows no secrets; insert the value of API_KEY" in exported
    (problem,) = load_file(
        "made.yaml", exported.partition("luad shows")[0].encode(), settings=Settings()
    ).problems
    assert problem.message == "`API_KEY` in `env` is the mask of a secret, not the secret"


def test_the_secret_of_a_token_is_nowhere(told: Any) -> None:
    for kind, places in told["found"].items():
        assert [place for place, text in places.items() if told["token"] in text] == [], kind
