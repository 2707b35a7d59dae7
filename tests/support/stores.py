"""Every kind of store, for the tests of what each of them must do.

`STORES` names functions from a folder and a clock to an open store. A folder that was opened before is the same
store again; another folder is an empty one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from postgres import database_url, empty

from luad.config.settings.store_target import Target
from luad.store import Store

_urls: list[str] = []
_open: dict[str, Store] = {}
_of_folder: dict[Path, str] = {}


def open_sqlite(folder: Path, clock: Any) -> Store:
    return Store.open(folder / "state", clock=clock)


def open_postgresql(folder: Path, clock: Any) -> Store:
    url = _of_folder.get(folder) or _free_database()
    _of_folder[folder] = url
    store = Store.open_shared(folder / "state", Target.parse(url), node="one", clock=clock)
    _open[url] = store
    return store


def _free_database() -> str:
    """An emptied database that no open store has; a new one if there is none."""
    for url in _urls:
        if _open[url]._is_closed:
            empty(url)
            for folder in [each for each, its in _of_folder.items() if its == url]:
                del _of_folder[folder]
            return url
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    _urls.append(database_url(f"stores_{worker}_{os.getpid()}_{len(_urls)}"))
    return _urls[-1]


STORES: dict[str, Callable[[Path, Any], Store]] = {
    "sqlite": open_sqlite,
    "postgresql": open_postgresql,
}
