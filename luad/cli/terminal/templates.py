"""The files that `luad init` and `luad new` write.

Room rule: texts only.
"""

from __future__ import annotations

from typing import Final

MODELINE: Final = "# yaml-language-server: $schema=../.luad/job.schema.json\n"

SETTINGS: Final = """\
# yaml-language-server: $schema=.luad/luad.schema.json
#
# The settings of the daemon. Every key has a default; `luad schema luad` describes all of them.

# The zone of schedules that name none.
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
    """Say hello. What is returned is the result of the run, as JSON."""
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
    """Do the work of the job `{name}`. What is returned is the result of the run, as JSON."""
    job.log.info("running %s", job.name)
    return {{"done": True}}
'''

MODULE_HEAD: Final = '"""Handlers of this project."""\n'

ME: Final = """\
# yaml-language-server: $schema=../.luad/users.schema.json
#
# You. `luad send me hello` tries your channels, `luad users inbox me` reads what was sent.

id: me
full_name: Me

channels:
  - inbox # kept by luad
  - log # a line in its log
  # - {type: webhook, url: "${MY_WEBHOOK}"}
  # - {type: apprise, name: mail, url: "${MY_MAIL}"} # pip install apprise
"""

UNIT: Final = """\
# luad for the project {name}, as a service of one's own user:
#   systemctl --user enable {folder}/luad.service
#   systemctl --user start luad
# It ends at logout, unless  loginctl enable-linger  was said once. As a service of the machine luad has
# a user of its own and a sandbox; that unit comes with luad's sources.

[Unit]
Description=luad jobs of {name}
# No limit of starts: trouble that lasts longer must not keep luad down for good.
StartLimitIntervalSec=0

[Service]
# Ready once the store is open and the job files are loaded.
Type=notify
NotifyAccess=main
WorkingDirectory={folder}
ExecStart="{python}" -m luad serve
# Fails when a file is broken; luad runs on with the last good version of it.
ExecReload="{python}" -m luad reload
# Always: a stray SIGTERM, as a handler may send, ends luad in order and with 0.
Restart=always
RestartSec=5
# Settings that cannot be meant so: starting again would not help.
RestartPreventExitStatus=78
WatchdogSec=30
# Longer than the drain (90 s), in which runs may finish.
TimeoutStopSec=120
# TERM for the daemon only: it ends its runs itself. Whatever is left afterwards is killed.
KillMode=mixed
OOMPolicy=continue

[Install]
WantedBy=default.target
"""
