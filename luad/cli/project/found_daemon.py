"""The daemon that `luad doctor` checks: its status, settings and folders.

Rule: it asks the daemon once and reads its settings file; it changes nothing.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from luad import __version__
from luad.cli.project.finding import Finding, fail, good, note
from luad.errors import LuadError, UnavailableError
from luad.project_socket import SETTINGS_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from luad.cli.session import Session
    from luad.config.settings.daemon_settings import Settings, SettingsFile
    from luad.json_text import JsonObject


@dataclass(frozen=True, slots=True)
class ProjectSettings:
    """Settings and their file; they may belong to another project than the working directory."""

    settings: Settings
    path: Path | None


@dataclass(frozen=True, slots=True)
class FoundDaemon:
    """The status of the daemon. *status* is None if no daemon answered; *about* says why.

    *is_remote*: a URL names the daemon, so its files may be on another machine.
    """

    status: JsonObject | None
    about: Finding
    is_remote: bool = False

    @property
    def is_foreign(self) -> bool:
        """True if the daemon runs as another user; the owners of its files are not checked here."""
        uid = (self.status or {}).get("uid")
        return uid is not None and uid != os.geteuid()


def find_daemon(session: Session) -> FoundDaemon:
    """Return the daemon that answers, or the reason why none does."""
    from luad.cli.project.target_daemon import connect, project_mismatch

    try:
        client = connect(session, timeout=5, is_quiet=True)
        status = client.get("/status")
        mismatch = project_mismatch(session, client)
        is_remote = client.locate() is None
    except UnavailableError as error:
        return FoundDaemon(None, note("daemon", error.message, error.hint))
    except LuadError as error:
        return FoundDaemon(None, fail("daemon", error.message, error.hint))
    return FoundDaemon(status, _about(status, mismatch), is_remote)


def _about(status: Mapping[str, object], mismatch: str | None) -> Finding:
    if mismatch is not None:
        return fail("daemon", mismatch, "luad serve starts this project's own")
    theirs = status.get("version")
    if theirs != __version__:
        fix = "restart it: systemctl restart luad"
        return fail("daemon", f"it is luad {theirs}, this is {__version__}", fix)
    is_ok = status.get("status") == "ok"
    fix = "" if is_ok else "luad status says what is wrong"
    return Finding("daemon", is_ok, f"{status.get('status')}, pid {status.get('pid')}", fix)


# --- settings ----------------------------------------------------------------------------------


def settings_place(session: Session, status: JsonObject) -> Path | None:
    """Return the settings file of the daemon; the status of an older luad does not contain it."""
    if session.config:
        return Path(session.config)
    if "settings_file" in status:
        return Path(status["settings_file"]) if status["settings_file"] else None
    folders = status.get("jobs_dirs") or ()
    beside = Path(folders[0]).parent / SETTINGS_NAME if folders else None
    return beside if beside and os.path.exists(beside) else None  # noqa: PTH110 - never raises


def settings_of(status: JsonObject, path: Path | None) -> Settings | None:
    """Return the settings of the daemon by its status and its file; None if the status has too little.

    Raises `SettingsError`.
    """
    from luad.config.settings.daemon_settings import load_settings

    jobs = tuple(status.get("jobs_dirs") or ())
    state = state_folder(status)
    if not jobs or state is None:
        return None
    uid = status.get("uid", os.geteuid())
    own = Path(status["socket"]) if status.get("socket") else None
    flags = {
        "jobs": jobs,
        "state_dir": state,
        "users": tuple(status.get("users_dirs") or ()),
        "handlers_path": status.get("handlers_path"),
        "working_directory": status.get("working_directory"),
        "timezone": status.get("timezone"),
    }
    chosen = load_settings(flags, {}, _read(path), uid=uid, own_socket=own)
    if uid != os.geteuid():  # only the daemon can judge whether its user trusts the files
        return replace(chosen, permit_insecure=True)
    return chosen


def state_folder(status: JsonObject) -> Path | None:
    """Return the folder that holds the daemon's database."""
    if folder := status.get("state_dir"):
        return Path(folder)
    database = (status.get("store") or {}).get("path")
    return Path(database).parent if database else None


