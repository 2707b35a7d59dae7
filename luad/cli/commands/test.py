"""`luad test`: run a job at once in this process, without the daemon.

Rule: it finds the job and shows the result; `luad.cli.rehearsal` runs it.
"""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from luad.cli.base import Command, pass_session
from luad.cli.commands.run import metadata_from
from luad.cli.commands.show import user_frames
from luad.cli.complete import job_names
from luad.cli.option_conflicts import Exclusive, OnlyWith
from luad.cli.project.target_daemon import connect
from luad.cli.terminal.failure import CommandError, EarlyExit, ExitCode
from luad.cli.terminal.output import clean
from luad.cli.terminal.times import parse_when, show_took, to_datetime
from luad.core.model import Interval, Job
from luad.errors import NotFoundError
from luad.suggestions import close_to

if TYPE_CHECKING:
    from collections.abc import Sequence

    from luad.api.service import DynamicRules
    from luad.cli.rehearsal.rehearse import Rehearsal, RunParameters
    from luad.cli.rehearsal.stand_in import RehearsalEffects
    from luad.cli.session import Session
    from luad.config.settings.daemon_settings import Settings
    from luad.core.messaging import User
    from luad.errors import Problem
    from luad.json_text import JsonObject

MERGE_PATCH: Final = "application/merge-patch+json"
CODES: Final = {
    "completed": ExitCode.OK,
    "failed": ExitCode.RUN_FAILED,
    "timed_out": ExitCode.TIMEOUT,
    "cancelled": ExitCode.INTERRUPTED,
}


@click.command(
    "test",
    cls=Command,
    rules=[Exclusive("--pdb", "--json"), OnlyWith("--require-delivery", "--send", "real")],
)
@click.argument("what", metavar="NAME|MOD:FN|FILE", shell_complete=job_names)
@click.option(
    "-m",
    "--metadata",
    multiple=True,
    metavar="K=V",
    help="Overrides the job's metadata; V may be JSON",
)
@click.option("--metadata-file", metavar="FILE", help="A JSON object; overrides the job's metadata")
@click.option("--at", metavar="TIME", help="The value of job.scheduled_for; default: now")
@click.option("--attempt", type=click.IntRange(1), default=1, help="The value of job.attempt")
@click.option("--no-timeout", is_flag=True, help="Without a time limit")
@click.option("--repeat", type=click.IntRange(1), default=1, help="The number of calls")
@click.option("--user", metavar="ID", help="The user of the job")
@click.option(
    "--send",
    type=click.Choice(["capture", "log", "real"]),
    default="capture",
    help="How messages are sent; default: capture, which only shows them",
)
@click.option("--persist", is_flag=True, help="Write changed metadata to the daemon")
@click.option("--require-delivery", is_flag=True, help="Exit 6 if a message did not arrive")
@click.option("--pdb", "must_debug", is_flag=True, help="Open the debugger where it failed")
@pass_session
def test(
    session: Session,
    *,
    what: str,
    metadata: tuple[str, ...],
    metadata_file: str | None,
    at: str | None,
    attempt: int,
    no_timeout: bool,
    repeat: int,
    user: str | None,
    send: str,
    persist: bool,
    require_delivery: bool,
    must_debug: bool,
) -> int:
    """Run a job at once, in this process, under its own time limit.

    It needs no daemon and stores nothing: it only shows messages, changed metadata and created jobs.
    Exit 4 if the handler fails, 7 if it exceeds the time limit.
    """
    from luad.cli.project import folders
    from luad.cli.project.refusal import refuse_untrusted
    from luad.cli.rehearsal.rehearse import RunParameters
    from luad.cli.rehearsal.run_environment import run_environment_of
    from luad.daemon.ownership import permits_insecure
    from luad.runner.loading import prepare_imports

    chosen = folders.settings(session)
    job = _find(session, chosen, what, is_kept=persist)
    refuse_untrusted(chosen, job.handler, Path(what) if _is_file(what) else None)
    extra = {**_from_file(metadata_file), **metadata_from(metadata)}
    job = replace(job, metadata={**job.metadata, **extra})
    around, folder = run_environment_of(session, chosen, job), str(chosen.handlers_path.absolute())
    prepare_imports([folder], permit_insecure=permits_insecure(chosen))
    due = session.now if at is None else parse_when(at, session.zone, session.now)
    timeout_ms = None if no_timeout or must_debug else job.timeout_ms
    parameters = RunParameters(due, attempt, [folder], timeout_ms, around, must_debug, user)
    options = RehearsalOptions(session, chosen, send, is_kept=persist)
    if user is not None:
        options.check_user(user)
    if not session.json:
        around.show(session)
    ended = [_once(session, job, parameters, options) for _ in range(repeat)]
    if session.json:
        views = [_view(job, *each) | around.view() for each in ended]
        session.out.json(views[0] if repeat == 1 else {"runs": views})
    if persist:
        _persist(session, job, ended[-1][1].metadata)
    return _exit_code(ended, require_delivery=require_delivery)


