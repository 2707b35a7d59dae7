"""The problems that `luad check` finds in settings, job files, users files and handlers.

Rule: it collects problems and prints none. Only `write_fixes` writes files.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from luad.cli.project.checkout import as_advice, is_of_another_user, read_folders
from luad.cli.project.command_check import command_problems
from luad.cli.project.folders import load
from luad.cli.project.folders import settings as settings_here
from luad.cli.project.folders import settings_path as find_settings
from luad.cli.project.name_claims import load_like_daemon
from luad.cli.terminal.failure import CommandError
from luad.config.jobs.handler_names import file_problems, reserved_handlers
from luad.config.jobs.partial_jobs import known_jobs
from luad.config.schema.locate import place_in
from luad.config.settings.daemon_settings import (
    SettingsError,
    SettingsFile,
    check_settings,
    load_settings,
)
from luad.config.users.channels import apprise_services
from luad.config.users.user_file import check_users, named_users, unknown_to_alert, unknown_users
from luad.config.yaml.reader import Limits, parse_yaml
from luad.core.model import Origin
from luad.project_socket import SETTINGS_NAME
from luad.trust import path_problem
from luad.watcher import FileVersion

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from luad.cli.project.found_daemon import ProjectSettings
    from luad.cli.session import Session
    from luad.config.settings.daemon_settings import Settings
    from luad.core.messaging import User
    from luad.core.model import Wanted
    from luad.errors import Problem


@dataclass
class CheckResult:
    """The result of a check. *data* is the content of each file; *users* are those of the users files."""

    problems: tuple[Problem, ...]
    file_count: int
    data: Mapping[str, bytes] = field(default_factory=dict)
    users: Mapping[str, User] = field(default_factory=dict)

    def keep(self, select: Sequence[str], ignore: Sequence[str]) -> None:
        """Keep the problems whose code begins with one of *select* and with none of *ignore*."""
        self.problems = tuple(
            each
            for each in self.problems
            if (not select or each.code.startswith(tuple(select)))
            and not (ignore and each.code.startswith(tuple(ignore)))
        )


def examine(
    session: Session,
    paths: Sequence[str],
    *,
    with_handlers: bool,
    strict: bool = False,
    project: ProjectSettings | None = None,
) -> CheckResult:
    """Return the problems of *paths*, or of the whole *project*.

    Raises `CommandError` (usage) for a missing path.
    """
    settings_path, job_paths, users_paths = (
        (project.path, [], []) if project else _sort_out(session, paths)
    )
    if project and settings_path and not os.access(settings_path, os.R_OK):
        settings_path = None  # only the daemon may read it
    problems: list[Problem] = []
    data: dict[str, bytes] = {}
    if settings_path is not None:
        data[str(settings_path)] = _read(settings_path)
        problems += check_settings(SettingsFile(str(settings_path), data[str(settings_path)]))[1]
    chosen = project.settings if project else _settings_for(session, job_paths)
    if settings_path is not None and (found := _settings_trust(settings_path, chosen)):
        problems.append(found)
    files, folder_problems = _job_files(chosen, job_paths, is_project=not paths)
    loaded = load(chosen, files, folder_problems)
    loaded = load_like_daemon(session, chosen, files, loaded)
    problems += loaded.problems
    users_files, users_problems = _users_files(chosen, users_paths, is_project=not paths)
    problems += users_problems
    users = check_users(users_files, chosen.max_file_size, services=apprise_services)
    problems += users.problems
    jobs = _Jobs(chosen, files, loaded.wanted)
    if not paths or (job_paths and not users_paths):
        known = _ids(users_files, users.users) if not paths else _users_of(chosen)
        problems += unknown_users(jobs.all(), known, files)
        problems += _unknown_in_settings(settings_path, data, known)
    problems += command_problems(
        chosen, jobs.without("handler", "metadata", "env", "env.PATH"), files
    )
    if not paths:
        problems += _about_handler_files(chosen)
    problems += _handler_problems(chosen, jobs, files, with_import=with_handlers)
    if strict:
        from luad.cli.project.strict_check import strict_problems

        problems += strict_problems(jobs.all(), files)
    data |= {path: each.data for path, each in (*files.items(), *users_files.items())}
    return CheckResult(_by_file(problems), len(data), data, users.users)


class _Jobs:
    """The jobs of the files: the valid ones, and the readable keys of the others."""

    def __init__(
        self, chosen: Settings, files: Mapping[str, FileVersion], wanted: Mapping[str, Wanted]
    ) -> None:
        good = {each.origin.path for each in wanted.values() if each.origin is not None}
        self._jobs = [(each, frozenset[str]()) for each in wanted.values()]
        for path, file in files.items():
            if path not in good and file.data:
                self._jobs += known_jobs(path, file.data, chosen.timezone)

    def all(self) -> list[Wanted]:
        return [each for each, _ in self._jobs]

    def without(self, *keys: str) -> list[Wanted]:
        """Return the jobs of which all *keys* could be read."""
        return [each for each, lost in self._jobs if not lost & set(keys)]


def _handler_problems(
    chosen: Settings, jobs: _Jobs, files: Mapping[str, FileVersion], *, with_import: bool
) -> Iterable[Problem]:
    with_handler = jobs.without("handler")
    if not with_import:
        by_place = {str(each.origin): each for each in with_handler}
        return reserved_handlers(by_place, chosen.handlers_path)
    from luad.cli.project.handler_check import handler_problems

    return handler_problems(chosen, with_handler, files)


def _by_file(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Return the problems grouped by file and sorted by place; files keep their order."""
    first: dict[str, int] = {}
    for number, each in enumerate(problems):
        first.setdefault(each.path, number)
    return tuple(sorted(problems, key=lambda each: (first[each.path], each.line, each.column)))


