"""luad.yaml: bytes to a checked document, or problems.

Rule: bytes in, values out; opens no file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from luad.config.cron_advice import zone_mistake
from luad.config.problems import with_excerpts
from luad.config.schema.locate import locate
from luad.config.schema.validator import obeys
from luad.config.schema.violations import Mistake, find_mistakes
from luad.config.settings.setting_keys import read_address, read_lost_after, read_networks
from luad.config.settings.store_target import Target
from luad.config.settings.web_settings import read_base_path, read_header
from luad.config.yaml.marks import read_marks
from luad.config.yaml.reader import Document, Limits, parse_yaml
from luad.core.cron.zones import ZoneError, load_zone
from luad.core.model import JSON
from luad.errors import Problem, Severity
from luad.wire import parse_duration_ms, parse_size

_DURATIONS: Final = (("kill_grace",), ("drain",), ("rescan",), ("settle",))
_KEPT: Final = (("retention", "history"), ("retention", "logs"))
_SIZES: Final = (("max_file_size",), ("output_limit",))
_PARSED: Final[tuple[tuple[tuple[tuple[str, ...], ...], Callable[[Any], Any]], ...]] = (
    (_DURATIONS + _KEPT, parse_duration_ms),
    (_SIZES, parse_size),
    ((("listen",),), read_address),
    ((("trusted_proxies",),), read_networks),
    ((("store",),), Target.parse),
    ((("lost_after",),), read_lost_after),
    ((("web", "user_header"),), read_header),
    ((("web", "base_path"),), read_base_path),
)


def read_settings(path: str, data: bytes) -> tuple[dict[str, object], tuple[Problem, ...]]:
    """Return the document, empty if it has an error, and its problems."""
    documents = list(parse_yaml(data, path, Limits()))
    problems: list[Problem] = []
    for document in documents:
        problems.extend(_problems_of(document))
    if len(documents) > 1:
        message = "luad.yaml has more than one document; jobs belong into jobs.d"
        problems.append(Problem(path, documents[1].line, 1, "LU007", message, "delete the `---`"))
    ordered = with_excerpts(sorted(problems, key=lambda each: (each.line, each.column)), data)
    if any(each.severity is Severity.ERROR for each in ordered):
        return {}, ordered
    return (documents[0].value if documents else {}), ordered


def _problems_of(document: Document) -> list[Problem]:
    problems = [*document.problems, *document.warnings]
    if not document.is_complete:
        return problems
    mistakes: list[Mistake] = []
    sound = document.value
    if not obeys("luad")(sound):
        mistakes = find_mistakes(sound, "luad", read_marks(document))
        sound = _sound_parts(sound, mistakes)
    mistakes += _deeper_mistakes(sound)
    if mistakes:
        marks = read_marks(document)
        reported = {problem.line for problem in problems}
        located = [locate(mistake, document, marks) for mistake in mistakes]
        problems.extend(problem for problem in located if problem.line not in reported)
    return problems


def _sound_parts(value: JSON, mistakes: list[Mistake]) -> dict[str, object]:
    """Return the parts of the document that obey the schema."""
    if not isinstance(value, dict):
        return {}
    sound = {key: dict(each) if isinstance(each, dict) else each for key, each in value.items()}
    for mistake in mistakes:
        match mistake.path:
            case (str() as key,):
                sound.pop(key, None)
            case (str() as key, *rest):
                # A group with required keys, such as `tls`, is checked only as a whole.
                group = sound.get(key)
                if key == "tls" or not isinstance(group, dict):
                    sound.pop(key, None)
                else:
                    group.pop(str(rest[0]), None)
    if obeys("luad")(sound):
        return sound
    wrong = {mistake.path[0] for mistake in mistakes if mistake.path}
    sound = {key: each for key, each in sound.items() if key not in wrong}
    return sound if obeys("luad")(sound) else {}


def _deeper_mistakes(value: dict[str, Any]) -> list[Mistake]:
    """Return the mistakes that the schema cannot find: durations, time zones, addresses."""
    found: list[Mistake] = []
    for paths, parse in _PARSED:
        for path in paths:
            inner: object = value
            for key in path:
                inner = inner.get(key) if isinstance(inner, dict) else None
            try:
                if inner is not None:
                    parse(inner)
            except ValueError as error:
                found.append(Mistake(path, "LU104", str(error)))
    tls = value.get("tls", {})
    found.extend(
        Mistake(("tls", key), "LU101", f"missing key `{key}` in `tls`", "both are PEM files")
        for key in ("certificate", "key")
        if tls and key not in tls
    )
    try:
        load_zone(zone := value.get("timezone", "UTC"))
        found.extend(filter(None, [zone_mistake(("timezone",), zone)]))
    except ZoneError as error:
        found.append(Mistake(("timezone",), "LU205", error.message, error.help))
    return found
