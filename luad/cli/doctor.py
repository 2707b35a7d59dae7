"""`luad doctor`: what may be wrong with luad on this machine, and what to do about it.

Room rule: looks; changes nothing, and no check may keep the others from being made.
"""

from __future__ import annotations

import errno
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from luad import __version__
from luad.cli.base import Command, pass_session
from luad.cli.failure import ExitCode
from luad.cli.output import clean
from luad.cli.words import plural
from luad.errors import LuadError, Severity, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from luad.cli.session import Session
    from luad.config.settings import Settings
    from luad.core.people import Person
    from luad.errors import Problem

OLDEST_PYTHON: Final = (3, 11)
LIBRARIES: Final = (
    "yaml", "jsonschema", "croniter", "watchfiles", "structlog", "sqlalchemy", "alembic",
    "starlette", "uvicorn", "click", "prometheus_client", "tzdata",
)  # fmt: skip
_NOT_TRUSTED: Final = frozenset({"LU031", "LU033", "LU042", "LU306"})
"""Advice about files that a daemon of this user would not trust; a daemon of another user may."""

CLOCK_ERROR: Final = 5
"""What adjtimex(2) returns while nobody keeps the clock in step."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line. *is_ok* None: worth knowing, neither good nor bad."""

    name: str
    is_ok: bool | None
    detail: str
    fix: str = ""


@click.command("doctor", cls=Command)
@click.option("--no-import", is_flag=True, help="Do not import the handlers")
@pass_session
def doctor(session: Session, *, no_import: bool) -> int | None:
    """Find out what is wrong with this machine's luad; each line ok or fail, with what to do.

    Exit 1 if anything failed. A daemon that does not run is no failure.
    """
    findings = list(_findings(session, with_handlers=not no_import))
    is_well = all(each.is_ok is not False for each in findings)
    if session.json:
        checks = [
            {"name": each.name, "ok": each.is_ok, "detail": each.detail, "fix": each.fix or None}
            for each in findings
        ]
        session.out.json({"ok": is_well, "checks": checks})
    else:
        for each in findings:
            glyph, word, style = {
                True: ("✓", "ok  ", "green"), False: ("✗", "fail", "red"), None: ("·", "note", "dim"),
            }[each.is_ok]  # fmt: skip
            session.out.line(f"{glyph} {word}  {each.name:<12} {clean(each.detail)}", style)
            if each.fix:
                session.out.line(f"                     fix: {clean(each.fix)}")
    return None if is_well else ExitCode.ERROR


def _findings(session: Session, *, with_handlers: bool) -> Iterator[Finding]:
    yield _python()
    yield _libraries()
    yield _zones()
    yield _clock()
    chosen = yield from _settings(session)
    if chosen is not None:
        yield from _files(session, chosen, with_handlers=with_handlers)
        yield _places(chosen)
        yield _state(chosen)
        yield from _port(session, chosen)
        yield _schema_copy()
        yield from _upgrade(session, chosen)
    yield from _packages(session)
    yield from _processes(session)
    yield _daemon(session)


def _good(name: str, detail: str) -> Finding:
    return Finding(name, is_ok=True, detail=detail)


def _fail(name: str, detail: str, fix: str) -> Finding:
    return Finding(name, is_ok=False, detail=detail, fix=fix)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    is_ok = sys.version_info >= OLDEST_PYTHON
    fix = "" if is_ok else "luad needs Python 3.11 or newer"
    return Finding("python", is_ok, f"{version}  {sys.executable}", fix)


def _libraries() -> Finding:
    from importlib.util import find_spec

    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        fix = f"{sys.executable} -m pip install {' '.join(missing).replace('yaml', 'PyYAML')}"
        return _fail("libraries", f"missing: {' '.join(missing)}", fix)
    return _good("libraries", f"all {len(LIBRARIES)} are there")


def _zones() -> Finding:
    from luad.core.cron import ZoneError, load_zone

    try:
        load_zone("Europe/London")
    except ZoneError as error:
        return _fail("zone data", str(error), "pip install tzdata")
    return _good("zone data", "time zones can be loaded")


