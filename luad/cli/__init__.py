"""The command line: it turns arguments into output and an exit code.

Rule: it asks the daemon and schedules nothing. Commands are imported late, because `luad --help` must
answer within 150 ms.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from luad import __version__
from luad.cli.base import CommandEntry, Group
from luad.cli.session import Session
from luad.cli.terminal.failure import (
    CommandError,
    EarlyExit,
    ExitCode,
    as_problem,
    as_text,
    exit_code_of,
)
from luad.errors import LuadError

if TYPE_CHECKING:
    from collections.abc import Sequence

START, LOOK, ACT, USERS, MORE = (
    "Start here",
    "Look",
    "Act",
    "Dynamic jobs and users",
    "More",
)

COMMANDS = {
    "init": CommandEntry(
        "init", "init", "Create a project: luad.yaml, jobs.d/, handlers/, an example", START
    ),
    "new": CommandEntry("init", "new", "Write one job file (and a handler stub)", START),
    "check": CommandEntry(
        "check", "check", "Check job and users files, with places and fixes", START
    ),
    "test": CommandEntry("test", "test", "Run a job at once in this process; sends nothing", START),
    "serve": CommandEntry("serve", "serve", "Run the daemon", START),
    "worker": CommandEntry("worker", "worker", "Start the runs of a PostgreSQL store", START),
    "list": CommandEntry(
        "list_jobs", "list_", "Show jobs: status, schedule, last runs, next run", LOOK
    ),
    "next": CommandEntry("next_runs", "next_", "Show the next fire times", LOOK),
    "show": CommandEntry("show", "show", "Show one job or run in full", LOOK),
    "history": CommandEntry("history", "history", "Show runs, newest first", LOOK),
    "logs": CommandEntry("logs", "logs", "Show logs of a job or run; -f follows", LOOK),
    "revisions": CommandEntry(
        "revisions", "revisions", "Show the definitions that a job has had", LOOK
    ),
    "why": CommandEntry("why", "why", "Say why a job did or did not run", LOOK),
    "status": CommandEntry("status", "status", "Show the state of the daemon", LOOK),
    "explain": CommandEntry(
        "explain", "explain", "Explain a cron expression, with its next times", LOOK
    ),
    "run": CommandEntry("run", "run", "Run a job now on the daemon", ACT),
    "retry": CommandEntry("run", "retry", "Run a failed run again", ACT),
    "cancel": CommandEntry("run", "cancel", "Stop a running run", ACT),
    "pause": CommandEntry("pause", "pause", "Stop scheduling a job", ACT),
    "resume": CommandEntry("pause", "resume", "Schedule a paused job again", ACT),
    "restore": CommandEntry(
        "revisions", "restore", "Restore an earlier revision of a dynamic job", ACT
    ),
    "reload": CommandEntry("reload", "reload", "Read the job files again now", ACT),
    "create": CommandEntry("create", "create", "Create a dynamic job", USERS),
    "edit": CommandEntry("edit", "edit", "Change a dynamic job", USERS),
    "snooze": CommandEntry("edit", "snooze", "Postpone a job", USERS),
    "delete": CommandEntry("create", "delete", "Delete a dynamic job", USERS),
    "remind": CommandEntry("create", "remind", "Send a user a message later", USERS),
    "metadata": CommandEntry("create", "metadata", "Show or change the metadata of a job", USERS),
    "users": CommandEntry("users", "users", "Manage users and their channels", USERS),
    "send": CommandEntry("users", "send", "Send a message now", USERS),
    "token": CommandEntry("token", "token", "Manage tokens for TCP", MORE),
    "web": CommandEntry("web", "web", "Print a link to the dashboard; --open opens it", MORE),
    "schema": CommandEntry("schema", "schema", "Print the JSON Schemas, or explain a key", MORE),
    "openapi": CommandEntry(
        "schema", "openapi", "Print the OpenAPI document of the HTTP API", MORE
    ),
    "systemd": CommandEntry("systemd", "systemd", "Print the systemd unit and its files", MORE),
    "completion": CommandEntry(
        "completion", "completion", "Print a completion script for the shell", MORE
    ),
    "store": CommandEntry("store", "store", "Check, upgrade or move the store", MORE),
    "nodes": CommandEntry("nodes", "nodes", "Show the nodes and workers of a shared store", MORE),
    "doctor": CommandEntry("doctor", "doctor", "Check luad on this machine", MORE),
    "version": CommandEntry(
        "version", "version", "Show the versions of luad, Python and the libraries", MORE
    ),
    "help": CommandEntry("version", "help_", "Show a help topic: luad help TOPIC", MORE),
}
_USUAL = {"LUAD_SOCKET", "LUAD_URL", "LUAD_TOKEN", "LUAD_CONFIG", "LUAD_STATE_DIR"}
"""Frequent variables of luad. They are known without an import of the settings."""

ALIASES = {"ls": "list", "deactivate": "pause", "activate": "resume"}


def command_group() -> Group:
    """Return the command `luad` with all its subcommands."""
    group = Group(
        COMMANDS,
        ALIASES,
        help="luad runs Python jobs on a schedule.   Docs: luad help TOPIC",
    )
    group.params.append(
        click.Option(
            ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_version,
            help="Show the version and exit",
        )
    )  # fmt: skip
    return group


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    del param
    if value and not ctx.resilient_parsing:
        print(f"luad {__version__}")
        ctx.exit()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; *argv* defaults to the process's arguments."""
    args = list(sys.argv[1:] if argv is None else argv)
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(
            stream, "reconfigure"
        ):  # a character that the locale lacks must not end a command
            stream.reconfigure(errors="backslashreplace")
    try:
        if instruction := os.environ.get("_LUAD_COMPLETE"):
            return _complete(instruction)
        code = _invoke(args or ["--help"])
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has ended (`luad list | head -1`): print no error, at shutdown neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.BROKEN_PIPE
    return code