def _users_of(chosen: Settings) -> Collection[str]:
    """Return the ids of the users of the project, broken files included."""
    files, _ = _users_files(chosen, (), is_project=True)
    found = check_users(files, chosen.max_file_size, services=apprise_services)
    return _ids(files, found.users)


def _ids(files: Mapping[str, FileVersion], users: Mapping[str, User]) -> Collection[str]:
    """Return the ids of *users*, and those in broken *files*."""
    good = {each.origin.path for each in users.values() if each.origin is not None}
    found = dict.fromkeys(users)
    for path, file in files.items():
        if path not in good:
            found |= dict.fromkeys(named_users(path, file.data))
    return found


def _unknown_in_settings(
    path: Path | None, data: Mapping[str, bytes], known: Collection[str]
) -> tuple[Problem, ...]:
    """Return a warning for each unknown user in `alert` of luad.yaml."""
    if path is None:
        return ()
    content = data[str(path)]
    first = next(parse_yaml(content, str(path), Limits()), None)
    alert = first.value.get("alert") if first and isinstance(first.value, dict) else None
    to = alert.get("to") if isinstance(alert, dict) else None
    if first is None or not isinstance(to, list):
        return ()
    named = [each if isinstance(each, str) else "" for each in to]
    known = {*known, ""}
    found = unknown_to_alert(named, "`alert` in luad.yaml", known)
    return place_in(found, Origin(str(path), first.line), content)


def _about_handler_files(chosen: Settings) -> Iterator[Problem]:
    from luad.config.jobs.reserved_names import module_names
    from luad.runner.hidden_packages import hidden_packages

    names = module_names(chosen.handlers_path)
    hidden = hidden_packages(names, pass_env=chosen.pass_env)
    return file_problems(chosen.handlers_path, hidden)


def is_in(path: Path, folders: Sequence[Path]) -> bool:
    """Return True if *path* is one of the *folders*, or a file in one of them."""
    return _folder(path) in [each.absolute() for each in folders]


def _folder(path: Path) -> Path:
    return (path if path.is_dir() else path.parent).absolute()


def _users_files(
    chosen: Settings, paths: Sequence[Path], *, is_project: bool
) -> tuple[dict[str, FileVersion], tuple[Problem, ...]]:
    """Return the users files of *paths*, or all of the project."""
    folders = [each for each in (chosen.users if is_project else paths) if each.is_dir()]
    files, problems = read_folders(folders, chosen)
    for path in paths:
        if not path.is_dir():
            files[str(path)], found = _one_file(path, chosen)
            problems += found
    return files, problems


def _sort_out(session: Session, paths: Sequence[str]) -> tuple[Path | None, list[Path], list[Path]]:
    """Return the settings file, the job paths and the users paths of *paths*."""
    if not paths:
        return find_settings(session), [], []
    settings_path = None
    job_paths, users_paths = [], []
    users_folders = _settings(session).users
    for text in paths:
        path = Path(text)
        if not path.exists():
            raise CommandError(f"{path} does not exist", code="usage")
        if path.name == SETTINGS_NAME:
            settings_path = path
        elif is_in(path, users_folders) or _folder(path).name == "users.d":
            users_paths.append(path)
        else:
            job_paths.append(path)
    return settings_path, job_paths, users_paths


def _settings(session: Session, flags: Mapping[str, object] | None = None) -> Settings:
    """Return the settings, without luad.yaml if that is broken: the check reports it separately."""
    try:
        return settings_here(session, flags)
    except SettingsError as error:
        if not error.problems:
            raise
        return load_settings(flags or {}, os.environ, None, uid=os.geteuid())


