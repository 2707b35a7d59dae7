"""Whole files of other programs in a job folder, and the same as a luad job.

The functions are called only for documents that are not valid jobs.

Rule: pure; a value or bytes in, a sentence and a job out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from luad.config.jobs.crontab import read_crontab
from luad.core.cron.cronline import read_line
from luad.core.cron.search import CronError
from luad.core.model import JSON

CODE: Final = "LU112"
_SHELL: Final = "luad.handlers.shell:run"
_YOURS: Final = "package.module:function"
_PLAIN: Final = re.compile(r"[A-Za-z_./][A-Za-z0-9_./:-]*[A-Za-z0-9_/]")
_WORDS: Final = frozenset(("true", "false", "null", "yes", "no", "on", "off"))
_MOST_LINES: Final = 50


class ForeignFile(NamedTuple):
    """*what* the file is, and *help*: what to write instead."""

    what: str
    help: str

    @property
    def message(self) -> str:
        """The message of the problem."""
        return f"this is {self.what}, not a luad job"


def foreign_value(value: JSON) -> ForeignFile | None:
    """Name the format of a document by its keys; None if it may be a job."""
    if isinstance(value, list):
        return _list(value)
    if not isinstance(value, dict) or {"handler", "name"} <= value.keys():
        return None
    for test in (_kubernetes, _github, _app_engine, _table_of_jobs, _dkron, _by_keys):
        if found := test(value):
            return found
    return None


def foreign_text(data: bytes) -> ForeignFile | None:
    """Name the format of a file that is not YAML by its first lines; None if unknown."""
    text = data[:20_000].decode("utf-8-sig", "replace").replace("\r\n", "\n")
    first = next(_meaningful(text), "")
    if first.startswith(("<?xml", "<!DOCTYPE", "<html", "<plist", "<Task")):
        kind = "a launchd file" if "<plist" in text else "an XML or HTML page"
        if "<Task" in text:
            kind = "a task of Windows"
        return ForeignFile(kind, _write("my-job", "0 9 * * *", {"command": "..."}))
    if found := re.fullmatch(r"\[([A-Za-z][\w-]*)(?: \"([^\"]*)\")?\]", first):
        return _ini(found[1], found[2] or "", text)
    return _crontab(text)


# --- the job to write ------------------------------------------------------------------------


def _write(
    name: str,
    expression: JSON = None,
    metadata: Mapping[str, JSON] | None = None,
    *,
    handler: str = _SHELL,
    timezone: JSON = None,
    every: str = "",
) -> str:
    """Return one job as a line of YAML that can be pasted."""
    schedule: dict[str, JSON] = {"type": "cron", "expression": str(expression or "0 9 * * *")}
    if every:
        schedule = {"type": "interval", "every": every}
    elif isinstance(timezone, str):
        schedule["timezone"] = timezone
    job: dict[str, JSON] = {"name": _slug(name), "handler": handler, "schedule": schedule}
    if metadata:
        job["metadata"] = dict(metadata)
    return f"write  {_flow(job)}"


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")[:63] or "my-job"


def _flow(value: JSON) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    text = str(value)
    is_plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if is_plain else json.dumps(text, ensure_ascii=False)


def _at(value: JSON, *path: str | int) -> Any:
    """Return the value at *path*, or None."""
    for step in path:
        if isinstance(value, dict):
            value = value.get(str(step))
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


# --- by keys ------------------------------------------------------------------------------------


def _kubernetes(value: Mapping[str, JSON]) -> ForeignFile | None:
    kind = value.get("kind")
    if not isinstance(value.get("apiVersion"), str) or not isinstance(kind, str):
        return None
    if kind != "CronJob":
        return ForeignFile(f"a {kind} of Kubernetes", _write("my-job"))
    spec = value.get("spec")
    container = _at(spec, "jobTemplate", "spec", "template", "spec", "containers", 0)
    command = [
        *(_at(container, "command") or ()),
        *(_at(container, "args") or ()),
    ]
    name = str(_at(value, "metadata", "name") or "my-job")
    words = {"command": [str(each) for each in command] or ["..."]}
    zone = _at(spec, "timeZone")
    help_text = _write(name, _at(spec, "schedule"), words, timezone=zone)
    return ForeignFile("a CronJob of Kubernetes", help_text)


def _github(value: Mapping[str, JSON]) -> ForeignFile | None:
    jobs = value.get("jobs")
    if "on" not in value or not isinstance(jobs, dict):
        return None
    steps = _at(next(iter(jobs.values()), None), "steps") or []
    runs = [str(each["run"]).strip() for each in steps if isinstance(each, dict) and "run" in each]
    cron = _at(value, "on", "schedule", 0, "cron")
    name = str(value.get("name") or next(iter(jobs), "my-job"))
    help_text = _write(name, cron, {"command": runs[0] if runs else "..."})
    return ForeignFile("a workflow of GitHub Actions", help_text)


def _app_engine(value: Mapping[str, JSON]) -> ForeignFile | None:
    first = _at(value, "cron", 0)
    if not isinstance(first, dict) or "url" not in first:
        return None
    expression = _expression(first.get("schedule"))
    metadata = {"url": f"https://example.com{first['url']}"}
    name = str(first.get("description") or "my-job")
    help_text = _write(
        name,
        expression,
        metadata,
        handler="luad.handlers.http:check",
        timezone=first.get("timezone"),
    )
    return ForeignFile("a cron.yaml of App Engine", help_text)


_CLASS_KEYS: Final = ("class", "klass", "worker", "task", "job_class")
_WHEN_KEYS: Final = ("cron", "every", "schedule", "interval", "in", "at")


def _table_of_jobs(value: Mapping[str, JSON]) -> ForeignFile | None:
    """Recognise sidekiq, resque, Solid Queue, Celery: names with a class and a schedule."""
    for name, each in _entries(value):
        target = next((each[key] for key in _CLASS_KEYS if isinstance(each.get(key), str)), None)
        when = next((each[key] for key in _WHEN_KEYS if key in each), None)
        command = each.get("command")
        if (target is None and command is None) or when is None:
            continue
        program = "Celery beat" if "task" in each else "sidekiq, resque or Solid Queue"
        when = when[0] if isinstance(when, list) and when else when
        every = _distance(when)
        text = _write(name, _expression(when), handler=_YOURS, every=every)
        what = f"a schedule of {program}"
        return ForeignFile(
            what, f"{text}; each job is a document of its own, and its code is Python"
        )
    return None


def _entries(value: Mapping[str, JSON], depth: int = 3) -> Iterator[tuple[str, dict[str, JSON]]]:
    for key, each in list(value.items())[:_MOST_LINES]:
        if not isinstance(each, dict):
            continue
        named = {str(inner).lstrip(":"): one for inner, one in each.items()}
        if any(word in named for word in (*_CLASS_KEYS, "command")):
            yield str(key).lstrip(":"), named
        elif depth > 1:
            yield from _entries(each, depth - 1)


def _dkron(value: Mapping[str, JSON]) -> ForeignFile | None:
    if "executor" not in value or "executor_config" not in value:
        return None
    command = str(_at(value, "executor_config", "command") or "...")
    when = value.get("schedule")
    text = _write(
        str(value.get("name") or "my-job"),
        _expression(when),
        {"command": command},
        every=_distance(when),
    )
    return ForeignFile("a job of Dkron", text)


_KEYS: Final[tuple[tuple[str, frozenset[str]], ...]] = (
    ("a file of Docker Compose", frozenset(("services",))),
    ("a pipeline of GitLab CI", frozenset(("stages",))),
    ("a template of CloudFormation", frozenset(("AWSTemplateFormatVersion",))),
    ("a template of CloudFormation", frozenset(("Resources",))),
    ("a file of the Serverless Framework", frozenset(("functions", "provider"))),
    ("a configuration of CircleCI", frozenset(("workflows",))),
    ("a configuration of Vercel", frozenset(("crons",))),
)


def _by_keys(value: Mapping[str, JSON]) -> ForeignFile | None:
    for what, keys in _KEYS:
        if all(isinstance(value.get(key), dict | list) for key in keys):
            return ForeignFile(what, _write("my-job", None, {"command": "..."}))
    return None


def _list(value: list[JSON]) -> ForeignFile | None:
    first = value[0] if value else None
    if not isinstance(first, dict):
        return None
    if "hosts" in first and ("tasks" in first or "roles" in first):
        return ForeignFile("a playbook of Ansible", _write("my-job", None, {"command": "..."}))
    return None


# --- by lines -----------------------------------------------------------------------------------


def _meaningful(text: str) -> Iterator[str]:
    for line in text.split("\n")[:_MOST_LINES]:
        if line.strip() and not line.lstrip().startswith(("#", ";")):
            yield line.strip()


def _ini(section: str, name: str, text: str) -> ForeignFile:
    def key(word: str) -> str:
        found = re.search(rf"^\s*{word}\s*=\s*(.+)$", text, re.MULTILINE | re.IGNORECASE)
        return found[1].strip() if found else ""

    if section in {"Unit", "Timer", "Service", "Install"}:
        what = "a unit of systemd"
        when, command = key("OnCalendar"), key("ExecStart") or "..."
        return ForeignFile(what, _write("my-job", _expression(when), {"command": command}))
    if section.startswith("job-") or section == "global":
        when, command = key("schedule"), key("command") or "..."
        text = _write(
            name or "my-job", _expression(when), {"command": command}, every=_distance(when)
        )
        return ForeignFile("a configuration of Ofelia", text)
    return ForeignFile("an INI file", _write("my-job", None, {"command": "..."}))


def _crontab(text: str) -> ForeignFile | None:
    found = read_crontab(_meaningful(text))
    if found is None:
        return None
    zone = found.timezone or None
    written = _write(found.name, found.expression, {"command": found.command}, timezone=zone)
    notes = "; ".join((f"{written}; each line is a job of its own", *found.notes))
    return ForeignFile("a crontab", notes)


def _expression(when: JSON) -> str | None:
    """Return the cron expression that *when* is, or that luad suggests for it."""
    text = " ".join(str(when or "").split())
    if text.startswith("@every") or not text:
        return None
    try:
        return read_line(text).expression
    except CronError as error:
        found = re.search(r'write "([^"]+)"|`(@[a-z]+)`', error.help)
        return (found[1] or found[2]) if found else None


def _distance(when: JSON) -> str:
    """Return the distance that *when* is, "" for none: `15m`, `@every 1h`, 300."""
    if isinstance(when, int | float) and not isinstance(when, bool):
        return f"{int(when)}s"
    try:
        read_line(" ".join(str(when or "").split()))
    except CronError as error:
        found = re.search(r"every: (\w+)}", error.help)
        return found[1] if found else ""
    return ""
