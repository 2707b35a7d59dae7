"""`luad init` and `luad new`: the first files of a project and of a job.

Rule: it writes new files and never overwrites one.
"""

from __future__ import annotations

import json
import keyword
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from luad.cli.base import Command, pass_session
from luad.cli.complete import user_ids
from luad.cli.option_conflicts import Exclusive
from luad.cli.terminal import templates
from luad.cli.terminal.failure import CommandError, ExitCode
from luad.cli.terminal.times import parse_duration, parse_when, rfc3339, show_when
from luad.clock import machine_zone
from luad.errors import Severity

if TYPE_CHECKING:
    from luad.cli.session import Session
    from luad.config.settings.daemon_settings import Settings
    from luad.core.model import Job

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@click.command("init", cls=Command, rules=[Exclusive("--minimal", "--no-example")])
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(path_type=Path))
@click.option("--minimal", is_flag=True, help="Only luad.yaml and the empty folders")
@click.option("--no-example", is_flag=True, help="Without the job hello")
@click.option("--systemd", is_flag=True, help="Also a user service: luad.service")
@pass_session
def init(session: Session, *, folder: Path, minimal: bool, no_example: bool, systemd: bool) -> None:
    """Create a project: luad.yaml, jobs.d/, handlers/, an example.

    It overwrites no file; a second call adds the missing ones.
    """
    around = _project_around(folder)
    files = _files_of(folder, minimal=minimal, no_example=no_example, systemd=systemd)
    for name in ("jobs.d", "handlers"):
        _make_folder(folder / name)
    created = [name for name, text in files.items() if _write_new(folder / name, text)]
    kept = [name for name in files if name not in created]
    if session.json:
        root = str(folder.resolve())
        inside = None if around is None else str(around)
        session.out.json({"folder": root, "created": created, "kept": kept, "inside": inside})
        return
    out = session.out
    out.info(
        f"Created {folder.resolve()}"
        if created
        else f"{folder.resolve()} has all the files already"
    )
    if created:
        out.info("  " + "  ".join(created), "green")
    if "luad.yaml" in created:
        _tell_nested(session, around)
    if kept and created:
        out.info("  not overwritten: " + "  ".join(kept))
    if systemd:
        unit = folder.resolve() / "luad.service"
        out.info(
            f"Run it at every login:\n  systemctl --user enable {shlex.quote(str(unit))}\n"
            "Run it now:\n  systemctl --user start luad"
        )
    if "jobs.d/hello.yaml" in files:
        at = "" if folder == Path() else f"   (in {folder})"
        out.info(
            f"Next:{at}\n  luad test hello      run it once, here\n"
            "  luad check           check the files\n  luad serve           start the daemon"
        )


def _files_of(folder: Path, *, minimal: bool, no_example: bool, systemd: bool) -> dict[str, str]:
    """Return the texts of the files of a new project, by path."""
    from luad.cli.commands.schema import schema_text

    files = {"luad.yaml": templates.SETTINGS}
    if not (minimal or no_example):
        files["jobs.d/hello.yaml"] = templates.HELLO_JOB
        files["handlers/hello.py"] = templates.HELLO_HANDLER
        files["users.d/me.yaml"] = templates.ME
    if not minimal:
        files[".luad/job.schema.json"] = schema_text("job")
        files[".luad/luad.schema.json"] = schema_text("luad")
        files[".luad/users.schema.json"] = schema_text("users")
        files[".gitignore"] = templates.IGNORED
    if systemd:
        files["luad.service"] = _unit(folder)
    return files


def _tell_nested(session: Session, around: Path | None) -> None:
    if around is not None:
        session.out.info(
            f"note: this folder is inside the project {around}, and is a separate project now:\n"
            f"  a daemon started in {around} does not run its jobs",
            "yellow",
        )


