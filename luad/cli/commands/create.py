"""`luad create`, `delete`, `remind`, `metadata`: dynamic jobs.

Rule: it sends requests to the daemon and changes nothing itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from luad.cli.base import Command, pass_session
from luad.cli.commands.run import metadata_from
from luad.cli.complete import job_names, user_ids
from luad.cli.due_options import schedule_of
from luad.cli.option_conflicts import Exclusive, Requires
from luad.cli.project.target_daemon import connect
from luad.cli.terminal.failure import CommandError
from luad.cli.terminal.times import parse_duration, parse_rfc3339
from luad.errors import NotFoundError

if TYPE_CHECKING:
    from luad.cli.session import Session
    from luad.client import Client
    from luad.json_text import JsonObject

MESSAGE_HANDLER: Final = "luad.handlers.message:send"
OK: Final = 200
"""The status of the answer if the daemon created nothing."""

NOT_IN_FORCE: Final = ("LU307", "LU308")
RETRY: Final = {"max_attempts": 5, "backoff_seconds": 60, "backoff_multiplier": 2}
"""The retries of reminders: a message that fails is sent again a little later."""


@click.command(
    "create",
    cls=Command,
    rules=[
        Requires("--backoff", ("--max-attempts",)),
        Requires("--if-exists", ("name", "--from")),
        Exclusive("--keep", "--every"),
        Exclusive("--keep", "--cron"),
    ],
)
@click.argument("name", required=False)
@click.option("--handler", metavar="MOD:FN", help="The function that its runs call")
@click.option("--in", "wait", metavar="DUR", help="Once, after this delay")
@click.option("--at", metavar="TIME", help="Once, at this time, such as `fri 17:00`")
@click.option("--every", metavar="DUR", help="Again and again")
@click.option("--cron", metavar="EXPR", help="By a cron line")
@click.option("--timezone", metavar="ZONE", help="The schedule's zone")
@click.option("-m", "--metadata", multiple=True, metavar="K=V", help="V may be JSON")
@click.option("--metadata-file", metavar="FILE", help="A JSON object; -m overrides its keys")
@click.option("--user", metavar="ID", help="The user of the job", shell_complete=user_ids)
@click.option("--timeout", metavar="DUR", help="How long an attempt may take")
@click.option("--max-attempts", type=click.IntRange(1, 100), help="Attempts, including the first")
@click.option("--backoff", metavar="DUR", help="The time between two attempts")
@click.option("-t", "--tag", "tags", multiple=True, help="A tag to find the job by")
@click.option("--inactive", is_flag=True, help="Paused until `luad resume`")
@click.option("--keep", is_flag=True, help="Keep it in the list after its success")
@click.option(
    "--if-exists", type=click.Choice(["error", "keep", "replace"]), default="error",
    help="If a dynamic job of that name exists; default: error",
)  # fmt: skip
@click.option("--idempotency-key", metavar="KEY", help="Requests with the same key create one job")
@click.option("--from", "source", metavar="FILE|-", help="Jobs as in a job file, YAML or JSON")
@pass_session
def create(
    session: Session, /, *, source: str | None, if_exists: str, **options: Any
) -> int | None:
    """Create a dynamic job; prints when it runs.

    luad stores it until you delete it; a job that is due once leaves the list after its success.
    """
    if source is not None:
        from luad.cli.commands.create_batch import create_from

        if any(options.values()):
            hint = "only --if-exists goes with it; the file has everything else"
            raise CommandError("--from excludes the other options", code="usage", hint=hint)
        return create_from(session, source, if_exists)
    if options["handler"] is None:
        raise CommandError("the handler is missing", code="usage", hint="--handler module:function")
    client = connect(session)
    body = {"handler": options["handler"], "if_exists": if_exists}
    body |= schedule_of(session, client, options)
    given = {
        "name": options["name"],
        "user": options["user"],
        "timeout": options["timeout"],
        "metadata": {**_from_file(options["metadata_file"]), **metadata_from(options["metadata"])},
        "retry": _retry(options["max_attempts"], options["backoff"]),
        "tags": list(options["tags"]),
        "keep": options["keep"],
    }
    body |= {key: value for key, value in given.items() if value not in (None, {}, [], False)}
    if options["inactive"]:
        body["activate"] = False
    _create(session, client, body, options["idempotency_key"])
    return None


def _from_file(name: str | None) -> dict[str, object]:
    if name is None:
        return {}
    from luad.cli.commands.create_batch import one_object

    return one_object(name)


def _retry(max_attempts: int | None, backoff: str | None) -> dict[str, object]:
    retry: dict[str, object] = {} if max_attempts is None else {"max_attempts": max_attempts}
    if backoff is not None:
        seconds = parse_duration(backoff) / 1_000
        retry["backoff_seconds"] = int(seconds) if seconds.is_integer() else seconds
    return retry


def _create(session: Session, client: Client, body: JsonObject, key: str | None = None) -> None:
    headers = {} if key is None else {"Idempotency-Key": f'"{checked_key(key)}"'}
    job = client.request("POST", "/jobs", body, headers=headers)
    if session.json:
        session.out.json(job)
        return
    name = job.get("name", job["id"])
    summary = str(job.get("summary") or "it has run already.")
    is_kept = client.last_status == OK and body.get("if_exists") == "keep"
    done = "Kept" if is_kept else "Created"
    session.out.line(f"{done} {name} ({job['id']}): {summary[:1].lower()}{summary[1:]}")


def checked_key(key: str) -> str:
    """Return *key* if a header can hold it; raises `CommandError` (usage)."""
    if not key.isascii() or not key.isprintable() or '"' in key or "\\" in key:
        hint = "use ASCII letters, digits and signs, without quotes"
        raise CommandError(f"{key!r} is not an idempotency key", code="usage", hint=hint)
    return key


@click.command("remind", cls=Command)
@click.argument("user", shell_complete=user_ids)
@click.argument("text")
@click.option("--in", "wait", metavar="DUR", help="After this delay")
@click.option("--at", metavar="TIME", help="At this time, such as `fri 17:00`")
@click.option("--every", metavar="DUR", help="Again and again")
@click.option("--cron", metavar="EXPR", help="By a cron line")
@click.option("--timezone", metavar="ZONE", help="The zone of --at and --cron; default: the user's")
@click.option("--title", metavar="TEXT", help="A title above the text")
@pass_session
def remind(
    session: Session, /, *, user: str, text: str, title: str | None, **options: object
) -> None:
    """Send a user a message later, once or repeatedly; it needs no handler of yours."""
    if not text.strip():
        hint = 'luad remind ann "stand-up" --in 10m'
        raise CommandError("the text is empty", code="usage", hint=hint)
    client = connect(session)
    when = schedule_of(session, client, {**options, "user": user})
    at = parse_rfc3339(when.get("schedule", {}).get("execute_at"))
    if at is not None and at <= session.now:
        hint = "use a time in the future, such as --at 09:30, or --in 10m"
        raise CommandError(f"{options['at'] or options['wait']} is past", code="usage", hint=hint)
    metadata = {"text": text} if title is None else {"text": text, "title": title}
    body = {"handler": MESSAGE_HANDLER, "user": user, "metadata": metadata, "retry": RETRY}
    _create(session, client, {**body, **when})


def _to_delete(client: Client, name: str) -> JsonObject:
    from luad.cli.project import source

    try:
        job = source.job(client, name)
    except NotFoundError:
        # A stored job that is not installed is not in /jobs; the problems of the daemon name it.
        for problem in client.get("/config")["problems"]:
            if problem["code"] in NOT_IN_FORCE and problem.get("job") == name:
                return {"id": name, "name": name}
        raise
    if job.get("gone_at"):
        message = f"{job['name']} is {job['status']} already"
        raise NotFoundError(message, hint=f"luad show {job['id']}")
    return job


@click.command("delete", cls=Command)
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=job_names)
@pass_session
def delete(session: Session, *, names: tuple[str, ...]) -> None:
    """Delete dynamic jobs; their history stays. To delete a static job, delete its file.

    Nothing is deleted unless all of them can be deleted.
    """
    from luad.client import segment

    client = connect(session)
    jobs = {job["id"]: job for job in (_to_delete(client, name) for name in names)}
    for job in jobs.values():
        if file := job.get("file"):
            raise CommandError(
                f"{job['name']} comes from {file['path']}:{file.get('line', 1)}",
                code="file_owned",
                hint=f"delete the file, or luad pause {job['name']}",
            )
    session.confirm(f"Delete {', '.join(job['name'] for job in jobs.values())}?")
    answers = []
    for job_id, job in jobs.items():
        try:
            answer = client.delete(f"/jobs/{segment(job_id)}")
        except NotFoundError:  # it has run and left, or another client has deleted it
            message = f"{job['name']} was deleted already"
            answer = {"deleted": False, "deactivated": False, "message": message}
        answers.append({"job": job["name"], **answer})
    if session.json:
        session.out.json({"results": answers})
        return
    for answer in answers:
        session.out.info(answer["message"])


@click.command("metadata", cls=Command)
@click.argument("name", shell_complete=job_names)
@click.argument("pairs", nargs=-1, metavar="[K=V]...")
@click.option("--replace", is_flag=True, help="Replace all metadata by these")
@pass_session
def metadata(session: Session, *, name: str, pairs: tuple[str, ...], replace: bool) -> None:
    """Show the metadata of a job, or set keys of it; V may be JSON."""
    from luad.cli.project import source
    from luad.client import segment

    client = connect(session)
    path = f"/jobs/{segment(source.job(client, name)['id'])}/metadata"
    if pairs or replace:
        values = metadata_from(pairs, option=f"luad metadata {name} ")
        answer = client.put(path, values) if replace else client.patch(path, values)
    else:
        answer = client.get(path)
    session.out.json(answer)
