"""Pages without a server and a browser: asked in the process of the test, as an admin."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from starlette.requests import Request

from luad.api.application import build_app
from luad.live.restore import RestoreTask


class PageSite:
    """Asks for pages in this process, as an admin."""

    def __init__(self, daemon: Any) -> None:
        self.app = build_app(daemon, RestoreTask(daemon))
        daemon.status = lambda: STATUS | {"jobs": {"failing": 1, "total": 9, "paused": 0}}

    async def show(self, page: Any, query: str = "", **params: str) -> str:
        scope = {
            "type": "http", "method": "GET", "path": "/", "headers": [], "app": self.app,
            "query_string": query.encode(), "path_params": params, "root_path": "",
            "state": {"token": SimpleNamespace(name="ann", role="admin")},
        }  # fmt: skip
        answer = await page(Request(scope))
        assert answer.status_code == 200
        text: str = answer.body.decode()
        return text


STATUS: dict[str, Any] = {
    "status": "ok", "timezone": "UTC", "uptime_seconds": 1, "last_tick_at": None, "version": "0",
    "started_at": "2026-11-22T12:00:00Z", "runs": {"running": 0, "queued": 0}, "pid": 1, "socket": "s",
    "max_concurrent_runs": 1, "event_loop_lag_ms": 0, "listen": "", "jobs_dirs": [], "users_dirs": [],
    "handlers_path": "h", "last_reload": None,
    "store": {"path": "p", "size_bytes": 1, "runs": 1, "writable": True},
}  # fmt: skip
