"""`luad edit` and `snooze`: change a dynamic job, and postpone a job.

Rule: it sends requests to the daemon. The editor opens a file in a temporary folder; the folder stays if the
daemon refuses the change.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from luad.cli.base import Command, pass_session
from luad.cli.commands.run import metadata_from
from luad.cli.complete import job_names, user_ids
from luad.cli.due_options import WHEN, is_plain, schedule_of
from luad.cli.project.target_daemon import connect
from luad.cli.terminal.failure import CommandError
from luad.cli.terminal.times import parse_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luad.cli.session import Session
    from luad.client import Client
    from luad.json_text import JsonObject

_ELSEWHERE: Final = ("name", "metadata")
"""Keys of a job file that the request to change a job does not accept."""


@click.command("snooze", cls=Command)
@click.argument("name", shell_complete=job_names)
@click.argument("until", metavar="WHEN")
@pass_session
def snooze(session: Session, *, name: str, until: str) -> None:
    """Postpone a job: WHEN is a delay (1h), a time (HH:MM, ISO), or a phrase (`tomorrow 09:00`).

    A dynamic job that is due once is due then. Any other job is paused until then.
    """
    from luad.cli.project import source
    from luad.client import segment

    client = connect(session)
    job = source.job(client, name)
    path = f"/jobs/{segment(job['id'])}"
    zone = job["schedule"].get("timezone")
    # a delay counts from the moment when the daemon gets it
    if _is_delay(until):
        when = schedule_of(session, client, {"wait": until})
    else:
        options = {"at": until, "timezone": zone, "user": job.get("user_id")}
        when = schedule_of(session, client, options)
    if job["schedule"]["type"] == "once":
        job = client.patch(path, when)
    else:
        end = when.get("in") or when["schedule"]["execute_at"]
        job = client.post(f"{path}/deactivate", {"reason": "snoozed", "until": end})
    _tell(session, "Snoozed", job)


def _is_delay(text: str) -> bool:
    from luad.core.phrase import PhraseError, read_delay

    try:
        return (is_plain(text) and text.isalnum()) or read_delay(text) is not None
    except PhraseError:
        return True


@click.command("edit", cls=Command)
@click.argument("name", shell_complete=job_names)
@click.option("--handler", metavar="MOD:FN", help="The function that its runs call")
@click.option("--in", "wait", metavar="DUR", help="Once, after this delay")
@click.option("--at", metavar="TIME", help="Once, at this time, such as `fri 17:00`")
@click.option("--every", metavar="DUR", help="Again and again")
@click.option("--cron", metavar="EXPR", help="By a cron line")
@click.option("--timezone", metavar="ZONE", help="The schedule's zone")
@click.option("-m", "--metadata", multiple=True, metavar="K=V", help="V may be JSON")
@click.option("--user", metavar="ID", help="The user of the job", shell_complete=user_ids)
@click.option("--timeout", metavar="DUR", help="How long an attempt may take")
@click.option("--description", metavar="TEXT", help="One line about it")
@click.option("-t", "--tag", "tags", multiple=True, help="Replace its tags by these")
@pass_session
def edit(session: Session, /, *, name: str, **options: object) -> None:
    """Change a dynamic job: with options, or without any in $VISUAL or $EDITOR.

    To change a static job, edit its file.
    """
    from luad.cli.project import source
    from luad.client import segment

    client = connect(session)
    job = source.job(client, name)
    if file := job.get("file"):
        raise CommandError(
            f"{job['name']} comes from {file['path']}:{file.get('line', 1)}",
            code="file_owned",
            hint="edit the file; luad reloads it",
        )
    path = f"/jobs/{segment(job['id'])}"
    if any(value not in (None, ()) for value in options.values()):
        body, metadata = _from_options(session, client, options, job)
        job = client.patch(path, body) if body else job
        if metadata:
            client.patch(f"{path}/metadata", metadata)
        _tell(session, "Changed", job)
        return
    _edit_file(session, client, job, path)


def _from_options(
    session: Session, client: Client, options: JsonObject, job: JsonObject
) -> tuple[JsonObject, JsonObject]:
    keys = ("handler", "user", "timeout", "description")
    body = {key: options[key] for key in keys if options[key] is not None}
    if options["timeout"] not in (None, "none"):
        parse_duration(options["timeout"])
    if options["tags"]:
        body["tags"] = list(options["tags"])
    if any(options[key] is not None for key in WHEN):
        body |= schedule_of(
            session, client, {**options, "user": options["user"] or job.get("user_id")}
        )
    elif options["timezone"] is not None:
        body["schedule"] = {"timezone": options["timezone"]}
    return body, metadata_from(options["metadata"])


def _edit_file(session: Session, client: Client, job: JsonObject, path: str) -> None:
    """Open the job as a file in the editor, and send the changed keys."""
    from luad.cli.commands.show import job_file

    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        hint = "set $EDITOR, or use options:  luad edit NAME --at 'fri 17:00'"
        raise CommandError("neither $VISUAL nor $EDITOR is set", code="usage", hint=hint)
    folder = Path(tempfile.mkdtemp(prefix="luad-edit-"))
    file = folder / f"{job['name']}.yaml"
    file.write_text(job_file(job), encoding="utf-8")
    before = _document(session, file)
    done = subprocess.run([*shlex.split(editor), str(file)], check=False)  # noqa: S603 - the editor of the user
    if done.returncode:
        shutil.rmtree(folder)
        message = f"the editor ended with {done.returncode}, so nothing has changed"
        raise CommandError(message, hint="save the file and leave the editor normally")
    try:
        changed = _send(client, job, before, _document(session, file), path)
    except Exception:
        session.out.warn(f"your text is still in {file}")
        raise
    shutil.rmtree(folder)
    if changed is None:
        session.out.info(f"{job['name']} is unchanged")
    else:
        _tell(session, "Changed", changed)


def _document(session: Session, file: Path) -> JsonObject:
    """Return the job that *file* declares."""
    from luad.cli.commands.create_batch import documents

    found = documents(session, str(file))
    if len(found) != 1 or not isinstance(found[0], dict):
        message = f"{file} has {len(found)} documents; one job is one document"
        raise CommandError(message, code="usage", hint="write one job")
    return found[0]


def _send(
    client: Client,
    job: JsonObject,
    before: JsonObject,
    after: JsonObject,
    path: str,
) -> Any:
    """Send the keys that differ; return the changed job, or None if no key differs."""
    if after.get("name", job["name"]) != job["name"]:
        hint = "create another job:  luad create --from FILE"
        raise CommandError("the name of a job cannot be changed", code="usage", hint=hint)
    if before == after:
        return None
    if client.get(path)["revision"] != job["revision"]:
        message = f"{job['name']} has been changed by another client"
        raise CommandError(message, code="conflict", hint=f"luad edit {job['name']} again")
    patch = {key: each for key, each in _patch(before, after).items() if key not in _ELSEWHERE}
    if patch:
        client.patch(path, patch)
    if before.get("metadata") != after.get("metadata"):
        client.put(f"{path}/metadata", after.get("metadata") or {})
    return client.get(path)


def _patch(before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, object]:
    """Return the merge patch that turns *before* into *after*."""
    patch: dict[str, object] = {key: None for key in before if key not in after}
    for key, each in after.items():
        was = before.get(key)
        if key == "schedule":
            if each != was:  # another type or form replaces the whole schedule
                patch[key] = each
        elif isinstance(each, dict) and isinstance(was, dict):
            if inside := _patch(was, each):
                patch[key] = inside
        elif each != was or key not in before:
            patch[key] = each
    return patch


def _tell(session: Session, done: str, job: JsonObject) -> None:
    if session.json:
        session.out.json(job)
        return
    summary = str(job.get("summary") or "it is over.")
    session.out.line(f"{done} {job['name']}: {summary[:1].lower()}{summary[1:]}")
