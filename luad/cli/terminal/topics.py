"""The texts of `luad help TOPIC`.

Room rule: words only. The first line of a text is what the list of topics shows.
"""

from __future__ import annotations

from typing import Final

TOPICS: Final = {
    "exit-codes": """
What the exit codes mean

   0  ok
   1  error            all else; check found errors; reload kept a broken file
   2  usage            bad arguments, or it needs --yes
   3  not_found        no such job, run or user
   4  run_failed       test, run --wait, retry --wait: the run failed
   5  run_cancelled    it was cancelled
   6  delivery_failed  send, users test: a message did not arrive
   7  timeout          the job's time limit, or --wait-timeout
   8  conflict         it runs already, the name is taken, a file owns it
   9  auth             no token, or a bad one
  10  forbidden        the token may not do that
  11  unavailable      the daemon cannot be reached
  78  config           serve: the settings are wrong, trying again will not help
 130  interrupted      Ctrl-C
""",
    "schedule": """
Cron lines, intervals, single instants

  schedule: {type: cron, expression: "0 9 * * MON-FRI", timezone: Europe/London}
  schedule: {type: interval, every: 15m}
  schedule: {type: once, execute_at: DATET09:00:00Z}

A cron line has five fields (minute hour day month weekday), or six with seconds first, or is one
of @hourly @daily @weekly @monthly @yearly. When day and weekday are both set, either is enough.
Where the clocks change, a job at a fixed time runs once; one with * in minute or hour follows real
time. `luad explain EXPR --tz ZONE` shows the next times of any of them.
""",
    "times": """
How times and durations are written and shown

Durations: 90 (seconds), 90s, 10m, 1h30m, 2d, 1w. Times: DATET09:00, with Z or an offset, a date,
09:00 (today), now. A time without an offset is read in the zone in which times are shown: the
machine's, or that of --utc or --tz. JSON always has UTC.
""",
    "dynamic": """
Jobs that are made at run time

  luad create --handler crm:follow_up --in 48h --user ann -m ticket=T-812
  luad remind ann "stand-up" --in 10m

Such a job lives in luad's store. It is like any other: list -a, show, history, run, pause. One that
is due once leaves the list after its success, and its history stays; --keep keeps it. What it may
call is in `dynamic.handlers` of luad.yaml. `luad show NAME --yaml` writes it as a job file, and
`luad create --from FILE` makes jobs of files.
""",
    "people": """
People, their channels, and messages

Somebody is a file in users.d/ (luad users add ID), or is kept in the store (with --dynamic). Their
channels say where messages go: inbox (luad users inbox ID), log, webhook, and with Apprise
(pip install apprise) all services that it knows. `luad users test ID` tries all of them, `luad send ID TEXT` sends. An address
with a secret in it is written as "${VARIABLE}", file:/path or credential:NAME, never in clear.
""",
    "runs": """
Naming jobs and runs

A job is named by its name or a unique beginning of it. A run is named by its id, a unique beginning
of it, @last (the latest run of all) or @last-failed.

A run is queued, running or retrying, and ends as succeeded, failed, timed_out, cancelled or lost
(luad did not see its end, or a stop of luad had to end it: reason stopped).
What never ran has its row too: skipped (overlap, paused, coalesced, removed, draining) or missed
(downtime, clock, overload, past).
""",
    "environment": """
Variables that luad reads

  LUAD_SOCKET   the daemon's socket (--socket)
  LUAD_URL      the daemon's URL instead (--url), with LUAD_TOKEN
  LUAD_*        settings of the daemon, as in luad.yaml: LUAD_TIMEZONE, ...
  NO_COLOR      no colour;  FORCE_COLOR: also in pipes;  --color wins over both
""",
}
