"""The files that systemd/install.sh puts in place, and what it tells systemd. All of it stays in mounts of the test's own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

INSTALLER = Path(__file__).parents[2] / "systemd" / "install.sh"
SYSTEMCTL = """#!/bin/sh
echo "$*" >> {told}
[ "$2" != is-active ] || case " $ACTIVE " in *" $3 "*) exit 0 ;; *) exit 3 ;; esac
"""
MOUNT = """set -e
mount -t tmpfs tmpfs {layers}
for each in etc opt usr/local; do
    mkdir -p {layers}/$each {layers}/work/$each
    mount -t overlay -o lowerdir=/$each,upperdir={layers}/$each,workdir={layers}/work/$each overlay /$each
done
mkdir -p /opt/of-test/bin
printf '#!/bin/sh\necho luad 0' > /opt/of-test/bin/luad
chmod 755 /opt/of-test/bin/luad
"$@" --service --prefix /opt/of-test
cp -r {layers}/etc {out}
"""


def install(folder: Path, *options: str, active: str = "") -> tuple[list[str], Path]:
    """Return what the script tells systemctl, and what it changes below /etc."""
    tools, layers, out = folder / "tools", folder / "layers", folder / "etc"
    for each in (tools, layers):
        each.mkdir()
    told = folder / "told"
    told.touch()
    for name in ("systemctl", "systemd-sysusers", "systemd-tmpfiles"):
        text = SYSTEMCTL.format(told=told) if name == "systemctl" else "#!/bin/sh\n"
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    script = MOUNT.format(layers=layers, out=out)
    command = ["unshare", "--mount", "sh", "-c", script, "sh", str(INSTALLER), *options]
    env = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "ACTIVE": active}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return [line for line in told.read_text().splitlines() if "is-active" not in line], out


@pytest.mark.parametrize(
    ("options", "active", "told"),
    [
        ([], "", ["enable -q luad.service", "start luad.service"]),
        ([], "luad.service", ["enable -q luad.service", "restart luad.service"]),
        (
            [],
            "luad.service luad-worker.service",
            ["enable -q luad.service", "restart luad.service", "restart luad-worker.service"],
        ),
        (["--worker"], "", ["enable -q luad-worker.service", "start luad-worker.service"]),
    ],
    ids=["first", "upgrade", "upgrade of both", "worker"],
)
def test_both_units_are_installed_and_one_is_started(
    tmp_path: Path, options: list[str], active: str, told: list[str]
) -> None:
    said, etc = install(tmp_path, *options, active=active)
    assert said == ["daemon-reload", *told]
    for name in ("luad.service", "luad-worker.service"):
        assert "ExecStart=/opt/of-test/bin/luad" in (etc / "systemd/system" / name).read_text()
    assert (etc / "sysusers.d/luad.conf").exists()
    assert (etc / "tmpfiles.d/luad.conf").exists()
