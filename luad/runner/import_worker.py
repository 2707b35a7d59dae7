"""The helper process of `import_check`: it imports one module after the other and reports on each.

Run as ``python -P -m luad.runner.import_worker DESCRIPTOR``, with the request on stdin. Rule: the
user's code runs in this process and may change anything in it.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import TYPE_CHECKING, Final

from luad.runner.calling import is_async
from luad.runner.handler_hints import nearest_handler
from luad.runner.handler_params import (
    MetadataMistake,
    SchemaMistakeError,
    check_schema,
    metadata_mistakes,
)
from luad.runner.loading import (
    Fault,
    HandlerError,
    load_handler,
    place_of,
    prepare_imports,
    takes_job,
)
from luad.runner.outcome import describe
from luad.runner.spec import DEFAULT_ENVIRONMENT
from luad.sdk.params import declared_params

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


_MOST_SCHEMA: Final = 64 << 10


def main(arguments: list[str]) -> None:
    """Read the request, answer it, and exit without tearing the interpreter down."""
    answers = int(arguments[0])
    os.set_inheritable(answers, False)
    request = json.load(sys.stdin)
    for name in [name for name in os.environ if name.startswith("PYTHON")]:
        del os.environ[name]  # variables for this interpreter, as in the process of a run
    os.environ.update(DEFAULT_ENVIRONMENT)
    roots: list[str] = request["handlers_path"]
    prepare_imports(roots, permit_insecure=request["permit_insecure"])
    sys.argv = [""]
    for module, handlers in request["groups"].items():
        _answer(answers, {"begin": module})
        failed: dict[str, object] | None = None
        for handler in handlers:
            if failed is None:
                found, is_import = _check(handler, roots, request["metadata"].get(handler, ()))
                failed = found if is_import else None
            else:
                found = failed
            _answer(answers, {**found, "handler": handler})
    _answer(answers, {"done": True})
    os._exit(0)


def _answer(descriptor: int, frame: dict[str, object]) -> None:
    data = json.dumps(frame).encode() + b"\n"
    while data:
        data = data[os.write(descriptor, data) :]


def _check(
    handler: str, roots: list[str], metadata: Sequence[dict[str, object]]
) -> tuple[dict[str, object], bool]:
    """Return the report on *handler*, and True if it applies to the whole module."""
    try:
        function = load_handler(handler, roots)
        is_called_with_job = takes_job(handler, function)
        mistakes = _metadata_mistakes(handler, function, metadata)
    except HandlerError as error:
        problem = _problem(error.fault, error.message, error.hint, error.place)
        if error.fault is Fault.NO_MODULE:
            problem["help"] = nearest_handler(handler, roots) or error.hint
        return problem, error.fault in {Fault.NO_MODULE, Fault.NOT_TRUSTED}
    except BaseException as error:  # noqa: BLE001 - the module's own code runs in here
        return _import_failure(handler, error, roots), True
    info = {
        "is_fine": True,
        "place": place_of(function),
        "takes_job": is_called_with_job,
        "is_async": is_async(function),
        "mistakes": mistakes,
        "params": _shown(declared_params(function)),
    }
    return info, False


def _shown(schema: Mapping[str, object] | None) -> object:
    """Return *schema* as JSON values; None if it is too large or has other values."""
    try:
        text = json.dumps(schema, default=dict)
    except (TypeError, ValueError):
        return None
    return json.loads(text) if len(text) <= _MOST_SCHEMA else None


def _metadata_mistakes(
    handler: str, function: object, metadata: Sequence[dict[str, object]]
) -> list[list[MetadataMistake]]:
    """Return the mistakes in each of *metadata*. Raises `HandlerError` for an invalid schema."""
    schema = declared_params(function)
    if schema is None:
        return []
    try:
        check_schema(schema)
        return [metadata_mistakes(schema, each) for each in metadata]
    except SchemaMistakeError as error:
        message = f"the JSON Schema that `{handler}` declares is wrong: {error}"
        raise HandlerError(Fault.BAD_PARAMS, message, place=place_of(function)) from None


def _problem(
    code: str, message: str, hint: str, place: str = "", source: str = ""
) -> dict[str, object]:
    return {
        "is_fine": False,
        "code": str(code),
        "message": message,
        "help": hint,
        "place": place,
        "source": source,
    }


def _import_failure(handler: str, error: BaseException, roots: list[str]) -> dict[str, object]:
    module = handler.partition(":")[0]
    failure = describe(error)
    message = failure.message
    place, source = _line_that_failed(error, roots)
    if isinstance(error, SyntaxError):
        message = error.msg
        place, source = f"{error.filename}:{error.lineno}", (error.text or "").strip()
    hint = ""
    if isinstance(error, ModuleNotFoundError):
        hint = f"luad runs {sys.executable}; install it there"
    said = failure.type if message in ("", failure.type) else f"{failure.type}: {message}"
    return _problem(
        Fault.IMPORT_FAILED, f"importing `{module}` failed: {said}", hint, place, source
    )


def _line_that_failed(error: BaseException, roots: list[str]) -> tuple[str, str]:
    """Return place and text of the innermost line of the user's files, else of any file."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen") and "/luad/runner/" not in frame.filename
    ]
    own = [frame for frame in frames if frame.filename.startswith(tuple(roots))] if roots else []
    for frame in reversed(own or frames):
        return f"{frame.filename}:{frame.lineno}", frame.line or ""
    return "", ""


if __name__ == "__main__":
    main(sys.argv[1:])