def _open_closed_streams() -> None:
    """Open the standard streams that the process was started without (`luad serve >&-`).

    Otherwise the next opened file (such as the database) gets the number of the stream, and receives all
    that luad prints.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null == number:
                os.set_inheritable(number, True)  # child processes need them as well
            else:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, os.fdopen(number, "w" if number else "r"))


def _invoke(args: list[str]) -> int:
    session = Session()
    try:
        with command_group().make_context("luad", args, obj=session) as ctx:
            if not {"-q", "--quiet"}.intersection(args):  # it may follow the command
                _warn_of_variables(session)
            code = ctx.command.invoke(ctx)
    except click.exceptions.Exit as end:
        return end.exit_code
    except EarlyExit as end:
        return end.code
    except (KeyboardInterrupt, click.Abort):
        print(file=sys.stderr)
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        return _report(_from_click(error), session, args)
    except LuadError as error:
        return _report(error, session, args)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - an error in luad itself still gets one clear line
        return _report(_own_fault(error, session), session, args)
    return code if isinstance(code, int) else ExitCode.OK


def _warn_of_variables(session: Session) -> None:
    """Warn of each variable of the environment that is a misspelling of one that luad reads."""
    names = [name for name in os.environ if name.startswith("LUAD_") and name not in _USUAL]
    if names:
        from luad.cli.project.variables import misspelt_variables

        for line in misspelt_variables(names):
            session.out.warn(line, "yellow")


def _report(error: LuadError, session: Session, args: list[str]) -> int:
    # A parsing error may occur before the parser has read `--json`.
    if session.json or "--json" in args:
        import json

        print(json.dumps(as_problem(error)), file=sys.stderr)
    else:
        first, *rest = as_text(error)
        session.out.warn(first, "red")
        for line in rest:
            session.out.warn(line)
    return exit_code_of(error)


def _from_click(error: click.ClickException) -> CommandError:
    message = getattr(error, "message", "") or error.format_message()
    hint = ""
    context = getattr(error, "ctx", None)
    if near := _near_option(error):
        hint = f"did you mean `{near}`?"
    elif context is not None and context.params.get("cron") and "extra argument" in message:
        hint = "put the cron line into quotes:  --cron '0 9 * * *'"  # the shell has split it
    elif context is not None:
        hint = f"{context.command_path} --help"
    if isinstance(error, click.BadParameter):
        message = error.format_message()
    message = " ".join(message.split())  # click lists choices on lines of their own
    text = message[:1].lower() + message[1:].rstrip(".")
    return CommandError(
        text, code="usage" if error.exit_code == ExitCode.USAGE else "error", hint=hint
    )


def _near_option(error: click.ClickException) -> str:
    """Return the option that the user misspelt; click also offers options that only share the dashes."""
    from luad.suggestions import is_typo

    given = str(getattr(error, "option_name", "")).lstrip("-")
    near = getattr(error, "possibilities", None) or ()
    return next((each for each in near if is_typo(given, each.lstrip("-"))), "")


def _own_fault(error: Exception, session: Session) -> CommandError:
    if session.verbose:
        import traceback

        traceback.print_exception(error)
    return CommandError(
        f"luad itself failed: {type(error).__name__}: {error}",
        hint="with -v it shows the traceback; please report it",
    )


def _complete(instruction: str) -> int:
    from click.shell_completion import shell_complete

    return shell_complete(
        command_group(), {"obj": Session()}, "luad", "_LUAD_COMPLETE", instruction
    )


def run() -> NoReturn:
    """Run as a program."""
    sys.exit(main())
