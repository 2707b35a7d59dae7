"""The manifest of the how-to, run with the users and the folder modes that the kubelet makes."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.live_daemon import LiveDaemon

pytestmark = pytest.mark.slow
PAGE = Path(__file__).parents[2] / "docs/how-to/kubernetes.md"
JOB = """\
name: from-configmap
handler: luad.handlers.shell:run
schedule: {type: interval, every: 1s}
metadata: {command: "id -u"}
"""
# What the kubelet does in the mount namespace of a pod: $1 is a scratch folder, $2 the fsGroup.
KUBELET = """
set -e
mount -t overlay -o lowerdir=/etc,upperdir=$1/upper,workdir=$1/work overlay /etc
mkdir -p /etc/luad/jobs.d
mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /var/lib
mkdir /run/luad /var/lib/luad
mount -t tmpfs -o mode=0777 tmpfs /run/luad
chgrp $2 /run/luad; chmod 2777 /run/luad
mount -t tmpfs -o mode=0755 tmpfs /var/lib/luad
chgrp $2 /var/lib/luad; chmod 2775 /var/lib/luad
chmod 2777 $1/config; chgrp -R $2 $1/config
mount --bind $1/config /etc/luad/jobs.d; mount -o remount,bind,ro /etc/luad/jobs.d
shift 2
exec "$@"
"""


@pytest.fixture
def pod() -> dict[str, Any]:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    manifest: dict[str, Any] = yaml.safe_load(text)["spec"]["template"]["spec"]
    return manifest


@pytest.fixture
def scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="luad-pod-"))
    folder.chmod(0o755)
    for name in ("upper", "work", "config"):
        (folder / name).mkdir()
    version = folder / "config" / "..2026_11_30"
    version.mkdir()
    (version / "job.yaml").write_text(JOB)
    (version / "job.yaml").chmod(0o444)
    (folder / "config" / "..data").symlink_to("..2026_11_30")
    (folder / "config" / "job.yaml").symlink_to("..data/job.yaml")
    yield folder
    shutil.rmtree(folder)


class Pod(LiveDaemon):
    """luad's container of the manifest, in namespaces of its own."""

    def __init__(self, folder: Path, pod: dict[str, Any], installation: Path) -> None:
        super().__init__(folder / "unused")
        (self.container,) = pod["containers"]
        context = pod["securityContext"]
        as_user = ["setpriv", f"--reuid={context['runAsUser']}", f"--regid={context['runAsGroup']}"]
        as_user += [f"--groups={context['fsGroup']}", "--inh-caps=-all", "--bounding-set=-all"]
        self.as_user = as_user
        self.env = {"PATH": f"{installation}/bin:{os.environ['PATH']}"}
        self.env |= {each["name"]: each["value"] for each in self.container["env"]}
        group = str(context["fsGroup"])
        self.launcher = ("unshare", "--mount", "--propagation", "private")
        self.launcher += ("sh", "-c", KUBELET, "sh", str(folder), group, *as_user)

    def command(self) -> list[str]:
        return [*self.container["args"], "--log-format", "json"]

    def ask(self, *words: str, user: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the container, as `kubectl exec` and probes do."""
        enter = ["nsenter", "--mount", f"--target={self.process.pid}"]
        command = [*enter, *(self.as_user if user else ()), *words]
        return subprocess.run(
            command, env=self.env, capture_output=True, text=True, check=False, timeout=60
        )


def test_the_manifest_starts_is_ready_and_runs_its_jobs(
    pod: dict[str, Any], scratch: Path, installation: Path
) -> None:
    mounted = {each["mountPath"] for each in pod["containers"][0]["volumeMounts"]}
    assert mounted == {"/etc/luad/jobs.d", "/var/lib/luad", "/run/luad"}
    with Pod(scratch, pod, installation) as daemon:
        daemon.wait_for("run.ended", job="from-configmap", status="succeeded")
        for probe in ("readinessProbe", "livenessProbe"):
            done = daemon.ask(*daemon.container[probe]["exec"]["command"])
            assert done.returncode == 0, done.stderr
            assert daemon.container[probe]["timeoutSeconds"] == 10, "Kubernetes allows 1 s"
        jobs = json.loads(daemon.ask("luad", "list", "--json").stdout)["jobs"]
        assert [job["name"] for job in jobs] == ["from-configmap"]
        # From outside, through the daemon's own view of the file system.
        run = Path(f"/proc/{daemon.process.pid}/root/run/luad")
        assert str((run / "luad.sock").readlink()) == ".luad-socket/luad.sock"
        assert stat.S_IMODE((run / ".luad-socket").stat().st_mode) & 0o777 == 0o750


def test_a_client_refuses_another_user_who_has_exchanged_the_link(
    pod: dict[str, Any], scratch: Path, installation: Path
) -> None:
    """Others may write the folder: this is what the check of the peer is for."""
    with Pod(scratch, pod, installation) as daemon:
        listen = (
            "import os, socket; os.unlink('/run/luad/luad.sock'); os.setgid(4242); os.setuid(4242)\n"
            "sock = socket.socket(socket.AF_UNIX); sock.bind('/run/luad/luad.sock'); sock.listen()\n"
            "os.chmod('/run/luad/luad.sock', 0o666); print('ready', flush=True); sock.accept()"
        )
        enter = ["nsenter", "--mount", f"--target={daemon.process.pid}"]
        python = str(installation / "bin" / "python")
        with subprocess.Popen(
            [*enter, python, "-c", listen], stdout=subprocess.PIPE, text=True
        ) as stranger:
            assert stranger.stdout is not None
            assert stranger.stdout.readline() == "ready\n"
            daemon.env["LUAD_PERMIT_INSECURE"] = "true"
            refused = daemon.ask("luad", "status")
            assert refused.returncode == 10, refused.stderr
            assert "uid 4242" in refused.stderr
            stranger.kill()
