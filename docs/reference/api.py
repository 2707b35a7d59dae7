"""Writes python-api.md from the docstrings; a test holds the page against them.

python docs/reference/api.py
"""

from __future__ import annotations

import inspect
import sys
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import luad
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


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(PAGE.read_text(encoding="utf-8") != page())
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.name}")
