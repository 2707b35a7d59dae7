"""Inside the guest: ask systemd, read its journal, wait for what it says.

Runs under the Python of the daemon's own installation; the guest is thrown away afterwards.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LUAD = "/opt/luad/bin/luad"
JOBS = Path("/etc/luad/jobs.d")
HANDLERS = Path("/etc/luad/handlers")
WAIT_S = 30
FAR_AWAY = "{type: once, execute_at: 2199-01-01T00:00:00Z}"


def run(*command: str, expect: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; *expect* None takes any exit code."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if expect is not None:
        assert done.returncode == expect, (
            f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
    return done


def luad(*args: str, expect: int | None = 0) -> Any:
    """Return the JSON that a luad command prints; None when it prints nothing."""
    text = run(LUAD, "--json", *args, expect=expect).stdout
    return json.loads(text) if text.strip() else None


def show(name: str, unit: str = "luad.service") -> str:
    """One property of a unit."""
    return run("systemctl", "show", "--value", "-p", name, unit).stdout.strip()


def prepare() -> None:
    """User and folders, as an administrator makes them from the shipped files."""
    run("systemd-sysusers")
    run("systemd-tmpfiles", "--create", "luad.conf")


def drop_in(text: str) -> None:
    """Add a drop-in to the service; counts from its next start on."""
    folder = Path("/etc/systemd/system/luad.service.d")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "test.conf").write_text(f"[Service]\n{text}\n")
    run("systemctl", "daemon-reload")


def write_job(name: str, handler: str, schedule: str = FAR_AWAY, more: str = "") -> Path:
    """A job file as root writes it."""
    path = JOBS / f"{name}.yaml"
    path.write_text(f"name: {name}\nhandler: {handler}\nschedule: {schedule}\n{more}")
    return path


def write_handlers(text: str) -> None:
    """The module `probe` of the handlers' folder."""
    (HANDLERS / "probe.py").write_text(text)


@contextmanager
def _journal(*matches: str) -> Iterator[Iterator[dict[str, Any]]]:
    command = ["timeout", str(WAIT_S), "journalctl", "-f", "-n", "all", "-o", "json", "--all"]
    with subprocess.Popen([*command, *matches], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield map(json.loads, process.stdout)
        finally:
            process.kill()


def await_entry(
    is_wanted: Callable[[dict[str, Any]], bool], *matches: str, count: int = 1
) -> dict[str, Any]:
    """The count-th entry of the journal that is wanted; waits for it."""
    with _journal(*matches) as entries:
        for entry in entries:
            if is_wanted(entry):
                count -= 1
                if not count:
                    return entry
    raise AssertionError(f"nothing of the kind in the journal: {matches}")


def await_message(text: str, *matches: str, count: int = 1) -> dict[str, Any]:
    """The same, by a part of the message."""
    return await_entry(lambda entry: text in str(entry.get("MESSAGE")), *matches, count=count)


def await_start(count: int) -> None:
    """Wait until systemd has seen the service ready for the count-th time."""
    unit_started = "MESSAGE_ID=39f53479d3a045ac8e11786248231fbf"  # the same in every systemd
    await_entry(lambda _: True, unit_started, "UNIT=luad.service", count=count)