def _clock() -> Finding:
    """Ask the kernel whether somebody keeps the clock in step."""
    import ctypes

    libc = ctypes.CDLL(None)
    buffer = ctypes.create_string_buffer(512)  # struct timex, all zero: only look
    if not hasattr(libc, "adjtimex") or (state := libc.adjtimex(buffer)) < 0:
        return Finding("clock", None, "the system does not tell whether the clock is in step")
    if state == CLOCK_ERROR:
        fix = "timedatectl set-ntp true   (a container has its host's clock)"
        return Finding("clock", None, "nobody keeps the clock in step", fix)
    return _good("clock", "in step")


def _settings(session: Session) -> Generator[Finding, None, Settings | None]:
    from luad.cli import project

    try:
        chosen = project.settings(session)
    except LuadError as error:
        yield _fail("settings", error.message, error.hint)
        return None
    path = project.settings_path(session)
    yield _good("settings", str(path) if path else "no luad.yaml: the defaults")
    return chosen


def _files(session: Session, chosen: Settings, *, with_handlers: bool) -> Iterator[Finding]:
    from luad.cli.examine import examine, is_in

    try:
        examined = examine(session, (), with_handlers=with_handlers)
    except LuadError as error:
        yield _fail("job files", error.message, error.hint)
        return
    errors = [each for each in examined.problems if each.severity is Severity.ERROR]
    advice = [each for each in examined.problems if each.code in _NOT_TRUSTED]

    def group_of(problem: Problem) -> str:
        if problem.code.startswith(("LU03", "LU04")):
            return "permissions"
        if is_in(Path(problem.path), chosen.users):
            return "users files"
        return "handlers" if problem.code.startswith("LU3") else "job files"

    for name in ("permissions", "job files", "users files", "handlers"):
        found = [each for each in errors if group_of(each) == name]
        if name == "handlers" and not with_handlers:
            continue
        if found:
            first = f"{found[0].path}: {found[0].message}"
            fix = found[0].help if len(found) == 1 and found[0].help else "luad check shows all"
            yield _fail(name, f"{plural(len(found), 'problem')}; {first}", fix)
        elif notes := [each for each in advice if group_of(each) == name]:
            first = f"{notes[0].path}: {notes[0].message}"
            yield Finding(name, None, f"{plural(len(notes), 'warning')}; {first}", notes[0].help)
        else:
            yield _good(name, f"{plural(examined.file_count, 'file')}, no problems")
    yield _channels(examined.people.values())


def _channels(people: Iterable[Person]) -> Finding:
    """Whether what the channels of users files need is installed."""
    from importlib.util import find_spec

    channels = [channel for person in people for channel in person.channels]
    needing = [each for each in channels if each.kind.value == "apprise"]
    if needing and find_spec("apprise") is None:
        fix = f"{sys.executable} -m pip install apprise"
        return _fail("channels", f"{plural(len(needing), 'channel')} need apprise", fix)
    return _good("channels", plural(len(channels), "channel"))


