"""`luad worker`: it turns options into settings and runs a worker.

Rule: it reads arguments; `luad.daemon` does the rest.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import click

from luad.cli.base import Command, pass_session
from luad.cli.commands.serve import LOG_FORMATS, LOG_LEVELS, for_good, settings_of
from luad.errors import StoreMovedError, StoreTooNewError

if TYPE_CHECKING:
    from luad.cli.session import Session
    from luad.config.settings.daemon_settings import Settings

FOLDER: Final = ".luad-worker"
"""The default state folder, beside that of a node of the same project."""

_LONGEST_PATH: Final = 100
"""The kernel takes no longer path for a Unix socket."""


@click.command("worker", cls=Command)
@click.option("--store", metavar="URL", help="postgresql://USER@HOST/DATABASE of the nodes")
@click.option("--queues", metavar="A,B", help="The queues whose runs it starts; default: default")
@click.option("--concurrency", metavar="N", help="How many runs at once; default: 512")
@click.option("--handlers", metavar="DIR", help="The folder of handlers; default: handlers")
@click.option("--name", metavar="NAME", help="Its name for people; default: the host name")
@click.option("--state", metavar="DIR", help=f"Lock and socket; default: {FOLDER}")
@click.option("--drain", metavar="DUR", help="How long runs may continue at shutdown; default: 90s")
@click.option("--log-format", type=click.Choice(LOG_FORMATS), help="Default: auto")
@click.option("--log-level", type=click.Choice(LOG_LEVELS), help="Default: info")
@pass_session
def worker(
    session: Session,
    *,
    store: str | None,
    queues: str | None,
    concurrency: str | None,
    handlers: str | None,
    name: str | None,
    state: str | None,
    drain: str | None,
    log_format: str | None,
    log_level: str | None,
) -> int:
    """Start the runs of a PostgreSQL store in the foreground until SIGTERM or Ctrl-C.

    The nodes (`luad serve`) decide what runs; this process executes it. Options override LUAD_* variables, and these
    override luad.yaml. Exit 78 if the settings are wrong.
    """
    chosen = settings_of(
        session,
        {
            "store": store,
            "work_queues": queues,
            "max_concurrent_runs": concurrency,
            "handlers_path": handlers,
            "node": name,
            "state_dir": state,
            "drain": drain,
            "log_format": log_format,
            "log_level": log_level or ("debug" if session.verbose else None),
        },
    )
    from luad.config.settings.daemon_settings import SettingsError
    from luad.daemon import main

    try:
        return main(_of_worker(chosen), is_worker=True)
    except (StoreMovedError, StoreTooNewError, SettingsError) as error:
        raise for_good(error) from error


def _of_worker(chosen: Settings) -> Settings:
    """Return the settings without what only nodes have. Raises `SettingsError`."""
    from luad.config.settings.daemon_settings import SettingsError
    from luad.config.settings.web_settings import NO_WEB

    if chosen.store is None:
        raise SettingsError(
            "a worker needs the PostgreSQL store of its nodes",
            hint="write  store: postgresql://USER@HOST/DATABASE  in luad.yaml, or give --store or $LUAD_STORE",
        )
    if not chosen.does_work:
        place = chosen.sources.get("work", "luad.yaml")
        raise SettingsError(
            f"{place} says `work: false`: a process with it starts no run",
            hint="write  work: {queues: [default]}  there, or give --config another file",
        )
    state = chosen.state_dir
    if "state_dir" not in chosen.sources and not os.environ.get("STATE_DIRECTORY"):
        state = state.parent / FOLDER
    socket = chosen.socket
    own = state.absolute() / "luad.sock"
    is_chosen = "socket" in chosen.sources or os.environ.get("RUNTIME_DIRECTORY")
    if not is_chosen and len(os.fsencode(own)) <= _LONGEST_PATH:
        socket = own
    return replace(
        chosen, state_dir=state, socket=socket, jobs=(), listen=None, web=NO_WEB, strict=False
    )
