"""The whole API of a live daemon, asked by a machine that has read nothing but its document."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.forked_daemon import ForkedDaemon

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
JOB = "name: tidy\nhandler: h:tick\nschedule: {type: interval, seconds: 3600}\n"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_is_found(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    live = ForkedDaemon(tmp_path, "--listen", f"127.0.0.1:{port}")
    live.write_handler("h", "def tick(job):\n    return None\n")
    live.write_job("tidy", JOB)
    with live:
        token = live.json("token", "create", "schemathesis", "--role", "admin")["token"]
        command = [sys.executable, "-m", "schemathesis.cli", "run"]
        command += [f"http://127.0.0.1:{port}/v1/openapi.json", "--checks", CHECKS]
        command += ["-H", f"Authorization: Bearer {token}", "--seed", "1", "--max-examples", "12"]
        command += [
            "--exclude-path-regex",
            "/events|/logs|/log$|/tokens",
            "--request-timeout",
            "20",
        ]
        command += ["--phases", "examples,coverage,fuzzing", "--no-color"]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=280, cwd=tmp_path
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        health = live.json("status")
        assert health["status"] in {"ok", "degraded"}