def _exit_code(
    ended: Sequence[tuple[Rehearsal, RehearsalEffects]], *, require_delivery: bool
) -> int:
    code = next((CODES[each.status] for each, _ in ended if CODES[each.status]), ExitCode.OK)
    is_lost = any(
        not each["ok"] for _, left in ended for one in left.sent for each in one["deliveries"]
    )
    return ExitCode.DELIVERY_FAILED if require_delivery and is_lost and not code else code


@dataclass(frozen=True, slots=True)
class RehearsalOptions:
    """Options of a test run: known users, and what happens to messages and metadata."""

    session: Session
    settings: Settings
    send: str
    is_kept: bool

    def check_user(self, user_id: str) -> None:
        """Raise `NotFoundError` if no users file declares *user_id*."""
        known = [each.id for each in self.users()]
        if user_id not in known:
            raise NotFoundError(
                f"no user `{user_id}` in the files here",
                hint="" if close_to(user_id, known) else f"luad users add {user_id} writes one",
                suggestions=close_to(user_id, known),
            )

    def users(self) -> list[User]:
        """Return the users that the files of the project declare."""
        from luad.config.users.user_file import UserCatalogue
        from luad.watcher import SnapshotReader

        folders = [each for each in self.settings.users if each.is_dir()]
        snapshot = SnapshotReader(folders, 0, self.settings.max_file_size, permit_insecure=True)
        files = snapshot.read(0, is_settled=True).files
        return list(UserCatalogue().update(files).users.values())

    def rules(self) -> DynamicRules:
        """Return the rules of the settings for dynamic jobs."""
        from luad.daemon.wiring import dynamic_rules

        return dynamic_rules(self.settings)

    def sender(self) -> Any:
        """Return the sender of messages; None without --send real."""
        if self.send != "real":
            return None
        from luad.cli.rehearsal.stand_in import RealSender
        from luad.daemon.ownership import permits_insecure

        return RealSender(
            allow_private=self.settings.webhooks_allow_private,
            permit_insecure=permits_insecure(self.settings),
        )


def _persist(session: Session, job: Job, metadata: dict[str, object]) -> None:
    """Write the changed keys to the daemon, and only these: its other metadata may be newer."""
    from luad.client import segment

    before = dict(job.metadata)
    changed = {
        key: value
        for key, value in metadata.items()
        if key not in before or json.dumps(before[key]) != json.dumps(value)
    }
    removed = dict.fromkeys(before.keys() - metadata.keys())
    if not changed and not removed:
        return
    client, path = connect(session), f"/jobs/{segment(job.name)}/metadata"
    if changed:
        client.patch(path, changed)
    if removed:
        client.request("PATCH", path, removed, headers={"Content-Type": MERGE_PATCH})
    if not session.json:
        session.out.info("  wrote the metadata to the daemon")


def _once(
    session: Session, job: Job, parameters: RunParameters, options: RehearsalOptions
) -> tuple[Rehearsal, RehearsalEffects]:
    from luad.cli.rehearsal.rehearse import rehearse, stdout_to_stderr
    from luad.cli.rehearsal.stand_in import StandIn
    from luad.sdk.link import set_link

    if not session.json:
        user = parameters.user or job.user
        addressee = f"   for {user}" if user else ""
        session.out.line(f"▶ {job.name}   {job.handler}{addressee}", "bold")

    def on_line(line: JsonObject) -> None:
        if session.json:
            return
        moment = to_datetime(line["ts"], session.zone)
        text = f"{moment:%H:%M:%S}.{line['ts'] % 1000:03} {line['level'].upper():<7}"
        style = {"warning": "yellow", "error": "red", "critical": "red"}.get(line["level"], "")
        session.out.line(f"  {text} {line['logger']}  {clean(line['message'])}", style)
        for more in str(line.get("exception") or "").splitlines():
            session.out.line(f"    {clean(more)}", style)

    stand_in = StandIn(
        job, options.users(), parameters.scheduled_for, options.sender(), options.rules()
    )
    before = set_link(stand_in)
    try:
        with stdout_to_stderr() if session.json else nullcontext():
            ended = rehearse(job, parameters, on_line)
        left = stand_in.effects()
    finally:
        set_link(before)
        stand_in.close()
    if not session.json:
        _show_left(session, job, left, options)
        _show(session, ended)
    return ended, left


def _show_left(
    session: Session, job: Job, left: RehearsalEffects, options: RehearsalOptions
) -> None:
    from luad.config.users.message_bodies import plain_text

    out = session.out
    for message in left.sent:
        channels = ", ".join(each["channel"] for each in message["deliveries"])
        verb = "sent" if options.send == "real" else "would send"
        out.line(f"  → {verb} to {message['user_id']} ({channels})", "cyan")
        if message["title"]:
            out.line(f"      {clean(message['title'])}", "bold")
        for line in plain_text(message["parts"]).splitlines():
            out.line(f"      {clean(line)}")
        for each in message["deliveries"]:
            if not each["ok"]:
                out.line(f"      not by {each['channel']}: {clean(each['error'])}", "red")
    for made in left.created:
        out.line(f"  + would make {made['name']}: {made['summary']}", "cyan")
    before = dict(job.metadata)
    for key in sorted({*before, *left.metadata}):
        old, new = before.get(key), left.metadata.get(key)
        if old != new:
            change = f"{json.dumps(old)} → {json.dumps(new)}"
            fate = "" if options.is_kept else "    (not saved; --persist keeps it)"
            out.line(f"  metadata  {key}: {change}{fate}")