def _settings_for(session: Session, paths: Sequence[Path]) -> Settings:
    """Return the settings of the project of *paths*, which may be another project.

    Its handlers and its luad.yaml are beside the job folder.
    """
    chosen = _settings(session)
    if not paths:
        return chosen
    folder = (paths[0] if paths[0].is_dir() else paths[0].parent).absolute()
    if any(folder.is_relative_to(known.absolute()) for known in chosen.jobs):
        return chosen
    return _settings(session, {"jobs": (str(folder),)})


def _settings_trust(path: Path, chosen: Settings) -> Problem | None:
    """Return the problem of owner or mode with which the daemon refuses a valid luad.yaml."""
    from luad.daemon.ownership import permits_insecure

    found = None if permits_insecure(chosen) else path_problem(path, daemon_uid=os.geteuid())
    return as_advice(found) if found and is_of_another_user(found) else found


def _job_files(
    chosen: Settings, paths: Sequence[Path], *, is_project: bool
) -> tuple[dict[str, FileVersion], tuple[Problem, ...]]:
    folders = chosen.jobs if is_project else tuple(path for path in paths if path.is_dir())
    if is_project and not any(folder.is_dir() for folder in folders):
        raise CommandError(
            f"nothing to check: the folder {folders[0]} does not exist",
            code="usage",
            hint="luad init makes a project; luad check PATH checks another place",
        )
    files, problems = read_folders([each for each in folders if each.is_dir()], chosen)
    for path in paths:
        if not path.is_dir():
            files[str(path)], found = _one_file(path, chosen)
            problems += found
    return files, problems


def _one_file(path: Path, chosen: Settings) -> tuple[FileVersion, tuple[Problem, ...]]:
    """Return the file at *path*, whatever its name, and the warning about its owner."""
    data = _read(path, chosen.max_file_size + 1)
    problem = None
    if not chosen.permit_insecure and path.is_file():
        problem = path_problem(path, daemon_uid=os.geteuid())
    if problem is not None and is_of_another_user(problem):
        return FileVersion(str(path), data, str(path)), (as_advice(problem),)
    return FileVersion(str(path), data, str(path), problem), ()


def _read(path: Path, limit: int = 1 << 20) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(limit)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(f"cannot read {path}: {reason}", code="usage") from error


# --- fixes -------------------------------------------------------------------------------------


def fixed_files(examined: CheckResult) -> dict[str, tuple[bytes, bytes]]:
    """Return each file that a fix changes, with its content before and after."""
    from luad.config.yaml.fix import apply_fixes

    found = {}
    for path in sorted({each.path for each in examined.problems if each.fix is not None}):
        before = examined.data[path]
        after = apply_fixes(before, [each for each in examined.problems if each.path == path])
        if after != before:
            found[path] = (before, after)
    return found


def write_fixes(examined: CheckResult) -> list[str]:
    """Fix the files and return their paths; a file that changed since the check is left as it is."""
    written = []
    for name, (before, after) in fixed_files(examined).items():
        path = Path(name)
        if _read(path) != before:
            continue
        # Write a new file and rename it over the old one, so that no reader sees half; links stay links.
        target = path.resolve()
        fresh = target.with_name(f".{target.name}.luad-fix")
        try:
            fresh.write_bytes(after)
            fresh.chmod(target.stat().st_mode & 0o7777)
            fresh.replace(target)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise CommandError(f"cannot write {path}: {reason}") from error
        written.append(name)
    return written


def changes_made(examined: CheckResult, written: Sequence[str]) -> Iterator[str]:
    """Yield a line for each change of the files *written*, with its place."""
    from luad.config.yaml.fix import mend

    for path in written:
        of_file = [each for each in examined.problems if each.path == path]
        _, told = mend(examined.data[path], of_file)
        yield from (f"{path}:{each}" for each in told)


def changes(session: Session, paths: Sequence[str]) -> Iterator[bool]:
    """Yield False once the watch is active, then True for every change."""
    from watchfiles import DefaultFilter, watch

    settings_path, job_paths, users_paths = _sort_out(session, paths)
    chosen = _settings(session)
    named = [*job_paths, *users_paths] or [*chosen.jobs, *chosen.users]
    places = {path if path.is_dir() else path.parent for path in named}
    if settings_path is not None:
        places.add(settings_path.parent)
    if chosen.handlers_path.is_dir():
        places.add(chosen.handlers_path)
    folders = [place.resolve() for place in places if place.is_dir()]
    has_begun = False
    # An empty answer after a time-out shows that the watch is active.
    # A daemon of the project writes its state all the time.
    is_wanted = DefaultFilter(ignore_paths=[chosen.state_dir.resolve()])
    for found in watch(
        *folders, watch_filter=is_wanted, debounce=200, rust_timeout=250, yield_on_timeout=True
    ):
        if found or not has_begun:
            yield bool(found)
        has_begun = True