def _project_around(folder: Path) -> Path | None:
    """Return the folder of the project around *folder*, or None."""
    from luad.project_socket import find_project

    around = find_project(folder.resolve().parent)
    return None if around is None else around.folder


def _unit(folder: Path) -> str:
    """Return a user service for the project in *folder*, with this Python."""
    root = folder.resolve()
    # systemd expands % everywhere and $ in commands, and splits commands at blanks.
    plain = str(root).replace("%", "%%")
    luad = sys.executable.replace("%", "%%").replace("$", "$$")
    return templates.UNIT.format(name=root.name.replace("%", "%%"), folder=plain, python=luad)


@click.command(
    "new", cls=Command, rules=[Exclusive("--stdout", "--json"), Exclusive("--timezone", "--every")]
)
@click.argument("name")
@click.option("--cron", metavar="EXPR", help="By a cron line")
@click.option("--every", metavar="DUR", help="Repeatedly, at this interval")
@click.option("--at", metavar="TIME", help="Once, at this time")
@click.option("--timezone", metavar="ZONE", help="The schedule's zone")
@click.option("--handler", metavar="MOD:FN", help="Default: run, in a module named like the job")
@click.option("--user", metavar="ID", shell_complete=user_ids, help="The user of the job")
@click.option("--stdout", "is_shown", is_flag=True, help="Print the file, and write nothing")
@pass_session
def new(
    session: Session,
    *,
    name: str,
    cron: str | None,
    every: str | None,
    at: str | None,
    timezone: str | None,
    handler: str | None,
    user: str | None,
    is_shown: bool,
) -> int:
    """Write one job file (and a handler stub), check it, and show its next times."""
    from luad.cli.project import folders

    if not NAME.fullmatch(name):
        raise CommandError(
            f"`{name}` is not a valid name of a job",
            code="usage",
            hint="use lower-case letters, digits, `.`, `_`, `-`; at most 63, a letter or digit first",
        )
    handler = handler or f"{_module_of(name)}:run"
    chosen = folders.settings(session)
    text = _job_text(name, handler, _schedule(session, cron, every, at, timezone), user)
    job = _checked(text, name, chosen)
    if is_shown:
        print(text, end="")
        return ExitCode.OK
    path = chosen.jobs[0] / f"{name}.yaml"
    _make_folder(path.parent)
    if not _write_new(path, text):
        raise CommandError(
            f"{path} already exists", code="file_exists", hint="choose another name, or edit it"
        )
    stub = _write_stub(chosen.handlers_path, handler, name)
    _tell(session, path, stub, job)
    return _check_again(session, path)


def _schedule(
    session: Session, cron: str | None, every: str | None, at: str | None, timezone: str | None
) -> dict[str, object]:
    if sum(choice is not None for choice in (cron, every, at)) > 1:
        raise CommandError("--cron, --every and --at exclude each other", code="usage")
    schedule: dict[str, object]
    if every is not None:
        parse_duration(every)
        return {"type": "interval", "every": every}
    if at is not None:
        instant = _instant(session, at, timezone)
        schedule = {"type": "once", "execute_at": rfc3339(instant)}
    else:
        schedule = {"type": "cron", "expression": cron or "0 9 * * *"}
    if timezone is not None:
        schedule["timezone"] = timezone
    return schedule


def _instant(session: Session, at: str, timezone: str | None) -> int:
    from luad.cli.due_options import is_plain, named, read_here

    if is_plain(at):
        zone = session.zone if timezone is None else named(timezone)
        return parse_when(at, zone, session.now)
    name = timezone or session.tz or ("UTC" if session.utc else machine_zone() or "UTC")
    return read_here(at, name, session.now)


