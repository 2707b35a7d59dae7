"""Runs a handler of luad many times in the process that makes forks, before the first fork.

Python rewrites its code while the code runs for the first times, and fills caches. A fork shares a page of
memory until one side writes to it, so each run would copy those pages. After this practice it copies fewer.

Rule: the process is afterwards as it was before, except for caches.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from luad.runner import child, streams

if TYPE_CHECKING:
    from collections.abc import Iterator

_TIMES: Final = 12  # Python rewrites a function at its eighth call
_FOLDER: Final = str(Path(__file__).with_name("practice_handlers"))
_MODULE: Final = "luad_practice"

_SPEC: Final[dict[str, Any]] = {
    "handler": f"{_MODULE}:run",
    "job": {
        "name": "luad-runner",
        "id": "job",
        "description": "",
        "metadata": {"key": "value"},
        "run_id": "run",
        "trigger": "schedule",
        "scheduled_for_ms": 1,
        "fire_at_ms": 1,
        "attempt": 1,
        "max_attempts": 1,
        "missed_count": 0,
        "revision": "",
        "tags": [],
        "user_id": None,
    },
    "env": {"LUAD_JOB": "job", "LUAD_RUN_ID": "run"},
    "cwd": "/",
    "nice": 0,
    "log_level": "info",
    "limits": {
        "memory_bytes": None,
        "cpu_seconds": None,
        "open_files": None,
        "processes": None,
    },
    "handlers_path": [_FOLDER],
    "code_cache": None,
    "permit_insecure": False,
    "allowed": None,
    "refusal": "",
    "warm": False,
    "timeout_ms": 1,
    "result_limit": 1_000,
}


def practise() -> None:
    """Run the handler of ``practice_handlers``. An error does not matter: only the caches do."""
    text = json.dumps(_SPEC)
    with suppress(Exception), open(os.devnull, "wb", buffering=0) as nowhere:
        for _ in range(_TIMES):
            with _unchanged():
                child.carry_out(json.loads(text), 1, child.Control(nowhere.fileno()))
                streams.flush_files()


@contextmanager
def _unchanged() -> Iterator[None]:
    """Restore what a run changes in its process."""
    argv = sys.argv
    lists: tuple[list[Any], ...] = (sys.path, sys.path_hooks, sys.meta_path)
    copies = [each[:] for each in lists]
    found, environ = sys.path_importer_cache.copy(), dict(os.environ)
    try:
        yield
    finally:
        sys.argv = argv
        for each, copy in zip(lists, copies, strict=True):
            each[:] = copy
        sys.path_importer_cache.clear()
        sys.path_importer_cache.update(found)
        os.environ.clear()
        os.environ.update(environ)
        sys.modules.pop(_MODULE, None)
        child.forget_run()
