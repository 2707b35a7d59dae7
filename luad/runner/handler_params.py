"""Validates a job's metadata against the JSON Schema of its handler, and describes the mistakes.

Rule: runs in the process that has imported the handler, because a pattern in the user's schema may
never end. This module tests the usual keywords in microseconds; it imports `jsonschema` for other
keywords, and to describe mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from luad.runner.loading import Fault, HandlerError, place_of
from luad.sdk.params import declared_params
from luad.suggestions import misspelt

_MOST: Final = 20  # mistakes of one job

SHIPPED: Final = "luad.handlers."

JSONPath = tuple[str | int, ...]


class MetadataMistake(NamedTuple):
    """One mistake in the metadata. *path* is below `metadata`; *is_missing*: the key is missing.

    *is_guess*: the schema allows the key, but it looks like a misspelt one.
    """

    path: JSONPath
    message: str
    help: str
    is_key: bool = False
    is_missing: bool = False
    is_guess: bool = False


class SchemaMistakeError(Exception):
    """A handler declares a JSON Schema that is not valid."""


def obeys(schema: object, value: object) -> bool:
    """Return True if *value* obeys *schema*. Raises `SchemaMistakeError`."""
    try:
        return _obeys(schema, value)
    except _UnsupportedKeywordError:
        return not any(True for _ in _errors(schema, value))


def metadata_mistakes(
    schema: Mapping[str, object], metadata: Mapping[str, object]
) -> list[MetadataMistake]:
    """Return the mistakes in *metadata*. Raises `SchemaMistakeError`."""
    found: list[MetadataMistake] = []
    if not obeys(schema, metadata):
        for error in _errors(schema, metadata):
            found.extend(_sentences(error))
            if len(found) >= _MOST:
                break
    paths = {each.path for each in found}
    for each in _likely_typos(schema, metadata):
        # A misspelt key that is required is one mistake, not two.
        meant = [one for one in found if one.is_missing and _names(each.help, one.path)]
        found = [one for one in found if one not in meant]
        if each.path not in paths:
            found.append(each._replace(is_guess=not meant))
    return found


def _names(text: str, path: JSONPath) -> bool:
    return len(path) == 1 and f"`{path[0]}`" in text


def refuse_bad_metadata(handler: str, function: object, metadata: Mapping[str, object]) -> None:
    """Raise `HandlerError` if *metadata* does not obey the schema of *function*.

    A key that only looks misspelt is refused only for handlers that ship with luad.
    """
    schema = declared_params(function)
    if schema is None:
        return
    try:
        found = metadata_mistakes(schema, metadata)
    except SchemaMistakeError as error:
        message = f"the JSON Schema that handler `{handler}` declares is wrong: {error}"
        raise HandlerError(Fault.BAD_PARAMS, message, place=place_of(function)) from None
    if not handler.startswith(SHIPPED):
        found = [each for each in found if not each.is_guess]
    if found:
        texts = [f"{each.message} ({each.help})" if each.help else each.message for each in found]
        hint = "correct the metadata of the job (luad check shows the place), or of `luad run -m`"
        raise HandlerError(Fault.BAD_METADATA, "; ".join(texts), hint=hint)


def check_schema(schema: Mapping[str, object]) -> None:
    """Raise `SchemaMistakeError` if *schema* is not a valid JSON Schema."""
    import jsonschema  # noqa: PLC0415 - costs 75 ms, and no run needs it

    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        place = "/".join(map(str, error.absolute_path))
        raise SchemaMistakeError(f"{place}: {error.message}" if place else error.message) from None


# --- the quick test ----------------------------------------------------------------------------


class _UnsupportedKeywordError(Exception):
    """The schema has a keyword that only jsonschema supports."""


def _obeys(schema: object, value: object) -> bool:
    if isinstance(schema, bool):
        return schema
    if not isinstance(schema, dict):
        raise _UnsupportedKeywordError
    for keyword, wanted in schema.items():
        if keyword in _ANNOTATIONS:
            continue
        test = _TESTS.get(keyword)
        if test is None:
            raise _UnsupportedKeywordError
        if not test(wanted, value, schema):
            return False
    return True


def _type(wanted: Any, value: Any, _schema: Any) -> bool:
    kinds = [wanted] if isinstance(wanted, str) else wanted
    return any(_is_of(kind, value) for kind in kinds)


def _is_of(kind: str, value: object) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if isinstance(value, float) and kind == "integer":
        return value.is_integer()
    if kind not in _TYPES:
        raise _UnsupportedKeywordError
    return isinstance(value, _TYPES[kind])


_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}


def _properties(wanted: Any, value: Any, _schema: Any) -> bool:
    return not isinstance(value, dict) or all(
        _obeys(wanted[key], each) for key, each in value.items() if key in wanted
    )


def _additional(wanted: Any, value: Any, schema: Any) -> bool:
    if "patternProperties" in schema:
        raise _UnsupportedKeywordError
    known = schema.get("properties", {})
    return not isinstance(value, dict) or all(
        _obeys(wanted, each) for key, each in value.items() if key not in known
    )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _equal(one: object, other: object) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _if(wanted: Any, value: Any, schema: Any) -> bool:
    branch = "then" if _obeys(wanted, value) else "else"
    return _obeys(schema.get(branch, True), value)


_Test = Callable[[Any, Any, Any], bool]
_TESTS: Final[dict[str, _Test]] = {
    "type": _type,
    "properties": _properties,
    "additionalProperties": _additional,
    "required": lambda keys, value, _: (
        not isinstance(value, dict) or all(key in value for key in keys)
    ),
    "enum": lambda words, value, _: any(_equal(word, value) for word in words),
    "const": lambda word, value, _: _equal(word, value),
    "minimum": lambda low, value, _: not _is_number(value) or value >= low,
    "maximum": lambda high, value, _: not _is_number(value) or value <= high,
    "exclusiveMinimum": lambda low, value, _: not _is_number(value) or value > low,
    "exclusiveMaximum": lambda high, value, _: not _is_number(value) or value < high,
    "minLength": lambda least, value, _: not isinstance(value, str) or len(value) >= least,
    "maxLength": lambda most, value, _: not isinstance(value, str) or len(value) <= most,
    "pattern": lambda text, value, _: (
        not isinstance(value, str) or re.search(text, value) is not None
    ),
    "items": lambda item, value, _: (
        not isinstance(value, list) or all(_obeys(item, each) for each in value)
    ),
    "minItems": lambda least, value, _: not isinstance(value, list) or len(value) >= least,
    "maxItems": lambda most, value, _: not isinstance(value, list) or len(value) <= most,
    "minProperties": lambda least, value, _: not isinstance(value, dict) or len(value) >= least,
    "maxProperties": lambda most, value, _: not isinstance(value, dict) or len(value) <= most,
    "anyOf": lambda each, value, _: any(_obeys(one, value) for one in each),
    "allOf": lambda each, value, _: all(_obeys(one, value) for one in each),
    "oneOf": lambda each, value, _: sum(_obeys(one, value) for one in each) == 1,
    "not": lambda one, value, _: not _obeys(one, value),
    "if": _if,
    "then": lambda *_: True,  # `if` tests it
    "else": lambda *_: True,
}
_ANNOTATIONS: Final = frozenset(
    ("$schema", "$id", "$comment", "$defs", "title", "description", "markdownDescription")
) | {"default", "examples", "deprecated", "readOnly", "writeOnly", "format"}


# --- descriptions of mistakes ------------------------------------------------------------------


def _errors(schema: Any, value: Any) -> Iterator[Any]:
    import jsonschema  # noqa: PLC0415 - costs 75 ms, and most runs do not need it
    from referencing import Registry  # noqa: PLC0415 - the same

    try:
        # An empty registry, so that no reference in a schema makes luad fetch a URL.
        yield from jsonschema.Draft202012Validator(schema, registry=Registry()).iter_errors(value)
    except Exception as error:
        raise SchemaMistakeError(str(error).partition("\n")[0]) from error


_LIMITS: Final = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
}


def _missing_key(error: Any, wanted: list[str], value: Any) -> str:
    """Return the key that *error* is about; jsonschema reports each missing key as an error."""
    missing = [key for key in wanted if key not in value]
    return next((key for key in missing if repr(key) in error.message), missing[0])


def _sentences(error: Any) -> Iterator[MetadataMistake]:
    path: JSONPath = tuple(error.absolute_path)
    value, wanted, schema = error.instance, error.validator_value, error.schema
    field = _field(path)
    match error.validator:
        case "required":
            key = _missing_key(error, wanted, value)
            own = schema.get("properties", {}).get(key, {})
            message = f"missing key `{key}` in {_field(path)}"
            yield MetadataMistake((*path, key), message, _example(key, own), is_missing=True)
        case "additionalProperties" if wanted is False:
            known = list(schema.get("properties", {}))
            for key in [each for each in value if each not in known]:
                message = f"unknown key `{key}` in {_field(path)}"
                yield MetadataMistake((*path, key), message, _nearest(key, known), is_key=True)
        case "anyOf" | "oneOf" if all(each.keys() == {"required"} for each in wanted):
            groups = [" and ".join(f"`{key}`" for key in each["required"]) for each in wanted]
            message = f"{field} needs {' or '.join(groups)}"
            yield MetadataMistake(path, message, schema.get("description", ""), is_key=True)
        case "type":
            yield MetadataMistake(path, f"{field} must be {_kinds(wanted)}, not {_shown(value)}",
                                  _example(str(path[-1]) if path else "", schema))  # fmt: skip
        case "enum":
            words = ", ".join(str(each) for each in wanted if each is not None)
            yield MetadataMistake(path, f"{field} cannot be {_shown(value)}", f"one of: {words}")
        case "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum":
            limit = f"{_LIMITS[error.validator]} {wanted}"
            yield MetadataMistake(path, f"{field} must be {limit}, not {_shown(value)}", "")
        case _:
            message = f"{field} cannot be {_shown(value)}"
            hint = _example(str(path[-1]) if path else "", schema) or error.message
            yield MetadataMistake(path, message, hint)


def _likely_typos(
    schema: Mapping[str, Any], metadata: Mapping[str, object]
) -> Iterator[MetadataMistake]:
    """Yield a mistake for each key that looks like a misspelling of a key that is not given."""
    known = schema.get("properties", {})
    unused = [key for key in known if key not in metadata]
    for key in metadata:
        if key not in known and (near := _nearest(key, unused)):
            yield MetadataMistake(
                (key,), f"unknown key `{key}` in `metadata`", near, True, False, True
            )


def _nearest(key: str, known: Sequence[str]) -> str:
    near = misspelt(key.lower().replace("-", "_"), known)
    return f"did you mean `{near}`?" if near else ""


def _field(path: JSONPath) -> str:
    if not path:
        return "`metadata`"
    if isinstance(path[-1], int):
        return f"item {path[-1] + 1} of {_field(path[:-1])}"
    return f"`{path[-1]}` in {_field(path[:-1])}"


def _example(key: str, schema: object) -> str:
    examples: Iterable[object] = schema.get("examples", ()) if isinstance(schema, dict) else ()
    about = schema.get("description", "") if isinstance(schema, dict) else ""
    for each in examples:
        return f"write  {key}: {each}" + (f"  ({about})" if about else "")
    return str(about)


def _kinds(wanted: Any) -> str:
    from luad.config.schema.value_words import describe_type  # noqa: PLC0415 - only once something is wrong

    kinds = [wanted] if isinstance(wanted, str) else wanted
    return describe_type([each for each in kinds if each != "null"] or ["null"])


def _shown(value: object) -> str:
    from luad.config.schema.value_words import describe_value  # noqa: PLC0415 - only once something is wrong

    return describe_value(value)
