"""The texts of `luad help TOPIC`.

Rule: it holds texts and no code. The list of topics shows the first line of each text.
"""

from __future__ import annotations

from typing import Final

OLD_NAMES: Final = {"people": "users"}
"""Topics by their former names."""

TOPICS: Final = {
    "exit-codes": """
The meaning of the exit codes

   0  ok
   1  error            other errors; check or reload found a broken file
   2  usage            wrong arguments, or --yes is missing
   3  not_found        the job, run or user does not exist
   4  run_failed       test, run --wait, retry --wait: the run failed
   5  run_cancelled    test, run --wait, retry --wait: the run was cancelled
   6  delivery_failed  send, users test: a message did not arrive
   7  timeout          the time limit of the job, or --wait-timeout, has passed
   8  conflict         it runs already, the name is taken, a file declares it
   9  auth             the token is missing or not valid
  10  forbidden        the role of the token does not allow the request
  11  unavailable      the daemon does not answer
  78  config           serve: the settings are wrong; do not restart
 130  interrupted      Ctrl-C
""",
    "schedule": """
Cron lines, intervals, single instants

  schedule: {type: cron, expression: "0 9 * * MON-FRI", timezone: Europe/London}
  schedule: {type: interval, every: 15m}
  schedule: {type: once, execute_at: DATET09:00:00Z}

A cron line has five fields (minute hour day month weekday), or six with seconds first, or is one
of @hourly @daily @weekly @monthly @yearly. If day and weekday are both set, a match of either is
enough. When the clocks change, a job at a fixed time runs once; a job with * in minute or hour
follows elapsed time. `luad explain EXPR --tz ZONE` shows the next times of a schedule.
""",
    "times": """
The form of times and durations

Durations: 90 (seconds), 90s, 10m, 1h30m, 2d, 1w. Times: DATET09:00, with Z or an offset, a date,
09:00 (today), now. luad reads and shows a time without an offset in the zone of --utc or --tz,
or else in that of the machine. JSON always has UTC.
""",
    "dynamic": """
Dynamic jobs, which are created at run time

  luad create --handler crm:follow_up --in 48h --user ann -m ticket=T-812
  luad remind ann "stand-up" --in 10m

luad stores a dynamic job in its database. All commands work with it: list -a, show, history, run,
pause. A job that is due once leaves the list after its success, and its history stays; --keep
keeps the job. `dynamic.handlers` of luad.yaml lists the handlers that it may name.
`luad show NAME --yaml` writes it as a job file; `luad create --from FILE` creates jobs from files.
""",
    "users": """
Users, their channels, and messages

A user is a file in users.d/ (luad users add ID), or a row of the database (with --dynamic). The
channels of a user say where messages go: inbox (luad users inbox ID), log, webhook, and with Apprise
(pip install apprise) every service that Apprise supports. `luad users test ID` tests all channels,
`luad send ID TEXT` sends a message. Write an address that contains a secret as "${VARIABLE}",
file:/path or credential:NAME.
""",
    "runs": """
The names of jobs and runs

Name a job by its name or a unique beginning of it. Name a run by its id, a unique beginning of it,
@last (the latest run of all jobs) or @last-failed.

A run is queued, running or retrying, and ends as succeeded, failed, timed_out, cancelled or lost
(luad did not see its end, or a stop of luad ended it: reason stopped).
An occurrence that did not run has a row as well: skipped (overlap, paused, coalesced, removed,
draining) or missed (downtime, clock, overload, past).
""",
    "environment": """
Variables of the environment that luad reads

  LUAD_SOCKET   the daemon's socket (--socket)
  LUAD_URL      the daemon's URL instead (--url), with LUAD_TOKEN
  LUAD_*        settings of the daemon, as in luad.yaml: LUAD_TIMEZONE, ...
  NO_COLOR      no colour;  FORCE_COLOR: also in pipes;  --color wins over both
""",
}
