"""The files, stored jobs and tokens of an older luad that this version refuses.

An administrator installs the new luad beside the running daemon, and checks before the restart.

Rule: it reads and changes nothing.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from luad.cli.project.finding import Finding
from luad.cli.terminal.labels import plural
from luad.errors import LuadError, Severity
from luad.store.sqlite.read_only import Kept, StoredThing, read_kept
from luad.store.state_folder import DATABASE
from luad.store.tables import HEAD
from luad.wire import SYSTEM_STATE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from luad.cli.project.found_daemon import ProjectSettings
    from luad.cli.session import Session
    from luad.config.settings.daemon_settings import Settings

ROLES: Final = ("viewer", "operator", "admin")
_TOKEN_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def refusals(session: Session, project: ProjectSettings) -> Iterator[Finding]:
    """Yield each refusal of an upgrade; nothing if the database has the schema of this version."""
    chosen = project.settings
    database = _state_folder(chosen) / DATABASE
    if not _is_there(database):
        return
    kept = read_kept(database)
    if kept is None:
        fix = "run luad doctor as root, or as the user of the daemon"
        yield Finding(
            "upgrade", None, f"{database} cannot be read, so its jobs were not checked", fix
        )
        return
    if kept.version == HEAD:
        return
    found = [*_files(session, project), *_jobs(kept, chosen), *_tokens(kept)]
    yield from found
    what = f"{database} is of an older luad (schema {int(kept.version)}, this one has {int(HEAD)})"
    if found:
        detail = f"{what}; this luad refuses {plural(len(found), 'thing')} of it"
        yield Finding("upgrade", False, detail, "fix them before the restart; see the lines above")
    else:
        jobs, tokens = plural(len(kept.jobs), "stored job"), plural(len(kept.tokens), "token")
        yield Finding("upgrade", True, f"{what}; nothing is refused of its files, {jobs}, {tokens}")


def _state_folder(chosen: Settings) -> Path:
    """Return the state folder of *chosen*, or that of the service if only the service has a database."""
    system = Path(SYSTEM_STATE)
    if not _is_there(chosen.state_dir / DATABASE) and _is_there(system / DATABASE):
        return system
    return chosen.state_dir


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _refused(what: str, why: str, fix: str) -> Finding:
    return Finding("refused", is_ok=False, detail=f"{what}: {why}", fix=fix)


def _files(session: Session, project: ProjectSettings) -> Iterator[Finding]:
    from luad.cli.project.checkout import is_of_another_user
    from luad.cli.project.examine import examine
    from luad.daemon.ownership import TrustCheck

    with suppress(LuadError):
        for problem in examine(session, (), with_handlers=False, project=project).problems:
            if problem.severity is Severity.ERROR:
                place = f"{problem.path}:{problem.line}" if problem.line else problem.path
                yield _refused(place, f"{problem.message} ({problem.code})", problem.help)
    for what, problem in TrustCheck(project.settings).found():
        if not is_of_another_user(problem):
            yield _refused(
                f"{what} {problem.path}", f"{problem.message} ({problem.code})", problem.help
            )


def _jobs(kept: Kept, chosen: Settings) -> Iterator[Finding]:
    """Yield the refused dynamic jobs; `_files` covers static jobs."""
    from luad.config.jobs.stored_jobs import job_from_store
    from luad.daemon.wiring import dynamic_rules

    rules = dynamic_rules(chosen)
    declared = _declared(chosen)
    for stored in kept.jobs:
        what = f"the dynamic job {stored.name}"
        fix = f"luad delete {stored.name}, or create it again"
        try:
            job = job_from_store(stored.text, stored.revision, must_match=False)
        except ValueError as error:
            yield _refused(what, str(error), fix)
            continue
        if not rules.allows(job.handler):
            why = f"its handler `{job.handler}` is not allowed"
            yield _refused(what, why, f"name it in dynamic.handlers, or luad delete {stored.name}")
        elif reserved := rules.reserved(job.handler):
            yield _refused(what, f"the name of its handler's file {reserved.path} is reserved", fix)
        if path := declared.get(stored.name):
            why = f"{path} declares a job of that name, which pauses this one"
            yield _refused(what, why, f"rename the job in {path}, or luad delete {stored.name}")


def _declared(chosen: Settings) -> dict[str, str]:
    """Return the file of each static job, by name."""
    from luad.cli.project.folders import load, snapshot

    with suppress(LuadError):
        wanted = load(chosen, snapshot(chosen).files).wanted
        return {name: each.origin.path for name, each in wanted.items() if each.origin}
    return {}


def _tokens(kept: Kept) -> Iterator[Finding]:
    for token in kept.tokens:
        if why := _wrong_with(token):
            fix = f"luad token revoke {token.name}, then luad token create"
            yield _refused(f"the token {token.name}", why, fix)


def _wrong_with(token: StoredThing) -> str:
    if token.text not in ROLES:
        return f"its role `{token.text}` does not exist"
    if not _TOKEN_NAME.fullmatch(token.name):
        return "the name of a token may no longer have this form"
    return ""