def _view(job: Job, ended: Rehearsal, left: RehearsalEffects) -> JsonObject:
    return {
        "job": job.name,
        "handler": job.handler,
        "status": ended.status,
        "duration_ms": ended.duration_ms,
        "result": ended.result,
        "result_omitted": ended.outcome.result_omitted or None,
        "error": ended.error,
        "sent": left.sent,
        "created": left.created,
        "metadata": {"before": dict(job.metadata), "after": left.metadata},
        "logs": [
            {key: line[key] for key in ("level", "logger", "message")} for line in ended.lines
        ],
    }


def _show(session: Session, ended: Rehearsal) -> None:
    out, took = session.out, show_took(ended.duration_ms)
    if ended.status == "completed":
        out.line(f"✓ completed in {took}", "green")
        if ended.result is not None:
            out.line(f"  result    {clean(json.dumps(ended.result, ensure_ascii=False))}")
        if ended.outcome.result_omitted:
            out.line(f"  result    left out: {clean(ended.outcome.result_omitted)}", "yellow")
        return
    out.line(f"✗ {ended.status.replace('_', ' ')} after {took}", "red")
    error = ended.error or {}
    if error.get("traceback"):
        for line in user_frames(error["traceback"]):
            out.line(f"  {clean(line)}")
    elif error:
        out.line(f"  error     {error['type']}: {clean(error['message'])}")


# --- the job -----------------------------------------------------------------------------------


def _find(session: Session, chosen: Settings, what: str, *, is_kept: bool) -> Job:
    """Return the job that *what* names; raises `NotFoundError`, or `EarlyExit` after printed problems."""
    if _is_file(what):
        return _from_job_file(session, chosen, Path(what))
    if ":" in what:
        if is_kept:  # the daemon may have another job with this name
            message = f"--persist needs a job, and `{what}` is a function"
            raise CommandError(message, code="usage", hint="luad test NAME --persist")
        name = what.rpartition(":")[2].replace("_", "-").lower().strip("-") or "test"
        return Job(name, what, Interval(1_000))
    return _named(session, chosen, what)


def _is_file(what: str) -> bool:
    return what.endswith((".yaml", ".yml")) or "/" in what


def _named(session: Session, chosen: Settings, name: str) -> Job:
    from luad.cli.project import folders
    from luad.cli.project.refusal import refuse_unread

    seen = folders.snapshot(chosen)
    loaded = folders.load(chosen, seen.files, seen.problems)
    _stop_at(session, [each for each in loaded.problems if each.job == name])
    names = [name] if name in loaded.wanted else []
    names = names or [each for each in loaded.wanted if each.startswith(name)]
    if len(names) == 1:
        return loaded.wanted[names[0]].job
    places = " ".join(str(folder) for folder in chosen.jobs)
    if names:
        raise NotFoundError(
            f"`{name}` is the beginning of {len(names)} jobs", suggestions=tuple(sorted(names)[:5])
        )
    refuse_unread(name, loaded.problems)
    raise NotFoundError(
        f"no job named `{name}` in {places}",
        hint="" if close_to(name, list(loaded.wanted)) else "luad list --offline shows all",
        suggestions=close_to(name, list(loaded.wanted)),
    )


def _from_job_file(session: Session, chosen: Settings, path: Path) -> Job:
    from luad.config.jobs.job_file import load_file

    try:
        data = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise NotFoundError(f"cannot read {path}: {reason}") from error
    parsed = load_file(str(path), data, settings=chosen)
    _stop_at(session, parsed.problems)
    if len(parsed.jobs) != 1:
        names = ", ".join(each.job.name for each in parsed.jobs) or "none"
        raise CommandError(
            f"{path} has {len(parsed.jobs)} jobs: {names}", code="usage", hint="luad test NAME"
        )
    return parsed.jobs[0].job


def _stop_at(session: Session, problems: Sequence[Problem]) -> None:
    """Print *problems* and end the command if one of them is an error."""
    from luad.config.problems import render_full, render_json
    from luad.errors import Severity

    errors = [each for each in problems if each.severity is Severity.ERROR]
    if not errors:
        return
    if session.json:
        print(render_json(errors))
    else:
        session.out.warn(render_full(errors))
    raise EarlyExit(ExitCode.ERROR)


def _from_file(name: str | None) -> dict[str, object]:
    if name is None:
        return {}
    from luad.cli.commands.create_batch import one_object

    return one_object(name)
