"""Finds installed packages that files of handlers hide, for `luad check`.

Run as ``python -P -m luad.runner.hidden_packages NAME...``. Rule: searches the import path of an interpreter
that runs handlers, without their folder; imports none of the packages.
"""

from __future__ import annotations

import importlib.machinery
import json
import os
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from luad.runner.spec import interpreter_environment

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_TIMEOUT_S = 30


def hidden_packages(names: Collection[str], *, pass_env: Sequence[str] = ()) -> dict[str, str]:
    """Return the files of the installed packages among the top-level *names*.

    Empty if no process can be started for the search.
    """
    if not names:
        return {}
    command = [sys.executable, "-P", "-m", "luad.runner.hidden_packages", *names]
    environ = interpreter_environment(os.environ, pass_env)
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter, our own module
            command, capture_output=True, env=environ, timeout=_TIMEOUT_S, check=True
        )
        found: dict[str, str] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return {}
    return found


def _place(name: str) -> str | None:
    spec: Any = None
    for finder in sys.meta_path:
        with suppress(Exception):  # finders of other packages
            spec = spec or finder.find_spec(name, None)
    if (
        spec is None
        or spec.loader is None
        or isinstance(spec.loader, importlib.machinery.NamespaceLoader)
    ):
        return None  # folders without `__init__.py` share their name
    return os.path.realpath(spec.origin) if spec.origin else "no file of its own"


if __name__ == "__main__":
    print(json.dumps({name: place for name in sys.argv[1:] if (place := _place(name))}))  # noqa: T201 - the answer
