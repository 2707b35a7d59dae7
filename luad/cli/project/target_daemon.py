"""The daemon that a command uses, and a check that it is the daemon of this project.

Rule: it asks where the daemon listens and which folders it serves; it changes nothing.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from luad.cli.terminal.failure import CommandError
from luad.errors import LuadError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from luad.cli.session import Session
    from luad.client import Client


def connect(session: Session, timeout: float = 30, *, is_quiet: bool = False) -> Client:
    """Return a client for the daemon; *timeout* in seconds.

    The client names the daemon after a change, and refuses to change another project's daemon unless the
    user named it. *is_quiet*: it does neither.
    """
    from luad.cli.project.folders import nearby_socket, state_folders
    from luad.cli.terminal.progress import progress
    from luad.client import Client

    client = Client(
        None if session.socket is None else Path(session.socket),
        session.url,
        timeout=timeout,
        nearby=None if is_daemon_named(session) else nearby_socket(session),
        state_dirs=lambda: state_folders(session),
    )
    client.waiting = lambda: progress(session.out, "waiting for the daemon")
    if not is_quiet:
        client.hooks = ProjectCheck(session, client)
    return client


def is_daemon_named(session: Session) -> bool:
    """Return True if the user named the daemon by an option or the environment."""
    return bool(
        session.socket or session.url or os.environ.get("LUAD_SOCKET") or os.environ.get("LUAD_URL")
    )


class ProjectCheck:
    """Checks, before the requests of one command, that the daemon belongs to this project.

    It asks the daemon once.
    """

    def __init__(self, session: Session, client: Client) -> None:
        self._session = session
        self._client = client
        self._is_looking = False
        self._has_looked = False
        self._has_named_daemon = False
        self._mismatch: str | None = None

    def before(self, *, changes: bool) -> None:
        """Note that the daemon is another project's; raises `CommandError` before a change."""
        if self._is_looking:
            return
        if not self._has_looked:
            self._has_looked = self._is_looking = True
            try:
                self._mismatch = project_mismatch(self._session, self._client)
            finally:
                self._is_looking = False
            if self._mismatch and not changes:
                self._session.out.info(f"note: {self._mismatch}", "yellow")
        if changes and self._mismatch:
            raise CommandError(
                self._mismatch,
                code="conflict",
                hint="luad serve starts this project's own; to act on that one, name it: --socket",
            )

    def after_change(self) -> None:
        """Print the address of the changed daemon, once."""
        if not self._has_named_daemon and not self._session.json:
            self._session.out.info(f"on the daemon at {self._client.address}", "dim")
        self._has_named_daemon = True


def project_mismatch(session: Session, client: Client) -> str | None:
    """Return a message if the daemon serves other folders than those of this project.

    None if it is the daemon of this project, outside of projects, and if the user named the daemon.
    """
    if is_daemon_named(session):
        return None
    from luad.cli.project.folders import project_here

    project = project_here(session)
    if project is None:
        return None
    place = client.locate()
    if place is None or place.is_project:
        return None
    theirs = [str(each) for each in client.get("/status").get("jobs_dirs") or ()]
    mine = _job_folders(session, project.folder)
    if _real(theirs) == _real(mine):
        return None
    return (
        f"the daemon at {place.path} serves {', '.join(theirs) or 'other folders'},"
        f" and not this project ({', '.join(mine)})"
    )


def _job_folders(session: Session, folder: Path) -> list[str]:
    from luad.cli.project.folders import settings

    with suppress(OSError, LuadError):
        return [str(each.absolute()) for each in settings(session).jobs]
    return [str(folder / "jobs.d")]


def _real(folders: Iterable[str]) -> set[str]:
    return {os.path.realpath(each) for each in folders}
