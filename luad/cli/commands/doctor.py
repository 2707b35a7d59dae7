"""`luad doctor`: checks of luad on this machine, each with a fix.

Rule: it changes nothing, and a failed check does not prevent the others.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from luad.cli.base import Command, pass_session
from luad.cli.project import found_daemon
from luad.cli.project.finding import Finding, fail, good, note
from luad.cli.terminal.failure import ExitCode
from luad.cli.terminal.labels import plural
from luad.cli.terminal.output import clean
from luad.cli.terminal.progress import progress
from luad.clock import machine_zone
from luad.errors import LuadError, Severity

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from luad.cli.project.examine import CheckResult
    from luad.cli.session import Session
    from luad.config.settings.daemon_settings import Settings
    from luad.core.messaging import User
    from luad.errors import Problem

OLDEST_PYTHON: Final = (3, 11)
LIBRARIES: Final = (
    "yaml", "jsonschema", "croniter", "watchfiles", "structlog", "sqlalchemy", "alembic",
    "starlette", "uvicorn", "click", "prometheus_client", "tzdata", "jinja2",
)  # fmt: skip
_NOT_TRUSTED: Final = frozenset({"LU031", "LU033", "LU042", "LU306"})
"""Warnings about files that a daemon of this user would not trust; that of another user may."""

CLOCK_ERROR: Final = 5
"""The result of adjtimex(2) while no service synchronizes the clock."""


@click.command("doctor", cls=Command)
@click.option("--no-import", is_flag=True, help="Do not import the handlers")
@pass_session
def doctor(session: Session, *, no_import: bool) -> int | None:
    """Check luad on this machine; each line is ok, fail or note, with a fix.

    It checks the state, folders and users of the running daemon; without one, those of the working
    directory. Exit 1 if a check failed. A daemon that does not run is not a failure.
    """
    with progress(session.out, "checking"):
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
    daemon = found_daemon.find_daemon(session)
    if daemon.is_remote:
        detail = "not checked: a URL names the daemon"
        yield note("files", detail, "luad doctor on the machine of the daemon")
        path, chosen = None, None
    else:
        path, chosen = yield from _settings(session, daemon)
    if chosen is not None:
        yield _timezone(daemon, chosen)
        project = found_daemon.ProjectSettings(chosen, path)
        yield from _files(session, project, daemon, with_handlers=with_handlers)
        yield found_daemon.places(daemon) if daemon.is_foreign else _places(chosen)
        yield found_daemon.state(daemon, chosen.state_dir) if daemon.status else _state(chosen)
        if daemon.status and "listen" in daemon.status:
            yield from found_daemon.listening(daemon.status, chosen)
        else:
            yield from _port(chosen, is_running=daemon.about.is_ok is not None)
        yield from _schema_copy(chosen)
        yield from _upgrade(session, project)
    yield from found_daemon.packages(daemon)
    yield from found_daemon.processes(daemon)
    yield daemon.about


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
        return fail("libraries", f"missing: {' '.join(missing)}", fix)
    return good("libraries", f"all {len(LIBRARIES)} are installed")


def _zones() -> Finding:
    from luad.core.cron.search import ZoneError, load_zone

    try:
        load_zone("Europe/London")
    except ZoneError as error:
        return fail("zone data", str(error), "pip install tzdata")
    return good("zone data", "time zones can be loaded")


def _clock() -> Finding:
    """Return whether a service synchronizes the clock, as the kernel knows it."""
    import ctypes

    libc = ctypes.CDLL(None)
    buffer = ctypes.create_string_buffer(512)  # struct timex, all zero: read only
    if not hasattr(libc, "adjtimex") or (state := libc.adjtimex(buffer)) < 0:
        return Finding("clock", None, "the system does not say whether the clock is synchronized")
    if state == CLOCK_ERROR:
        fix = "timedatectl set-ntp true   (a container has its host's clock)"
        return Finding("clock", None, "no service synchronizes the clock", fix)
    return good("clock", "synchronized")


def _settings(
    session: Session, daemon: found_daemon.FoundDaemon
) -> Generator[Finding, None, tuple[Path | None, Settings | None]]:
    """Return the settings of the daemon; without one those of the working directory."""
    from luad.cli.project import folders

    chosen, path, whose = None, None, ""
    try:
        if daemon.status is not None:
            path = found_daemon.settings_place(session, daemon.status)
            chosen = found_daemon.settings_of(daemon.status, path)
            whose = f", of the daemon (pid {daemon.status.get('pid')})"
        if chosen is None:
            path, chosen, whose = folders.settings_path(session), folders.settings(session), ""
    except LuadError as error:
        yield fail("settings", error.message, error.hint)
        return path, None
    yield good("settings", f"{path or 'no luad.yaml: the defaults'}{whose}")
    return path, chosen


def _timezone(daemon: found_daemon.FoundDaemon, chosen: Settings) -> Finding:
    """Return the zone of schedules without one, and that of the machine."""
    machine = (daemon.status or {}).get("machine_timezone") or machine_zone() or "not named"
    detail = f"schedules without a zone use {chosen.timezone}; the machine's zone is {machine}"
    return Finding("time zone", None if machine != chosen.timezone else True, detail)


def _files(
    session: Session,
    project: found_daemon.ProjectSettings,
    daemon: found_daemon.FoundDaemon,
    *,
    with_handlers: bool,
) -> Iterator[Finding]:
    from luad.cli.project.examine import examine

    chosen = project.settings
    hidden = [each for each in (*chosen.jobs, *chosen.users) if _is_hidden(each)]
    if hidden and daemon.status:
        of_group = plural(len(daemon.status.get("problems") or ()), "problem")
        detail = f"you may not read {hidden[0]}; the daemon reports {of_group}"
        yield note("job files", detail, "sudo luad doctor")
        return
    if daemon.is_foreign and with_handlers:
        yield note("handlers", "not imported: the daemon runs as another user", _as_daemon(daemon))
        with_handlers = False
    try:
        examined = examine(session, (), with_handlers=with_handlers, project=project)
    except LuadError as error:
        yield fail("job files", error.message, error.hint)
        return
    groups = ["job files", "users files"]
    if not daemon.is_foreign:  # only the daemon can judge the owners of another user's files
        groups.insert(0, "permissions")
    if with_handlers:
        groups.append("handlers")
    for name in groups:
        yield _group(name, examined, chosen)
    yield _channels(examined.users.values())


def _group(name: str, examined: CheckResult, chosen: Settings) -> Finding:
    """Return one line about the problems of one group."""
    from luad.cli.project.examine import is_in

    def group_of(problem: Problem) -> str:
        if problem.code.startswith(("LU03", "LU04")):
            return "permissions"
        if is_in(Path(problem.path), chosen.users):
            return "users files"
        return "handlers" if problem.code.startswith("LU3") else "job files"

    of_group = [each for each in examined.problems if group_of(each) == name]
    errors = [each for each in of_group if each.severity is Severity.ERROR]
    if errors:
        first = f"{errors[0].path}: {errors[0].message}"
        fix = errors[0].help if len(errors) == 1 and errors[0].help else "luad check shows all"
        return fail(name, f"{plural(len(errors), 'problem')}; {first}", fix)
    if notes := [each for each in of_group if each.code in _NOT_TRUSTED]:
        first = f"{notes[0].path}: {notes[0].message}"
        return note(name, f"{plural(len(notes), 'warning')}; {first}", notes[0].help)
    return good(name, f"{plural(examined.file_count, 'file')}, no problems")


def _channels(users: Iterable[User]) -> Finding:
    """Return whether the packages for the channels of users files are installed."""
    from importlib.util import find_spec

    channels = [channel for user in users for channel in user.channels]
    needing = [each for each in channels if each.kind.value == "apprise"]
    if needing and find_spec("apprise") is None:
        fix = f"{sys.executable} -m pip install apprise"
        return fail("channels", f"{plural(len(needing), 'channel')} need apprise", fix)
    return good("channels", plural(len(channels), "channel"))


def _port(chosen: Settings, *, is_running: bool) -> Iterator[Finding]:
    """Return whether the daemon could listen, or does, at the address of the settings."""
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
        if error.errno == errno.EADDRINUSE and is_running:
            yield Finding("listen", None, f"{address} is in use, probably by the running daemon")
        else:
            fix = "change `listen` in luad.yaml; ss -ltnp shows the process that uses it"
            yield fail("listen", f"cannot listen on {address}: {reason}", fix)
    else:
        yield good("listen", f"{address} is free")


def _places(chosen: Settings) -> Finding:
    """Return whether a daemon of this user would trust its handlers, state and settings."""
    from luad.cli.project.checkout import is_of_another_user
    from luad.daemon.ownership import TrustCheck

    found = list(TrustCheck(chosen).found())
    if not found:
        return good("places", "no other user can write handlers, state and settings")
    errors = [each for each in found if not is_of_another_user(each[1])]
    what, problem = (errors or found)[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    detail = f"{what} cannot be trusted: {problem.message}{more}"
    return Finding("places", False if errors else None, detail, problem.help)


def _state(chosen: Settings) -> Finding:
    """Return whether a daemon of this user could write its state folder."""
    folder = chosen.state_dir
    place = next((each for each in (folder, *folder.absolute().parents) if each.exists()), Path())
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
        return good("state", f"{folder} can be written, {free / 1e9:.1f} GB free")
    fix = f"the daemon's user must own it: chown $USER {place}; or choose another --state"
    return fail("state", f"{folder} cannot be written", fix)


def _upgrade(session: Session, project: found_daemon.ProjectSettings) -> Iterator[Finding]:
    """Yield each refusal of an upgrade from the luad of the database."""
    from luad.cli.project.upgrade_refusals import refusals

    yield from refusals(session, project)


def _schema_copy(chosen: Settings) -> Iterator[Finding]:
    """Return whether the schema copies for editors are those of this luad."""
    from luad.cli.commands.schema import NAMES, schema_path, schema_text

    folder = chosen.jobs[0].parent / ".luad"
    if _is_hidden(folder):
        return
    copies = [name for name in NAMES if schema_path(folder, name).exists()]
    stale = [
        name
        for name in copies
        if schema_path(folder, name).read_text(encoding="utf-8") != schema_text(name)
    ]
    command = f"luad schema --write {folder}"
    if stale:
        yield fail("schema copy", "older than this luad, and editors use it", command)
    elif copies:
        yield good("schema copy", "up to date")
    else:
        yield note("schema copy", f"none here; {command} writes one for editors")


def _is_hidden(folder: Path) -> bool:
    """Return True if *folder* exists and this user may not read it."""
    try:
        return folder.exists() and not os.access(folder, os.R_OK | os.X_OK)
    except OSError:  # a folder above it is hidden
        return True


def _as_daemon(daemon: found_daemon.FoundDaemon) -> str:
    import pwd

    uid = (daemon.status or {})["uid"]
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = f"#{uid}"
    return f"sudo -u {user} {sys.executable} -m luad doctor"
