"""`luad create`, `delete`, `remind`, `metadata`: jobs that are made at run time.

Room rule: asks the daemon to do it; does nothing itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from luad.cli.act import metadata_from
from luad.cli.base import Command, pass_session
from luad.cli.complete import job_names
from luad.cli.failure import CommandError, ExitCode
from luad.cli.times import parse_duration, parse_when, rfc3339
from luad.cli.words import plural

if TYPE_CHECKING:
    from luad.cli.session import Session

MESSAGE_HANDLER: Final = "luad.handlers.message:send"


@click.command("create", cls=Command)
@click.argument("name", required=False)
@click.option("--handler", metavar="MOD:FN", help="The function that its runs call")
@click.option("--in", "wait", metavar="DUR", help="Once, so much later")
@click.option("--at", metavar="TIME", help="Once, at that time")
@click.option("--every", metavar="DUR", help="Again and again")
@click.option("--cron", metavar="EXPR", help="By a cron line")
@click.option("--timezone", metavar="ZONE", help="The schedule's zone")
@click.option("-m", "--metadata", multiple=True, metavar="K=V", help="V may be JSON")
@click.option("--user", metavar="ID", help="Whom it is for")
@click.option("--timeout", metavar="DUR", help="How long a run may take")
@click.option("--max-attempts", type=click.IntRange(1, 100), help="Tries, the first included")
@click.option("--backoff", metavar="DUR", help="Between two tries")
@click.option("-t", "--tag", "tags", multiple=True, help="A word to find it by")
@click.option("--inactive", is_flag=True, help="Paused until somebody resumes it")
@click.option("--keep", is_flag=True, help="It stays in the list after its success")
@click.option(
    "--if-exists", type=click.Choice(["error", "keep", "replace"]), default="error",
    help="When there is a dynamic job of that name",
)  # fmt: skip
@click.option("--idempotency-key", metavar="KEY", help="Requests with the same one make one job")
@click.option("--from", "source", metavar="FILE|-", help="Jobs as in a job file, YAML or JSON")
@pass_session
def create(
    session: Session,
    *,
    name: str | None,
    handler: str | None,
    wait: str | None,
    at: str | None,
    every: str | None,
    cron: str | None,
    timezone: str | None,
    metadata: tuple[str, ...],
    user: str | None,
    timeout: str | None,
    max_attempts: int | None,
    backoff: str | None,
    tags: tuple[str, ...],
    inactive: bool,
    keep: bool,
    if_exists: str,
    idempotency_key: str | None,
    source: str | None,
) -> int | None:
    """Make a job at run time; prints what will happen.

    It lives in luad's store until it is deleted; one that is due once leaves after its success.
    """
    if source is not None:
        if handler or wait or at or every or cron:
            raise CommandError("--from says it all", code="usage")
        return _create_from(session, source, if_exists)
    if handler is None:
        raise CommandError("which handler?", code="usage", hint="--handler module:function")
    body: dict[str, Any] = {"handler": handler, "if_exists": if_exists}
    body |= _when(session, wait, at, every, cron, timezone)
    retry = {} if max_attempts is None else {"max_attempts": max_attempts}
    if backoff is not None:
        retry["backoff_seconds"] = parse_duration(backoff) // 1_000
    given = {
        "name": name,
        "user": user,
        "timeout": timeout,
        "metadata": metadata_from(metadata),
        "retry": retry,
        "tags": list(tags),
        "keep": keep,
    }
    body |= {key: value for key, value in given.items() if value}
    if inactive:
        body["activate"] = False
    _create(session, body, idempotency_key)
    return None


def _when(
    session: Session,
    wait: str | None,
    at: str | None,
    every: str | None,
    cron: str | None,
    timezone: str | None,
) -> dict[str, Any]:
    said = {"--in": wait, "--at": at, "--every": every, "--cron": cron}
    given = [flag for flag, value in said.items() if value is not None]
    if len(given) != 1:
        what = "nothing says when" if not given else f"{' and '.join(given)} say it twice"
        raise CommandError(what, code="usage", hint="say one of --in, --at, --every, --cron")
    zone = {} if timezone is None else {"timezone": timezone}
    if wait is not None:
        parse_duration(wait)
        return {"in": wait}
    if at is not None:
        if timezone is not None:
            return {"schedule": {"type": "once", "execute_at": at, **zone}}
        moment = rfc3339(parse_when(at, session.zone, session.now))
        return {"schedule": {"type": "once", "execute_at": moment}}
    if every is not None:
        parse_duration(every)
        return {"schedule": {"type": "interval", "every": every}}
    return {"schedule": {"type": "cron", "expression": cron, **zone}}


def _create(session: Session, body: dict[str, Any], key: str | None = None) -> None:
    headers = {} if key is None else {"Idempotency-Key": f'"{key}"'}
    job = session.client().request("POST", "/jobs", body, headers=headers)
    if session.json:
        session.out.json(job)
        return
    summary = str(job.get("summary", "it has run already."))
    session.out.line(f"Created {job['name']}: {summary[:1].lower()}{summary[1:]}")


def _create_from(session: Session, source: str, if_exists: str) -> int:
    from luad.config.yaml import Limits, parse_yaml

    data = _read(source)
    documents = list(parse_yaml(data, source, Limits()))
    problems = [problem for each in documents for problem in each.problems]
    if problems:
        from luad.config.problems import render_full, with_excerpts

        session.out.complain(render_full(with_excerpts(problems, data)))
        return ExitCode.ERROR
    jobs: list[Any] = []
    for document in documents:
        jobs += document.value if isinstance(document.value, list) else [document.value]
    bodies = [{"if_exists": if_exists, **each} if isinstance(each, dict) else each for each in jobs]
    answer = session.client(120).post("/jobs:batch", {"action": "create", "jobs": bodies})
    if session.json:
        session.out.json(answer)
    bad = [each for each in answer["results"] if not each["ok"]]
    if not session.json:
        for each in bad:
            error = each["error"]
            session.out.complain(f"error[{error['code']}]: {each['job']}: {error['detail']}")
            if error.get("hint"):
                session.out.complain(f"  hint: {error['hint']}")
        session.out.say(f"Created {plural(len(answer['results']) - len(bad), 'job')}")
    return ExitCode.ERROR if bad else ExitCode.OK


def _read(source: str) -> bytes:
    if source == "-":
        import sys

        return sys.stdin.buffer.read()
    try:
        return Path(source).read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(f"cannot read {source}: {reason}", code="usage") from error


@click.command("remind", cls=Command)
@click.argument("user")
@click.argument("text")
@click.option("--in", "wait", metavar="DUR", help="So much later")
@click.option("--at", metavar="TIME", help="At that time")
@click.option("--title", metavar="TEXT", help="A line above it")
@pass_session
def remind(
    session: Session,
    *,
    user: str,
    text: str,
    wait: str | None,
    at: str | None,
    title: str | None,
) -> None:
    """Send someone a message later; no code is needed for it."""
    metadata = {"text": text} if title is None else {"text": text, "title": title}
    when = _when(session, wait, at, None, None, None)
    body = {"handler": MESSAGE_HANDLER, "user": user, "metadata": metadata, **when}
    body["retry"] = {"max_attempts": 5, "backoff_seconds": 60, "backoff_multiplier": 2}
    _create(session, body)


@click.command("delete", cls=Command)
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=job_names)
@pass_session
def delete(session: Session, *, names: tuple[str, ...]) -> None:
    """Delete a dynamic job; its history stays. A job of a file is deleted by deleting the file."""
    from luad.client import segment

    session.confirm(f"Delete {', '.join(names)}?")
    client = session.client()
    answers = [client.delete(f"/jobs/{segment(name)}") for name in names]
    if session.json:
        session.out.json({"results": answers})
        return
    for answer in answers:
        session.out.say(answer["message"])


@click.command("metadata", cls=Command)
@click.argument("name", shell_complete=job_names)
@click.argument("pairs", nargs=-1, metavar="[K=V...]")
@click.option("--replace", is_flag=True, help="Leave nothing else")
@pass_session
def metadata(session: Session, *, name: str, pairs: tuple[str, ...], replace: bool) -> None:
    """Show a job's metadata, or set keys of it; V may be JSON."""
    from luad.client import segment

    path = f"/jobs/{segment(name)}/metadata"
    client = session.client()
    if pairs or replace:
        values = metadata_from(pairs)
        answer = client.put(path, values) if replace else client.patch(path, values)
    else:
        answer = client.get(path)
    session.out.json(answer)
