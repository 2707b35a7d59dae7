"""The environment and the directory of a run, for `luad test`.

Rule: the filter of the daemon selects the variables. A running daemon of this project sets the directory.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from luad.cli.project.target_daemon import connect
from luad.config.settings.daemon_settings import working_directory
from luad.errors import LuadError
from luad.runner.spec import own_environment, passed_environment, run_variables
from luad.socket_paths import peer_credentials

if TYPE_CHECKING:
    from luad.cli.session import Session
    from luad.config.settings.daemon_settings import Settings
    from luad.core.model import Job

_OF_SHELLS: Final = frozenset({"_", "SHLVL", "PWD", "OLDPWD"})
"""Variables that a shell sets for itself; runs do not need them."""

_SHOWN: Final = 3
"""The number of variables that are named without -v."""

_TIMEOUT_S: Final = 2


@dataclass(frozen=True, slots=True)
class RunEnvironment:
    """The environment, directory and socket of a run.

    *left_out* are the variables of this process that a run does not get. *differing* are those that the
    daemon lacks or has with another value.
    """

    environ: dict[str, str]
    folder: Path
    socket: Path
    left_out: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()
    has_moved: bool = False

    def show(self, session: Session) -> None:
        """Print the differences to the environment and directory of this process."""
        out = session.out
        if self.left_out:
            is_long = len(self.left_out) > _SHOWN and not session.verbose
            shown = self.left_out[:_SHOWN] if is_long else self.left_out
            names, more = ", ".join(shown), "pass_env in luad.yaml passes more"
            if is_long:
                names += f" and {len(self.left_out) - _SHOWN} more variables"
                more = f"-v names all; {more}"
            out.info(f"  environment  not passed on: {names}  ({more})")
        if self.differing:
            names = ", ".join(self.differing)
            out.info(f"  environment  the running daemon has another value of: {names}", "yellow")
        if self.has_moved:
            out.info(f"  directory    {self.folder}, as for the running daemon")

    def view(self) -> dict[str, object]:
        """Return the differences as JSON."""
        return {
            "working_directory": str(self.folder),
            "environment": {"not_passed": list(self.left_out), "differing": list(self.differing)},
        }


def run_environment_of(session: Session, chosen: Settings, job: Job) -> RunEnvironment:
    """Return the environment that a run of *job* gets."""
    environ = passed_environment(os.environ, chosen.pass_env)
    own = own_environment(job).keys() | run_variables(job.name, "", 1, 0, "-").keys()
    left_out = sorted(os.environ.keys() - environ.keys() - own - _OF_SHELLS)
    folder = working_directory(chosen)
    differing: list[str] = []
    pid = _daemon_of(session)
    theirs = None if pid is None else _environ_of(pid)
    if theirs is not None:
        passed = passed_environment(theirs, chosen.pass_env)
        names = (environ.keys() | passed.keys()) - own - _OF_SHELLS
        differing = sorted(name for name in names if environ.get(name) != passed.get(name))
    has_moved = False
    if pid is not None and chosen.working_directory is None:  # the daemon decides
        with suppress(OSError):
            there = Path("/proc", str(pid), "cwd").readlink()
            has_moved = there.is_dir() and not there.samefile(folder)
            folder = there if has_moved else folder
    socket_path = chosen.socket.absolute()
    names_left = tuple(left_out)
    return RunEnvironment(environ, folder, socket_path, names_left, tuple(differing), has_moved)


def _daemon_of(session: Session) -> int | None:
    """Return the pid of this project's daemon on this machine; None without one.

    The kernel names the process that listens on the socket; the daemon gets no request.
    """
    from luad.cli.project.folders import project_here
    from luad.cli.project.target_daemon import is_daemon_named

    if session.url or os.environ.get("LUAD_URL"):
        return None  # it may run on another machine
    with suppress(LuadError, OSError):
        place = connect(session, _TIMEOUT_S, is_quiet=True).locate()
        if place is None:
            return None
        if not (place.is_project or is_daemon_named(session) or project_here(session) is None):
            return None  # the daemon of the system, which runs other jobs
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_TIMEOUT_S)
            probe.connect(str(place.path))
            pid = peer_credentials(probe)[0]
        is_luad = pid > 0 and b"luad" in Path("/proc", str(pid), "cmdline").read_bytes()
        return pid if is_luad else None  # systemd may listen instead of it
    return None


def _environ_of(pid: int) -> dict[str, str] | None:
    """Return the environment at the start of a daemon; None if it cannot be read."""
    try:
        data = Path("/proc", str(pid), "environ").read_bytes()
    except OSError:
        return None
    pairs = (each.partition(b"=") for each in data.split(b"\0") if b"=" in each)
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}
