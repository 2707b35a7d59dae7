"""Who may reach the socket, and when: other users of the machine, and the instants while luad starts."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from support.attack import besieged
from support.live_daemon import LiveDaemon

ASK = """
import os, socket, sys
group, path = int(sys.argv[1]), sys.argv[2]
os.setgroups([])
os.setresgid(group, group, group)
os.setresuid(65534, 65534, 65534)
try:
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
except OSError as error:
    sys.exit(error.errno)
client.sendall(b"POST /v1/jobs/tick/trigger HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n"
               b"Content-Type: application/json\\r\\nContent-Length: 2\\r\\n\\r\\n{}")
print(client.makefile().readline())
"""


def as_nobody(daemon: LiveDaemon, group: int) -> subprocess.CompletedProcess[str]:
    """Trigger `tick` as a user without rights who is in *group*."""
    command = [sys.executable, "-c", ASK, str(group), str(daemon.socket)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_93_strangers_cannot_connect_not_even_while_it_starts_and_who_may_is_told(
    tmp_path: Path,
) -> None:
    """The socket stands where everybody may look, and luad is started under umask 0."""
    daemon = besieged(tmp_path)
    place = tempfile.TemporaryDirectory(prefix="luad-")  # pytest's own folders are for root alone
    Path(place.name).chmod(0o755)
    daemon.socket = Path(place.name, "luad.sock")
    daemon.launcher = ("sh", "-c", 'umask 0; exec "$@"', "sh")
    seen: set[int] = set()
    is_over = threading.Event()

    def look() -> None:
        while not is_over.is_set():
            with suppress(FileNotFoundError):
                seen.add(stat.S_IMODE(os.lstat(daemon.socket).st_mode))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        with daemon:
            refused = as_nobody(daemon, 65534)
            assert refused.returncode == errno.EACCES, refused
            allowed = as_nobody(daemon, daemon.socket.stat().st_gid)
            assert allowed.stdout.startswith("HTTP/1.1 202"), allowed
            told = daemon.wait_for("api.changed", path="/v1/jobs/tick/trigger")
            assert told["uid"] == 65534
            daemon.wait_for("run.ended", job="tick", status="succeeded")
    finally:
        is_over.set()
        watcher.join()
        place.cleanup()
    assert 0o660 in seen
    assert {mode & ~0o660 for mode in seen} == {0}
