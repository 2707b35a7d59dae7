"""One daemon with pages for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.dashboard import dashboard
from support.live_daemon import LiveDaemon


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    """Return a daemon whose jobs have run once, except one that never has."""
    with dashboard(tmp_path_factory.mktemp("site")) as daemon:
        for name in ("health-check", "billing-sync", "attacker"):
            daemon.luad("run", name, "--wait", check=False)
        title = "a <b>title</b> that is rather long for a phone"
        daemon.luad("send", "ann", "hello", "--title", title, check=False)
        yield daemon
