"""`luad serve`: it turns options into settings and runs the daemon.

Rule: it reads arguments; `luad.daemon` does the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from luad.cli.base import Command, pass_session
from luad.cli.terminal.failure import CommandError, ExitCode
from luad.errors import StoreMovedError, StoreTooNewError

if TYPE_CHECKING:
    from luad.cli.session import Session
    from luad.config.settings.daemon_settings import Settings
    from luad.errors import LuadError

LOG_FORMATS: Final = ["auto", "console", "json", "journal"]
LOG_LEVELS: Final = ["debug", "info", "warning", "error"]


@click.command("serve", cls=Command)
@click.option("--jobs", "folders", multiple=True, metavar="DIR", help="A job folder; repeatable")
@click.option(
    "--state", metavar="DIR", help="History, logs and lock; default: .luad beside the jobs"
)
@click.option("--users", "users", multiple=True, metavar="DIR", help="A folder of users files")
@click.option(
    "--listen", metavar="HOST:PORT", help="Listen on TCP as well; default: only the Unix socket"
)
@click.option(
    "--web", "is_web", is_flag=True,
    help="Serve the dashboard, on 127.0.0.1:5823 if no other address is set",
)  # fmt: skip
@click.option("--log-format", type=click.Choice(LOG_FORMATS), help="Default: auto")
@click.option("--log-level", type=click.Choice(LOG_LEVELS), help="Default: info")
@click.option("--no-reload", is_flag=True, help="Do not watch the job folders")
@click.option("--drain", metavar="DUR", help="How long runs may continue at shutdown; default: 90s")
@click.option("--strict", is_flag=True, help="Do not start if a job file is broken")
@pass_session
def serve(
    session: Session,
    *,
    folders: tuple[str, ...],
    state: str | None,
    users: tuple[str, ...],
    listen: str | None,
    is_web: bool,
    log_format: str | None,
    log_level: str | None,
    no_reload: bool,
    drain: str | None,
    strict: bool,
) -> int:
    """Run the daemon in the foreground until SIGTERM or Ctrl-C.

    Options override LUAD_* variables, and these override luad.yaml. Exit 78 if the settings are wrong.
    """
    chosen = settings_of(
        session,
        {
            "jobs": folders,
            "users": users,
            "listen": listen,
            "web_enabled": True if is_web else None,
            "state_dir": state,
            "log_format": log_format,
            "log_level": log_level or ("debug" if session.verbose else None),
            "drain": drain,
            "watch": False if no_reload else None,
            "strict": True if strict else None,
        },
    )
    from luad.config.settings.daemon_settings import SettingsError
    from luad.daemon import main

    try:
        return main(chosen)
    except (StoreMovedError, StoreTooNewError, SettingsError) as error:
        raise for_good(error) from error


def settings_of(session: Session, flags: dict[str, object]) -> Settings:
    """Return the settings in force. Raises `CommandError` with the exit status of wrong settings."""
    from luad.cli.project.folders import settings
    from luad.config.problems import render_full
    from luad.config.settings.daemon_settings import SettingsError

    try:
        return settings(session, flags)
    except SettingsError as error:
        if error.problems and not session.json:
            session.out.warn(render_full(error.problems))
        raise for_good(error) from error
    except CommandError as error:
        raise for_good(error) from error


def for_good(error: LuadError) -> CommandError:
    """Return *error* with the exit code after which systemd does not restart luad."""
    return CommandError(error.message, code=error.code, hint=error.hint, exit_code=ExitCode.CONFIG)
