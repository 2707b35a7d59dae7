"""Users: files of `users.d/` and bodies of the API, to users and problems.

Rule: bytes or values in, values out; opens no file, resolves no reference, shows no secret.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from luad.config.cron_advice import zone_mistake
from luad.config.jobs.api_bodies import refusal, unfit
from luad.config.jobs.job_builder import revision_of
from luad.config.jobs.last_good import FileVersion, LastGood, Parsed
from luad.config.problems import with_excerpts
from luad.config.schema.locate import at_line, locate, place_in
from luad.config.schema.validator import obeys
from luad.config.schema.violations import Mistake, find_mistakes
from luad.config.users.channels import (
    Ask,
    build_channel,
    is_whole_reference,
    masked,
    no_services,
    not_a_channel,
)
from luad.config.yaml.marks import NO_MARKS, Marks, Path, read_marks
from luad.config.yaml.reader import STAND_IN, Document, Limits, parse_yaml
from luad.core.cron.zones import ZoneError, load_zone
from luad.core.messaging import Channel, User
from luad.core.model import JSON, Instant, Origin, Wanted
from luad.errors import Problem, Severity
from luad.suggestions import close_to

_MAX_USERS: Final = 100_000
_DEFAULT_CHANNELS: Final = ("inbox",)
_MAY_QUOTE: Final = ("LU0", "LU1")  # messages of these codes quote the file


@dataclass(frozen=True, slots=True)
class LoadedUsers:
    """The users of all files by id, all problems, and the paths of stale files."""

    users: Mapping[str, User] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    stale: tuple[str, ...] = ()


class ParsedUsers(Parsed[User]):
    """The users and problems of a users file."""

    __slots__ = ()

    @property
    def users(self) -> tuple[User, ...]:
        """The users; none if the file is broken."""
        return self.items


def load_users(
    path: str, data: bytes, max_bytes: int = 1 << 20, *, services: Ask = no_services
) -> ParsedUsers:
    """Return the users and problems of a file; never raises.

    *path* is only for messages. *services* returns the checks for Apprise addresses.
    """
    limits = Limits(max_bytes=max_bytes)
    loading = _Loading(services)
    for document in parse_yaml(data, path, limits):
        loading.take(document)
        if len(loading.problems) > limits.max_problems:
            break
    ordered = sorted(loading.problems, key=lambda each: (each.line, each.column, each.code))
    shown = with_excerpts(ordered[: limits.max_problems], data)
    shown = tuple(_without_secrets(each, loading.secrets) for each in shown)
    if any(each.severity is Severity.ERROR for each in shown):
        return ParsedUsers(path, (), shown, is_broken=True)
    return ParsedUsers(path, tuple(loading.users), shown)


def user_from_body(body: Mapping[str, JSON]) -> User:
    """Return the user that *body* declares. Raises `ValidationError` with all mistakes at once."""
    document = dict(body)
    mistakes = list(unfit(document))
    if not mistakes and obeys("users")(document):
        user = _build(document, mistakes, no_services)
        if all(each.is_warning for each in mistakes):
            return user
    elif not mistakes:
        mistakes = list(_all_mistakes(document, NO_MARKS, no_services))
    raise refusal("user", [each for each in mistakes if not each.is_warning])


class _Loading:
    """Collects the users and problems of one file."""

    def __init__(self, services: Ask) -> None:
        self.users: list[User] = []
        self.problems: list[Problem] = []
        self.secrets: set[str] = set()
        self._services = services
        self._lines: dict[str, int] = {}  # user id -> line of its document

    def take(self, document: Document) -> None:
        """Add the user of *document*, or its problems."""
        mistakes: list[Mistake] = []
        self.problems.extend(document.warnings)
        if document.is_complete:
            self.secrets.update(_secrets(document.value))
        if document.problems or not obeys("users")(document.value):
            marks = read_marks(document) if document.is_complete else NO_MARKS
            if document.is_complete:
                mistakes = list(_all_mistakes(document.value, marks, self._services))
            self._report(document, mistakes, marks)
            return
        user = _build(document.value, mistakes, self._services)
        origin = Origin(document.source.path, document.line)
        first = self._lines.setdefault(user.id, document.line)
        if first != document.line:
            mistakes.append(_same_id(user.id, f"{origin.path}:{first}"))
        self.users.append(replace(user, origin=origin))
        if mistakes:
            self._report(document, mistakes, read_marks(document))

    def _report(self, document: Document, mistakes: list[Mistake], marks: Marks) -> None:
        self.problems.extend(document.problems)
        reported = {problem.line for problem in document.problems}  # report one problem per line
        located = [locate(mistake, document, marks) for mistake in mistakes]
        self.problems.extend(problem for problem in located if problem.line not in reported)


def _all_mistakes(value: JSON, marks: Marks, services: Ask) -> Iterator[Mistake]:
    """Yield the mistakes of the schema, and those of the parts that obey it."""
    found = find_mistakes(value, "users", marks)
    for mistake in found:
        yield _about_channels(mistake, value)
    if not isinstance(value, dict):
        return
    wrong = {mistake.path[:1] for mistake in found if mistake.path[:1] != ("channels",)}
    sound = {
        key: each for key, each in value.items()
        if (key,) not in wrong and not key.startswith(STAND_IN)
    }  # fmt: skip
    unsound = {mistake.path for mistake in found if mistake.path[:1] == ("channels",)}
    if ("channels",) in unsound:
        del sound["channels"]
    more: list[Mistake] = []
    _zone(sound, more)
    _channels(sound, more, services, {path[:2] for path in unsound})
    yield from more


def _about_channels(mistake: Mistake, value: Any) -> Mistake:
    """Return a better mistake for an item of `channels` that is not a channel."""
    path = mistake.path
    is_item = path[:1] == ("channels",) and (len(path) == 2 or path[2:] == ("type",))
    if not is_item or mistake.code not in {"LU104", "LU006"}:
        return mistake
    return not_a_channel(value["channels"][path[1]], path[:2])


def _build(value: Mapping[str, Any], mistakes: list[Mistake], services: Ask) -> User:
    """Return the user that *value* declares; it must obey the schema."""
    return User(
        id=value["id"],
        full_name=value.get("full_name", ""),
        emails=tuple(value.get("emails", ())),
        phones=tuple(value.get("phones", ())),
        timezone=_zone(value, mistakes),
        channels=_channels(value, mistakes, services),
        revision=revision_of(value),
        definition=dict(value),
    )


def _zone(value: Mapping[str, Any], mistakes: list[Mistake]) -> str:
    zone: str = value.get("timezone", "")
    if zone:
        try:
            load_zone(zone)
            mistakes.extend(filter(None, [zone_mistake(("timezone",), zone)]))
        except ZoneError as error:
            mistakes.append(Mistake(("timezone",), "LU205", error.message, error.help))
    return zone


def _channels(
    value: Mapping[str, Any],
    mistakes: list[Mistake],
    services: Ask,
    unsound: Collection[Path] = (),
) -> tuple[Channel, ...]:
    """Return the channels, except those at the paths *unsound*."""
    channels: dict[str, Channel] = {}
    for number, item in enumerate(value.get("channels", _DEFAULT_CHANNELS)):
        place = ("channels", number)
        if place in unsound:
            continue
        channel = build_channel(number, item, mistakes, services)
        if channel.name in channels:
            message = f"two channels are named `{channel.name}`"
            help_text = "give one of them another `name`"
            mistakes.append(Mistake(place, "LU606", message, help_text))
        channels[channel.name] = channel
    return tuple(channels.values())


def _same_id(user_id: str, place: str) -> Mistake:
    message = f"duplicate user `{user_id}`"
    return Mistake(("id",), "LU403", message, f"first defined at {place}; rename one")


# --- secrets -----------------------------------------------------------------------------------


def _secrets(value: object) -> Iterator[str]:
    """Yield the texts of a document that may be secrets: addresses, and values of headers."""
    channels = value.get("channels") if isinstance(value, dict) else None
    for item in channels if isinstance(channels, list) else ():
        if not isinstance(item, dict):
            continue
        headers = item.get("headers")
        values = headers.values() if isinstance(headers, dict) else (headers,)
        texts = [item.get("url"), *values]
        for text in texts:
            if isinstance(text, str) and len(text) > 1 and not is_whole_reference(text):
                yield text


def _without_secrets(problem: Problem, secrets: Collection[str]) -> Problem:
    lines = tuple((number, masked(line, secrets)) for number, line in problem.excerpt)
    if problem.code.startswith(_MAY_QUOTE):
        message, help_text = masked(problem.message, secrets), masked(problem.help, secrets)
        return replace(problem, excerpt=lines, message=message, help=help_text)
    return replace(problem, excerpt=lines)


# --- all files -------------------------------------------------------------------------------


def unknown_users(
    wanted: Iterable[Wanted],
    users: Collection[str],
    sources: Mapping[str, FileVersion] | None = None,
) -> list[Problem]:
    """Return a warning for each job of a file that names a user that does not exist.

    With *sources*, the files by path, each warning has its place and lines.
    """
    problems: list[Problem] = []
    for each in wanted:
        job, origin = each.job, each.origin
        if origin is None or (job.user is None and job.alert is None):
            continue
        named = f"the job `{job.name}`" if job.name else "this job"
        found = []
        if job.user is not None and job.user not in users:
            found.append(_unknown_user(f"{named} is for", job.user, ("user",), users))
        if job.alert is not None:
            found += unknown_to_alert(job.alert.to, f"`alert` of {named}", users)
        if found and sources is not None:
            problems += place_in(found, origin, sources[origin.path].data, job.name)
        else:
            problems += [replace(at_line(one, origin), job=job.name) for one in found]
    return problems


def unknown_to_alert(users: Sequence[str], what: str, known: Collection[str]) -> list[Mistake]:
    """Return a warning for each of *users*, the value of `alert.to` in *what*, that does not exist."""
    return [
        _unknown_user(f"{what} names", user, ("alert", "to", number), known)
        for number, user in enumerate(users)
        if user not in known
    ]


def _unknown_user(what: str, user: str, path: Path, known: Collection[str]) -> Mistake:
    near = close_to(user, known)
    hint = f"did you mean `{near[0]}`?" if near else f"add users.d/{user}.yaml"
    message = f"{what} `{user}`, a user that does not exist"
    return Mistake(path, "LU404", message, hint, is_warning=True)


def named_users(path: str, data: bytes) -> Iterator[str]:
    """Yield the ids in a users file, even if it is broken."""
    for document in parse_yaml(data, path, Limits(max_bytes=len(data) + 1)):
        if isinstance(document.value, dict) and isinstance(document.value.get("id"), str):
            yield document.value["id"]


class UserCatalogue:
    """The users of all files of the folders, with the last good version of broken files.

    *services* returns the checks for Apprise addresses; by default there are none.
    """

    def __init__(self, max_bytes: int = 1 << 20, *, services: Ask = no_services) -> None:
        self._files = _Files(max_bytes, services)

    def copy(self) -> UserCatalogue:
        """Return an independent copy, to try a load without consequences."""
        duplicate = UserCatalogue()
        duplicate._files = self._files.copy()
        return duplicate

    def update(
        self,
        files: Mapping[str, FileVersion],
        *,
        unread: Collection[str] = (),
        unconfirmed: Mapping[str, FileVersion | None] | None = None,
    ) -> LoadedUsers:
        """Return the users of *files*, a complete snapshot by path.

        The users of files in the folders *unread* stay unchanged. So do users that *unconfirmed*
        files have lost, unless another file declares them now.
        """
        loaded = self._files.update(files, unread=unread, unconfirmed=unconfirmed)
        return LoadedUsers(loaded.wanted, loaded.problems, loaded.stale)


class _Files(LastGood[User]):
    noun = "user"
    plural = "users"
    clash_code = "LU403"

    def __init__(self, max_bytes: int, services: Ask) -> None:
        super().__init__(_MAX_USERS, "add users at run time: luad users add")
        self._max_bytes = max_bytes
        self._services = services

    def parse(self, path: str, data: bytes, now: Instant | None) -> Parsed[User]:
        """Return the users of a file; *now* has no effect."""
        del now
        return load_users(path, data, self._max_bytes, services=self._services)

    def name_of(self, item: User) -> str:
        """Return the id."""
        return item.id

    def origin_of(self, item: User) -> Origin | None:
        """Return the place of the declaration."""
        return item.origin

    def as_stale(self, item: User) -> User:
        """Return the user as the last good version of a broken file."""
        return replace(item, stale=True)

    def reuse(self, item: User, old: User) -> User:
        """Return *old* if nothing has changed, so that equal users stay the same object."""
        return old if old == item else item


def check_users(
    files: Mapping[str, FileVersion], max_bytes: int = 1 << 20, *, services: Ask = no_services
) -> LoadedUsers:
    """Return the users and problems of a project's files, for `luad check`.

    With `channels.apprise_services`, Apprise checks the addresses if it is installed.
    """
    return UserCatalogue(max_bytes, services=services).update(files)