def _port(session: Session, chosen: Settings) -> Iterator[Finding]:
    """Whether the daemon could listen where the settings say, or does."""
    import socket

    address = chosen.listen
    if address is None:
        return
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        with socket.socket(found[0][0], socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(found[0][4])
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        if error.errno == errno.EADDRINUSE and _daemon(session).is_ok is not None:
            yield Finding("listen", None, f"{address} is taken, by the daemon that runs presumably")
        else:
            fix = "change `listen` in luad.yaml; ss -ltnp says who is there"
            yield _fail("listen", f"cannot listen on {address}: {reason}", fix)
    else:
        yield _good("listen", f"{address} is free")


def _places(chosen: Settings) -> Finding:
    """Whether a daemon of this user would trust the places that it takes its orders from."""
    from luad.cli.checkout import is_of_another_user
    from luad.daemon.places import Places

    found = list(Places(chosen).found())
    if not found:
        return _good("places", "handlers, state and settings are nobody else's to write")
    errors = [each for each in found if not is_of_another_user(each[1])]
    what, problem = (errors or found)[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    detail = f"{what} cannot be trusted: {problem.message}{more}"
    return Finding("places", False if errors else None, detail, problem.help)


def _state(chosen: Settings) -> Finding:
    """Whether a daemon of this user could keep its history."""
    folder = chosen.state_dir
    place = next((each for each in (folder, *folder.absolute().parents) if each.exists()), Path())
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
        return _good("state", f"{folder} can be written, {free / 1e9:.1f} GB free")
    fix = f"the daemon's user must own it: chown $USER {place}; or choose another --state"
    return _fail("state", f"{folder} cannot be written", fix)


def _upgrade(session: Session, chosen: Settings) -> Iterator[Finding]:
    """All that this luad would refuse of the state and the files of an older one."""
    from luad.cli.refusals import refusals

    yield from refusals(session, chosen)


def _schema_copy() -> Finding:
    from luad.cli.schema import NAMES, schema_path, schema_text

    folder = Path(".luad")
    copies = [name for name in NAMES if schema_path(folder, name).exists()]
    stale = [
        name
        for name in copies
        if schema_path(folder, name).read_text(encoding="utf-8") != schema_text(name)
    ]
    if stale:
        fix = "luad schema --write .luad"
        return _fail("schema copy", "older than this luad; editors check by it", fix)
    detail = (
        "up to date" if copies else "none here; luad schema --write .luad makes one for editors"
    )
    return Finding("schema copy", True if copies else None, detail)


def _packages(session: Session) -> Iterator[Finding]:
    """Whether commands look for packages where the daemon's runs do."""
    try:
        theirs = session.client(timeout=5, is_quiet=True).get("/status").get("python")
    except LuadError:
        return  # the check of the daemon says so
    if theirs and theirs != sys.executable:
        detail = f"the daemon's runs use {theirs}, luad check and luad test use {sys.executable}"
        yield Finding("packages", None, detail, f"{theirs} -m luad check")


def _processes(session: Session) -> Iterator[Finding]:
    """The processes that outlived a run whose keeper was killed."""
    try:
        found = session.client(timeout=5, is_quiet=True).get("/status").get("orphan_processes")
    except LuadError:
        return  # the check of the daemon says so
    if not found:
        return
    if not found["count"]:
        yield _good("processes", "no process has outlived its run")
        return
    alive = [each for each in found["latest"] if each["alive"]]
    ended = [each for each in found["latest"] if not each["alive"]]
    if ended:
        count = found["count"] - len(alive)
        processes = "1 process" if count == 1 else f"{count} processes"
        detail = (
            f"luad ended {processes} that had outlived a killed keeper"
            f" without LUAD_RUN_ID: {_names(ended)}"
        )
        yield Finding(
            "processes",
            None,
            detail,
            "find the handler that ends its parent process; luad show RUN names its job",
        )
    if alive:
        processes = "1 process is" if len(alive) == 1 else f"{len(alive)} processes are"
        detail = f"{processes} alive below luad and belong to no run: {_names(alive)}"
        fix = f"kill {' '.join(str(each['pid']) for each in alive)}"
        yield Finding("processes", None, detail, fix)


def _names(processes: Iterable[Mapping[str, Any]]) -> str:
    return ", ".join(
        f"{each['name']} (pid {each['pid']}{', ' + each['run_id'] if each['run_id'] else ''})"
        for each in processes
    )


def _daemon(session: Session) -> Finding:
    from luad.cli.whose import other_daemon

    try:
        client = session.client(timeout=5, is_quiet=True)
        answer = client.get("/status")
        stranger = other_daemon(session, client)
    except UnavailableError as error:
        return Finding("daemon", None, error.message, error.hint)
    except LuadError as error:
        return _fail("daemon", error.message, error.hint)
    if stranger is not None:
        return _fail("daemon", stranger, "luad serve starts this project's own")
    theirs = answer.get("version")
    if theirs != __version__:
        fix = "restart it: systemctl restart luad"
        return _fail("daemon", f"it is luad {theirs}, this is {__version__}", fix)
    is_ok = answer.get("status") == "ok"
    fix = "" if is_ok else "luad status says what is wrong"
    return Finding("daemon", is_ok, f"{answer.get('status')}, pid {answer.get('pid')}", fix)
