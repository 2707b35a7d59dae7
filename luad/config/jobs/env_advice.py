"""Warnings about environment variables of a job that have no effect, or another one.

luad expands nothing in `env`, and sets it in the process of a run after Python has started.

Rule: pure; a job in, warnings out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from luad.config.schema.violations import Mistake
from luad.config.yaml.marks import Path
from luad.core.model import JSON, Job

SHELL_HANDLER: Final = "luad.handlers.shell:run"
_OWN: Final = "luad.handlers."

_USUAL_PATH: Final = "/usr/local/bin:/usr/bin:/bin"

_BRACED: Final = re.compile(r"(?<![\\$])\$\{([A-Za-z_]\w*)[^}]*\}", re.ASCII)
_NAMED: Final = re.compile(r"(?<![\\$])\$([A-Z_][A-Z0-9_]+)(?![a-z])", re.ASCII)
_WORD: Final = re.compile(r"(?<![\w\\$])\$([A-Za-z_]\w+)", re.ASCII)
_COMMAND: Final = re.compile(r"(?<![\\$])\$\([^)]+\)|`[^`]+`")

# Read during the run, so a value of the job does have an effect.
_READ_LATE: Final = frozenset(
    {
        "PYTHONBREAKPOINT",
        "PYTHONASYNCIODEBUG",
        "PYTHON_COLORS",
        "PYTHON_BASIC_REPL",
        "PYTHON_HISTORY",
        "PYTHONUNBUFFERED",  # its effect applies to each run already
    }
)
_SET_BY_LUAD: Final = frozenset(
    {"LUAD_JOB", "LUAD_RUN_ID", "LUAD_ATTEMPT", "LUAD_SCHEDULED_FOR", "LUAD_SOCKET"}
)
_OF_CRON: Final = {
    "MAILTO": "write  alert: {to: [USER]}",
    "MAILFROM": "the channel of a user has the sender",
    "CRON_TZ": "write  timezone: ...  in `schedule`",
    "RANDOM_DELAY": "write  jitter: 10m",
}


def env_mistakes(job: Job) -> Iterator[Mistake]:
    """Yield warnings about variables that are not expanded, set too late, or ignored."""
    for name, value in job.env:
        path: Path = ("env", name)
        if name.upper() == name and (message := _without_effect(name, job)):
            yield Mistake(path, "LU506", *message, is_key=True, is_warning=True)
        elif literal := _literal(value):
            yield _literal_mistake(path, f"`{name}` in `env`", name, literal, value)
    if job.handler.startswith(_OWN) and job.metadata:
        yield from _in_metadata(job)


# --- not expanded ----------------------------------------------------------------


def _literal(value: str) -> str:
    """Return the first part of *value* that a shell would replace; empty for none."""
    if "$" not in value and "`" not in value:
        return ""
    for pattern in (_BRACED, _COMMAND, _NAMED, _WORD):
        if found := pattern.search(value):
            return found[0]
    return ""


def _literal_mistake(path: Path, field: str, name: str, literal: str, whole: str = "") -> Mistake:
    variable = re.sub(r"\W.*", "", literal.lstrip("${"), flags=re.ASCII)
    if literal.startswith(("$(", "`")):
        hint = "run the command in the handler, or in the `command` of luad.handlers.shell:run"
    elif variable == name and name == "PATH" and whole != literal:
        example = whole.replace(literal, _USUAL_PATH)
        hint = f"write the whole value, such as  PATH: {example}"
    elif variable == name and whole != literal:
        hint = f"write the whole value, with the value of `{literal}`"
    elif variable == name:
        hint = f"delete the line, and pass luad's own variable:  pass_env: [{name}]  in luad.yaml"
    else:
        hint = f"write the value, or pass luad's own:  pass_env: [{variable}]  in luad.yaml"
    message = f"{field} contains `{literal}`, and luad does not expand variables"
    if literal.startswith(("$(", "`")):
        message = f"{field} contains `{literal}`, and luad does not run commands there"
    return Mistake(path, "LU505", message, hint, is_warning=True)


def _in_metadata(job: Job) -> Iterator[Mistake]:
    """Yield warnings about parameters of shipped handlers, but not about texts for shells or users."""
    read = {"command", "text", "title", "contains"}
    for key, value in job.metadata.items():
        if isinstance(value, str) and key not in read:
            found = _literal(value)
        elif key == "command" and isinstance(value, list):
            found = next((_literal(each) for each in value if _is_literal(each)), "")
            if _is_shell(value):
                continue
        elif isinstance(value, dict):
            yield from _in_mapping(key, value)
            continue
        else:
            continue
        if found:
            yield _literal_mistake(("metadata", key), f"`{key}` in `metadata`", "", found)


def _in_mapping(key: str, value: Mapping[str, JSON]) -> Iterator[Mistake]:
    for name, each in value.items():
        if _is_literal(each):
            field = f"`{name}` in `{key}` of `metadata`"
            yield _literal_mistake(("metadata", key, name), field, name, _literal(each))


def _is_literal(value: JSON) -> bool:
    return isinstance(value, str) and bool(_literal(value))


def _is_shell(words: list[JSON]) -> bool:
    """Return whether a list command starts a shell: `[bash, -c, "echo $HOME"]`."""
    first = str(words[0]).rpartition("/")[2] if words else ""
    return first.endswith("sh") or any(str(each) == "-c" for each in words)


# --- without effect ----------------------------------------------------------------------------


def _without_effect(name: str, job: Job) -> tuple[str, str] | None:
    """Return the message and help for a variable without effect; None for others."""
    is_shell = job.handler == SHELL_HANDLER
    if name in _SET_BY_LUAD:
        return f"`{name}` in `env` has no effect: luad sets it for each run", "delete the line"
    if name in _OF_CRON:
        return f"`{name}` in `env` has no effect: it is a setting of cron", _OF_CRON[name]
    if name == "SHELL":
        if is_shell and not isinstance(job.metadata.get("command"), list):
            return None
        hint = "name the shell in `command`: [bash, -c, ...]"
        if not is_shell:
            hint = f"it chooses the shell of a text command of {SHELL_HANDLER} only"
        return "`SHELL` in `env` has no effect here: no shell is started", hint
    if is_shell or not _is_read_at_start(name):
        return None
    hint = f"it affects programs that the handler starts; for the handler itself, {_instead(name)}"
    return f"`{name}` in `env` is set too late: the run's process has already read it", hint


def _is_read_at_start(name: str) -> bool:
    """Return whether Python, the dynamic linker or the C library reads the variable at the start."""
    if name.startswith("PYTHON"):
        return name not in _READ_LATE
    return name.startswith(("LD_", "MALLOC_")) or name == "GLIBC_TUNABLES"


def _instead(name: str) -> str:
    if name == "PYTHONPATH":
        return "install the package beside luad, or put the module into the folder of handlers_path"
    if name == "PYTHONHASHSEED":
        return "sort where the order must be the same each time"
    if name == "PYTHONWARNINGS":
        return "call warnings.simplefilter(...)"
    if name.startswith("LD_"):
        return "set it for the daemon, or start a program with luad.handlers.shell:run"
    return "start a program with luad.handlers.shell:run"
