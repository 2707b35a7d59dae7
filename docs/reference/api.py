"""Writes python-api.md from the docstrings, and the routes of http-api.md from the route table.

`python docs/reference/api.py` rewrites the pages; with `--check` it changes nothing, and exits with 1 if
one is out of date.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import luad
from luad.api.auth.roles import Role
from luad.api.json.answer_schemas import ANSWERS
from luad.api.json.body_schemas import BODIES
from luad.api.routes.endpoint import JSON, Endpoint
from luad.api.routes.openapi import document
from luad.api.routes.table import API, TABLE
from luad.config.schema.validator import load_schema
from luad.sdk.job import JobCore
from luad.sdk.keyword_types import Changes, Policies
from luad.sdk.values import SentMessage

PAGE = Path(__file__).with_name("python-api.md")
HEAD = """# Python API

After this page you know each name that `luad` exports.

```python
from luad import Jobs, User  # async def
from luad.sync import Jobs, User  # the same names, blocking
```

The same calls work in a handler, beside the daemon and on another machine. luad finds the daemon by `$LUAD_SOCKET`, by the socket
of the project, at the usual places of a service, or by `$LUAD_URL` with `$LUAD_TOKEN` (or `luad.connect(url, token)`).

An `async def` handler gets a job whose methods must be awaited. Any other handler gets a job whose methods block, and may be
awaited as well. A call that is not awaited, but must be, raises `NotAwaited` or makes the run fail.

`docs/reference/api.py` writes this page from the docstrings.
"""


def page() -> str:
    """Return the page."""
    parts = [HEAD]
    for name in luad.__all__:
        thing: Any = getattr(luad, name)
        parts.append(f"## {name}\n\n{_text(thing)}\n")
        if inspect.isclass(thing) and not issubclass(thing, BaseException):
            if is_dataclass(thing) and thing is not SentMessage:  # those that people write
                parts.append(f"`{name}{_signature(thing)}`\n")
            parts += _methods(thing)
        elif inspect.isfunction(thing):
            parts.append(f"`{name}{_signature(thing)}`\n")
    return "\n".join(parts)


def _methods(thing: type) -> list[str]:
    found = []
    if issubclass(thing, JobCore):
        found.append(_text(JobCore) + "\n")
    for name, member in inspect.getmembers(thing):
        plain = inspect.unwrap(getattr(member, "__func__", member)) if callable(member) else member
        is_shown = not name.startswith("_") and name not in {"from_view", "with_face"}
        if not is_shown or not inspect.getdoc(member):
            continue
        if inspect.isfunction(plain) and plain.__module__.startswith("luad."):
            lead = "await " if inspect.iscoroutinefunction(plain) else ""
            found.append(f"`{lead}{name}{_signature(plain)}`\n:   {_text(member, 4)}\n")
        elif isinstance(member, property):
            found.append(f"`{name}`\n:   {_text(member, 4)}\n")
    return found


def _signature(function: Any) -> str:
    """Return the parameters as they are written, without types; those of old words are left out."""
    parameters = inspect.signature(function).parameters.values()
    plain = [
        each.replace(annotation=each.empty, default=each.empty if _is_told(each) else each.default)
        for each in parameters
        if each.name not in {"self", "cls"} and "Unpack" not in str(each.annotation)
    ]
    plain += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None)
        for each in parameters
        if "Unpack" in str(each.annotation)
        for name in _KEYWORDS[str(each.annotation)]
    ]
    return str(inspect.Signature(plain))


def _own(words: Any) -> list[str]:
    """Return the keywords that a TypedDict declares beside those that it inherits."""
    return [
        each
        for each in words.__annotations__
        if words is Policies or each not in Policies.__annotations__
    ]


_KEYWORDS = {
    "Unpack[Policies]": _own(Policies),
    "Unpack[Changes]": [*_own(Changes), *_own(Policies)],
}


def _is_told(parameter: inspect.Parameter) -> bool:
    """Is a default told in words, or none that anybody could write: CURRENT, REQUIRED."""
    return repr(parameter.default).isupper()


def _text(thing: Any, indent: int = 0) -> str:
    text = inspect.getdoc(thing) or ""
    return (
        text.replace("``", "`")
        .replace("\n", "\n" + " " * indent)
        .replace(" " * indent + "\n", "\n")
    )


ROUTES = Path(__file__).with_name("http-api.md")
BEGIN, END = "<!-- routes -->\n", "<!-- end -->\n"
THINGS = {
    "Job": "[the job](#a-job)",
    "ChangedJob": "[the job](#a-job)",
    "Run": "[the run](#a-run)",
    "StartedRun": "[the run](#a-run)",
    "User": "the user, with `data`",
    "Object": "an object",
}
"""Answers that are described elsewhere."""


def routes_page() -> str:
    """Return the page of the HTTP API with its table of routes made anew."""
    before, _, rest = ROUTES.read_text(encoding="utf-8").partition(BEGIN)
    rows = "".join(f"{row}\n" for row in route_rows())
    return f"{before}{BEGIN}{rows}{END}{rest.partition(END)[2]}"


def route_rows() -> list[str]:
    """Return the lines of the table of routes."""
    found = ["| route | does | role | query or body | answer |", "|---|---|---|---|---|"]
    for row in TABLE:
        known = API.roles_for(row.method, row.path)
        role = "all" if known is None else next(each.value for each in Role if each in known)
        cells = (f"`{row.method} {row.path}`", row.summary, role, _accepts(row), _answer(row))
        found.append(f"| {' | '.join(cells)} |".replace("|  |", "| |"))
    return found


def _names(names: Iterable[str]) -> str:
    return " ".join(f"`{name}`" for name in names)


def _accepts(row: Endpoint) -> str:
    headers = [each for each in row.headers if each != "Luad-Run"]
    parts = [_names(each.name for each in row.query or ()), _body(row), _names(headers)]
    return "; ".join(part for part in parts if part)


def _body(row: Endpoint) -> str:
    if row.body in {"NewJob", "NewUser"}:
        name, page = ("job", "job-file") if row.body == "NewJob" else ("users", "users-file")
        own = document(TABLE)["components"]["schemas"][row.body]["properties"]
        return f"[a {name} document]({page}.md), {_names(key for key in own if key not in load_schema(name)['properties'])}"
    if row.body == "Object":
        return "a merge patch" if row.takes_merge_patch else "an object"
    return _names(BODIES[row.body]["properties"]) if row.body else ""


def _answer(row: Endpoint) -> str:
    statuses = ", ".join(str(status) for status in row.statuses if row.statuses != (200,))
    if row.media != JSON:
        shape = _names(row.media)
    else:
        shape = THINGS.get(row.answer) or _names(ANSWERS[row.answer]["properties"])
    return f"{statuses}: {shape}" if statuses else shape


def main() -> int:
    """Rewrite the pages, or compare them."""
    pages = {PAGE: page(), ROUTES: routes_page()}
    stale = [path for path, text in pages.items() if path.read_text(encoding="utf-8") != text]
    for path in stale:
        if "--check" not in sys.argv:
            path.write_text(pages[path], encoding="utf-8")
        print(f"{path.name} is out of date" if "--check" in sys.argv else f"wrote {path.name}")
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
