"""Reads parameters from a job's metadata, with errors that say what to write.

Rule: only `duration_ms` imports `luad.wire`.
"""

from __future__ import annotations

from luad.sdk.not_retryable import NotRetryable

TYPE_CHECKING = False  # `typing` costs 9 ms, which every run would pay
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, NoReturn

    from luad.sdk import JobCore


TEXT: dict[str, Any] = {"type": ["string", "null"], "pattern": r"\S"}
FLAG: dict[str, Any] = {"type": ["boolean", "null"]}
MAPPING: dict[str, Any] = {
    "type": ["object", "null"],
    "additionalProperties": {"type": ["string", "number"]},
}
DURATION: dict[str, Any] = {
    "type": ["number", "string", "null"],
    "minimum": 0,
    "pattern": r"^((0|[1-9][0-9]*)(\.[0-9]+)?|(?=[0-9])([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+(\.[0-9]+)?s)?)$",
}


def whole(low: int, high: int) -> dict[str, object]:
    """Return the schema of an optional whole number."""
    return {"type": ["integer", "null"], "minimum": low, "maximum": high}


def schema(*required: str, **properties: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of a handler's metadata.

    A key without a value counts as a missing key, unless it is *required*.
    """
    for key in required:
        kinds = properties[key]["type"]
        properties[key] = {**properties[key], "type": [each for each in kinds if each != "null"]}
    return {"type": "object", "properties": properties, "required": list(required)}


class BadParameterError(ValueError, NotRetryable):
    """The metadata of the job is not valid, so a retry cannot help."""


class Parameters:
    """The metadata of *job*, read by type. *known* are the keys that the handler uses.

    Other keys are ignored, unless they look like a misspelling of a known one: `older_then` in place of
    `older_than` must not mean the default. Every method raises `BadParameterError` for an invalid value.
    """

    def __init__(self, job: JobCore, *known: str) -> None:
        self._values: Mapping[str, Any] = job.metadata
        foreign = [key for key in self._values if key not in known]
        if foreign:
            _refuse_misspellings(foreign, [key for key in known if key not in self._values])

    def __contains__(self, key: str) -> bool:
        return self._values.get(key) is not None

    def raw(self, key: str) -> object:
        """Return the unchecked value; None if the key is missing."""
        return self._values.get(key)

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text that is not empty; *default* ``None`` makes it required."""
        value = self._get(key, default, "a text")
        if not isinstance(value, str) or not value.strip():
            self.refuse(key, f"a text is needed, not {value!r}")
        if "\0" in value:
            self.refuse(key, "a NUL byte is in the text; remove it")
        return value

    def texts(self, key: str, default: Sequence[str] = ()) -> list[str]:
        """Return a list of texts; a single text is a list of one."""
        value = self._values.get(key)
        if value is None:
            return list(default)
        if isinstance(value, str):
            return [self.text(key)]
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            self.refuse(key, f"a text or a list of texts is needed, not {value!r}")
        if not value or any("\0" in one for one in value):
            self.refuse(key, "the list is empty or holds a NUL byte; name at least one text")
        return list(value)

    def number(
        self, key: str, default: float | None = None, *, low: float = 0, high: float = 1e15
    ) -> float:
        """Return a number from *low* to *high*."""
        value = self._get(key, default, f"a number from {low:g} to {high:g}")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.refuse(key, f"a number is needed, not {value!r}")
        if not low <= value <= high:
            self.refuse(key, f"{value:g} is outside {low:g} to {high:g}")
        return value

    def whole(
        self, key: str, default: int | None = None, *, low: int = 0, high: int = 10**12
    ) -> int:
        """Return a whole number from *low* to *high*."""
        value = self.number(key, default, low=low, high=high)
        if value != int(value):
            self.refuse(key, f"a whole number is needed, not {value:g}")
        return int(value)

    def flag(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self._values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.refuse(key, f"write true or false, not {value!r}")
        return value

    def choice(self, key: str, choices: Sequence[str], default: str) -> str:
        """Return one of *choices*."""
        value = self.text(key, default)
        if value not in choices:
            self.refuse(key, f"{value!r} is not one of {', '.join(choices)}")
        return value

    def mapping(self, key: str) -> dict[str, str]:
        """Return names with texts; numbers are converted to texts."""
        value = self._values.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.refuse(key, f"names with values are needed, as in {{NAME: value}}, not {value!r}")
        for name, one in value.items():
            if isinstance(one, bool) or not isinstance(one, (str, int, float)):
                self.refuse(f"{key}.{name}", f"a text or a number is needed, not {one!r}")
        return {name: str(one) for name, one in value.items()}

    def duration_ms(self, key: str) -> int:
        """Return a duration in milliseconds: seconds as a number, or ``90s 10m 1h30m 2d 1w``."""
        from luad.wire import parse_duration_ms  # noqa: PLC0415 - see the rule above

        try:
            return parse_duration_ms(self._get(key, None, "a duration such as 10m or 2d"))
        except ValueError as error:
            self.refuse(key, str(error), error)

    def refuse(self, key: str, what: str, cause: Exception | None = None) -> NoReturn:
        """Raise a `BadParameterError` that names *key* and its mistake."""
        raise BadParameterError(f"metadata.{key}: {what}") from cause

    def fail(self, key: str, what: str, cause: Exception | None = None) -> NoReturn:
        """Raise a ``ValueError`` that names *key*, for a mistake that a retry may not meet."""
        raise ValueError(f"metadata.{key}: {what}") from cause

    def _get(self, key: str, default: object, needed: str) -> object:
        value = self._values.get(key)
        if value is None:
            value = default
        if value is None:
            self.refuse(key, f"is missing; write {needed}")
        return value


def _refuse_misspellings(foreign: Sequence[str], unused: Sequence[str]) -> None:
    from luad.suggestions import misspelt  # noqa: PLC0415 - most jobs have no foreign keys

    for key in foreign:
        if near := misspelt(key, unused):
            raise BadParameterError(f"metadata.{key}: is unknown; did you mean `{near}`?")