def _job_text(name: str, handler: str, schedule: dict[str, object], user: str | None) -> str:
    # A JSON string is a valid YAML string, so JSON does the quoting.
    rows = [
        f"  {key}: {value if key == 'type' else json.dumps(value)}"
        for key, value in schedule.items()
    ]
    about = f"{name.replace('-', ' ').capitalize()}."
    head = [f"name: {name}", f"description: {json.dumps(about)}", f"handler: {handler}"]
    tail = ["timeout: 5m"] if user is None else [f"user: {json.dumps(user)}", "timeout: 5m"]
    return templates.MODELINE + "\n".join([*head, "schedule:", *rows, *tail]) + "\n"


def _checked(text: str, name: str, chosen: Settings) -> Job:
    """Return the job of the new file as the daemon parses it; raises `CommandError` (usage)."""
    from luad.clock import wall_ms
    from luad.config.jobs.job_file import load_file

    parsed = load_file(f"{name}.yaml", text.encode(), settings=chosen, now=wall_ms())
    if parsed.jobs:
        return parsed.jobs[0].job
    first = parsed.problems[0]
    raise CommandError(first.message, code="usage", hint=first.help)


def _module_of(name: str) -> str:
    from luad.config.jobs.reserved_names import is_reserved

    module = re.sub(r"[.-]+", "_", name)
    # Python would never import handlers/json.py.
    is_taken = is_reserved(module) or keyword.iskeyword(module)
    return f"job_{module}" if module[0].isdigit() or is_taken else module


def _write_stub(folder: Path, handler: str, name: str) -> Path | None:
    """Add the function to its module and return the path; None if it exists or belongs to luad."""
    module, _, function = handler.partition(":")
    if not function or module.split(".")[0] == "luad":
        return None
    path = folder / f"{module.replace('.', '/')}.py"
    stub = templates.STUB.format(function=function, name=name)
    _make_folder(path.parent)
    if _write_new(path, templates.MODULE_HEAD + stub):
        return path
    known = path.read_text(encoding="utf-8")
    if re.search(
        rf"^(async )?def {re.escape(function)}\b|^{re.escape(function)}\s*=", known, re.MULTILINE
    ):
        return None
    with path.open("a", encoding="utf-8") as stream:
        stream.write(stub)
    return path


def _tell(session: Session, path: Path, stub: Path | None, job: Job) -> None:
    from luad.cli.project.offline import fire_times, is_floating
    from luad.core.schedule import describe_schedule

    times = list(fire_times(job, session.now, None, 3))
    if session.json:
        written = [str(each) for each in (path, stub) if each is not None]
        upcoming = [rfc3339(at) for at in times]
        session.out.json({"name": job.name, "written": written, "next": upcoming})
        return
    out = session.out
    out.info(f"wrote {path}" + (f" and {stub}" if stub else ""), "green")
    for number, at in enumerate(times):
        lead = "next: " if number == 0 else "      "
        out.info(lead + show_when(at, session.zone, session.now))
    if is_floating(job):
        out.info(
            f"next: {describe_schedule(job.schedule)}, counted from the moment when luad serve loads the file"
        )
    out.info(f"test it:  luad test {job.name}")


def _check_again(session: Session, path: Path) -> int:
    """Tell what is wrong with the file in its project, such as a user that does not exist."""
    from luad.cli.project.examine import examine
    from luad.config.problems import render_concise

    problems = examine(session, [str(path)], with_handlers=True).problems
    for line in render_concise(problems).splitlines():
        session.out.warn(line, "yellow")
    is_bad = any(each.severity is Severity.ERROR for each in problems)
    return ExitCode.ERROR if is_bad else ExitCode.OK


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(folder, error) from error


def _write_new(path: Path, text: str) -> bool:
    """Write *path*; return False if it exists already."""
    _make_folder(path.parent)
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        return False
    except OSError as error:
        raise _cannot_write(path, error) from error
    return True


def _cannot_write(path: Path, error: OSError) -> CommandError:
    reason = (error.strerror or str(error)).lower()
    code = "conflict" if isinstance(error, FileExistsError) else "error"
    return CommandError(f"cannot write {path}: {reason}", code=code)
