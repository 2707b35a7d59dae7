"""The files that `luad init` and `luad new` write.

Rule: it holds texts and no code.
"""

from __future__ import annotations

from typing import Final

MODELINE: Final = "# yaml-language-server: $schema=../.luad/job.schema.json\n"

SETTINGS: Final = """\
# yaml-language-server: $schema=.luad/luad.schema.json
#
# The settings of the daemon. Every key has a default; `luad schema luad` describes all of them.

# The zone of schedules that name no zone.
timezone: UTC

# The directory in which runs start: the folder of this file.
working_directory: .
"""

HELLO_JOB: Final = f"""\
{MODELINE}#
# A first job. `luad test hello` runs it at once, here; `luad serve` runs it by its schedule.

name: hello
description: Say hello.
handler: hello:run
schedule: {{type: interval, every: 1m}}
timeout: 30s
metadata: {{greeting: Hello}}
"""

HELLO_HANDLER: Final = '''\
"""Handlers of this project: functions that jobs name as `hello:run`."""


def run(job):
    """Say hello. The returned value is the result of the run, as JSON."""
    job.log.info("%s from %s", job.metadata.get("greeting", "Hello"), job.name)
    return {"attempt": job.attempt}
'''

IGNORED: Final = """\
# The state of a daemon run here: history, logs, socket. The schemas for the editor are kept.
.luad/*
!.luad/*.schema.json
__pycache__/
"""

STUB: Final = '''\


def {function}(job):
    """Do the work of the job `{name}`. The returned value is the result of the run, as JSON."""
    job.log.info("running %s", job.name)
    return {{"done": True}}
'''

MODULE_HEAD: Final = '"""Handlers of this project."""\n'

ME: Final = """\
# yaml-language-server: $schema=../.luad/users.schema.json
#
# You, as a user. `luad send me hello` tests your channels; `luad users inbox me` shows the messages.

id: me
full_name: Me

channels:
  - inbox # kept by luad
  - log # a line in its log
  # - {type: webhook, url: "${MY_WEBHOOK}"}
  # - {type: apprise, name: mail, url: "${MY_MAIL}"} # pip install apprise
"""

UNIT: Final = """\
# luad for the project {name}, as a service of your user:
#   systemctl --user enable {folder}/luad.service
#   systemctl --user start luad
# It ends at logout, unless you have called  loginctl enable-linger  once. As a service of the machine luad
# has its own user and a sandbox:  luad systemd print  prints that unit.

[Unit]
Description=luad jobs of {name}
# No limit of starts: a long failure must not stop luad for good.
StartLimitIntervalSec=0

[Service]
# Ready once the store is open and the job files are loaded.
Type=notify
NotifyAccess=main
WorkingDirectory={folder}
ExecStart="{python}" -m luad serve
# Fails if a file is broken; luad continues with its last good version.
ExecReload="{python}" -m luad reload
# Always: after a SIGTERM from a handler luad ends with exit code 0.
Restart=always
RestartSec=5
# The settings are wrong: a restart would not help.
RestartPreventExitStatus=78
WatchdogSec=30
# Longer than the drain (90 s), in which runs may finish.
TimeoutStopSec=120
# TERM for the daemon only: it ends its runs itself. systemd kills the remaining processes.
KillMode=mixed
OOMPolicy=continue

[Install]
WantedBy=default.target
"""