def _read(path: Path | None) -> SettingsFile | None:
    """Return the settings file; None if this user cannot read it: the status names the folders."""
    from luad.config.settings.daemon_settings import SettingsFile

    try:
        return None if path is None else SettingsFile(str(path), path.read_bytes())
    except OSError:
        return None


# --- checks by its status ----------------------------------------------------------------------


def places(found: FoundDaemon) -> Finding:
    """Return whether the daemon trusts its handlers, state and settings."""
    listed = _permissions(found.status or {})
    if listed:
        first = f"{listed[0].get('filename') or listed[0].get('path')}: {listed[0].get('message')}"
        return fail(
            "places", f"the daemon does not trust: {first}", str(listed[0].get("help") or "")
        )
    return good("places", "the daemon trusts its handlers, state and settings")


def _permissions(status: JsonObject) -> list[JsonObject]:
    problems = [each for each in status.get("problems") or () if not isinstance(each, str)]
    return [each for each in problems if str(each.get("code")).startswith(("LU03", "LU04"))]


def state(found: FoundDaemon, folder: Path) -> Finding:
    """Return whether the daemon can write its state folder."""
    status = found.status or {}
    if not (status.get("store") or {}).get("writable", True):
        fix = f"luad status says why; df -h {folder}; ls -ld {folder}"
        return fail("state", f"the daemon cannot write {folder}", fix)
    try:
        place = os.statvfs(folder)
    except OSError:
        return good("state", f"{folder} is written by the daemon")
    free = place.f_bavail * place.f_frsize
    return good("state", f"{folder} is written by the daemon, {free / 1e9:.1f} GB free")


def listening(status: Mapping[str, object], chosen: Settings) -> Iterator[Finding]:
    """Return where the daemon listens on TCP, and whether its settings differ."""
    if address := status["listen"]:
        yield good("listen", f"the daemon listens on {address}")
    elif chosen.listen is not None:
        fix = "restart the daemon, or take `listen` out of its luad.yaml"
        yield note("listen", f"{chosen.listen} is set, and the daemon does not listen there", fix)


def packages(found: FoundDaemon) -> Iterator[Finding]:
    """Return a note if this command runs with another Python than the daemon's runs."""
    theirs = (found.status or {}).get("python")
    if theirs and theirs != sys.executable:
        detail = f"the daemon's runs use {theirs}, luad check and luad test use {sys.executable}"
        yield note("packages", detail, f"{theirs} -m luad check")


def processes(found: FoundDaemon) -> Iterator[Finding]:
    """Return the processes that outlived a run after its keeper was killed."""
    listed = (found.status or {}).get("orphan_processes")
    if not listed:
        return
    if not listed["count"]:
        yield good("processes", "no process has outlived its run")
        return
    alive = [each for each in listed["latest"] if each["alive"]]
    ended = [each for each in listed["latest"] if not each["alive"]]
    if ended:
        count = listed["count"] - len(alive)
        some = "1 process" if count == 1 else f"{count} processes"
        detail = (
            f"luad ended {some} that had outlived a killed keeper"
            f" without LUAD_RUN_ID: {_names(ended)}"
        )
        fix = "find the handler that ends its parent process; luad show RUN names its job"
        yield note("processes", detail, fix)
    if alive:
        some = "1 process is" if len(alive) == 1 else f"{len(alive)} processes are"
        detail = f"{some} alive below luad and belong to no run: {_names(alive)}"
        yield note("processes", detail, f"kill {' '.join(str(each['pid']) for each in alive)}")


def _names(listed: Iterable[JsonObject]) -> str:
    return ", ".join(
        f"{each['name']} (pid {each['pid']}{', ' + each['run_id'] if each['run_id'] else ''})"
        for each in listed
    )
