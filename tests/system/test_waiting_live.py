"""`luad run --wait` while a retry waits, on a terminal and in a pipe, and Ctrl-C meanwhile."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.forked_daemon import ForkedDaemon
from support.live_daemon import LiveDaemon
from support.pseudo_terminal import Terminal

pytestmark = pytest.mark.slow

HANDLER = """\
from pathlib import Path

def flaky(job):
    if job.attempt == 1:
        raise ValueError("no luck")

def waits(job):
    import time
    while not Path(job.metadata["until"]).exists():
        time.sleep(0.05)
"""
JOBS = """\
name: flaky
handler: app:flaky
schedule: {type: cron, expression: "0 0 1 1 *"}
retry: {max_attempts: 3, backoff_seconds: 3}
---
name: waits
handler: app:waits
schedule: {type: cron, expression: "0 0 1 1 *"}
"""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    daemon = ForkedDaemon(tmp_path_factory.mktemp("waiting"))
    (daemon.handlers / "app.py").write_text(HANDLER)
    (daemon.jobs / "jobs.yaml").write_text(JOBS)
    with daemon:
        yield daemon


def on_terminal(live: LiveDaemon, *args: str) -> Terminal:
    return Terminal("--socket", str(live.socket), *args, env=live.env)


def test_a_waiting_retry_is_told_on_a_terminal(live: LiveDaemon) -> None:
    terminal = on_terminal(live, "run", "flaky", "--wait", "--utc")
    assert terminal.end() == 0
    shown = terminal.text
    assert re.search(
        r"flaky: attempt 1 of 3 failed: ValueError: no luck; "
        r"the next one starts at \d\d:\d\d:\d\d UTC \(in [0-9.]+ s\)", shown,
    ), shown  # fmt: skip
    live_line = r"\rflaky waits for attempt 2 of 3 in \d s, \d s   \(Ctrl-C leaves the run alone\)"
    assert re.search(live_line, shown), shown
    assert "flaky succeeded" in shown.strip().replace("\r", "\n").splitlines()[-1]


def test_a_waiting_retry_is_told_in_a_pipe(live: LiveDaemon) -> None:
    for how in (["--wait"], ["--follow"]):
        said = live.luad("run", "flaky", *how).stderr
        assert "attempt 1 of 3 failed: ValueError: no luck; the next one starts at" in said
        assert said.count("Ctrl-C leaves the run alone") == 1
        assert "\r" not in said
        assert said.endswith("\n")
    assert live.luad("run", "flaky", "--wait", "--json").stderr == ""
    quiet = live.luad("run", "flaky", "--wait", "-q").stderr
    assert quiet == ""


@pytest.mark.parametrize("how", ["--wait", "--follow"])
def test_ctrl_c_leaves_the_run_alone_and_says_so(
    live: LiveDaemon, tmp_path: Path, how: str
) -> None:
    sign = tmp_path / "go"
    terminal = on_terminal(live, "run", "waits", how, "-m", f"until={sign}")
    terminal.until(lambda text: "Ctrl-C leaves the run alone" in text)
    run_id = re.search(r"run_\w+", terminal.text)
    assert run_id is not None, terminal.text
    terminal.process.send_signal(signal.SIGINT)
    code = terminal.end()
    assert code == 130
    assert f"waits goes on: luad logs -f {run_id[0]}; luad cancel {run_id[0]} stops it" in (
        terminal.text
    )
    assert live.json("show", run_id[0])["status"] == "running"
    sign.touch()
    live.wait_for("run.ended", run_id=run_id[0])
    assert live.json("show", run_id[0])["status"] == "succeeded"
