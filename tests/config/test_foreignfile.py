"""A whole file of another program is one message, with the luad job that it would be."""

from __future__ import annotations

import pytest

from luad.config.jobs.job_file import load_file
from luad.config.settings.daemon_settings import Settings
from luad.core.model import Cron, Interval, Job, Once
from luad.errors import Problem

KUBERNETES = """\
apiVersion: batch/v1
kind: CronJob
metadata:
  name: Shop_Backup
spec:
  schedule: "0 3 * * *"
  timeZone: Europe/London
  jobTemplate:
    spec:
      template:
        spec:
          containers:
            - name: backup
              image: postgres
              command: [pg_dump]
              args: [--clean, shop]
          restartPolicy: OnFailure
"""
GITHUB = """\
name: Nightly
on:
  schedule:
    - cron: "30 5 * * 1-5"
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: make nightly
"""
SIDEKIQ = """\
:schedule:
  send_report:
    cron: "0 6 * * *"
    class: ReportWorker
    queue: default
"""
SIDEKIQ_CRON = 'clean_up:\n  cron: "*/15 * * * *"\n  class: CleanUpJob\n'
SOLID_QUEUE = "production:\n  sweep:\n    class: SweepJob\n    schedule: every 5 minutes\n"
CELERY = "beat_schedule:\n  add:\n    task: tasks.add\n    schedule: 30.0\n"
APP_ENGINE = "cron:\n- description: tidy\n  url: /tasks/tidy\n  schedule: every 24 hours\n"
DKRON = 'name: d\nschedule: "@every 10s"\nexecutor: shell\nexecutor_config: {command: date}\n'
SYSTEMD = "[Unit]\nDescription=x\n\n[Timer]\nOnCalendar=*-*-* 02:30:00\n"
OFELIA = '[job-exec "tidy up"]\nschedule = @every 1h\ncommand = tidy --all\n'
CRONTAB = "# nightly\nMAILTO=ops\n30 2 * * 1-5 /srv/backup --all >/dev/null\n@daily root x\n"
COMPOSE = "services:\n  db:\n    image: postgres\n"
PLIST = '<?xml version="1.0"?>\n<plist version="1.0"><dict/></plist>\n'
ANSIBLE = "- hosts: all\n  tasks:\n    - cron: {name: x}\n"
DEPLOYMENT = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n"


def only(text: str) -> Problem:
    (problem,) = load_file("x.yaml", text.encode(), settings=Settings()).problems
    return problem


def offered(text: str) -> Job:
    """The job that the help offers, read as a file."""
    job = only(text).help.removeprefix("write  ").partition("}; each")[0]
    job += "}" * (job.count("{") - job.count("}"))
    (wanted,) = load_file("y.yaml", job.encode(), settings=Settings()).jobs
    return wanted.job


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (KUBERNETES, "a CronJob of Kubernetes"),
        (DEPLOYMENT, "a Deployment of Kubernetes"),
        (GITHUB, "a workflow of GitHub Actions"),
        (SIDEKIQ, "a schedule of sidekiq"),
        (SIDEKIQ_CRON, "a schedule of sidekiq"),
        (SOLID_QUEUE, "a schedule of sidekiq, resque or Solid Queue"),
        (CELERY, "a schedule of Celery beat"),
        (APP_ENGINE, "a cron.yaml of App Engine"),
        (DKRON, "a job of Dkron"),
        (SYSTEMD, "a unit of systemd"),
        (OFELIA, "a configuration of Ofelia"),
        (CRONTAB, "a crontab"),
        (COMPOSE, "a file of Docker Compose"),
        (PLIST, "a launchd file"),
        (ANSIBLE, "a playbook of Ansible"),
    ],
)
def test_one_message_says_what_the_file_is(text: str, what: str) -> None:
    problem = only(text)
    assert (problem.code, problem.line) == ("LU112", 1)
    assert problem.message.startswith(f"this is {what}")
    assert offered(text)


def test_the_offered_job_says_what_the_file_said() -> None:
    job = offered(KUBERNETES)
    assert job.name == "shop_backup"
    assert job.schedule == Cron("0 3 * * *", "Europe/London")
    assert job.metadata == {"command": ["pg_dump", "--clean", "shop"]}
    job = offered(GITHUB)
    assert (job.name, job.metadata) == ("nightly", {"command": "make nightly"})
    assert job.schedule == Cron("30 5 * * 1-5")
    assert offered(SIDEKIQ).schedule == Cron("0 6 * * *")
    assert offered(SOLID_QUEUE).schedule == Interval(300_000)
    assert offered(CELERY).schedule == Interval(30_000)
    assert offered(DKRON).schedule == Interval(10_000)
    assert offered(SYSTEMD).schedule == Cron("30 2 * * *")
    assert offered(OFELIA).schedule == Interval(3_600_000)
    assert offered(CRONTAB).metadata == {"command": "/srv/backup --all"}


@pytest.mark.parametrize(
    "text",
    [
        "name: a\nhandler: m:f\nschedule: {type: cron, expression: 0 25 * * *}\n",
        "name: a\nhandler: m:f\nschedule: daily\n",
        "jobs:\n  a:\n    handler: m:f\n",
        "nmae: a\nhandlr: m:f\n",
    ],
)
def test_a_job_with_mistakes_is_not_taken_for_something_else(text: str) -> None:
    problems = load_file("x.yaml", text.encode(), settings=Settings()).problems
    assert problems
    assert "LU112" not in {each.code for each in problems}


@pytest.mark.parametrize(
    ("words", "schedule"),
    [
        ("daily", '{type: cron, expression: "@daily"}'),
        ("every day at 3am", '{type: cron, expression: "0 3 * * *"}'),
        ("every 5 minutes", "{type: interval, every: 5m}"),
    ],
)
def test_a_schedule_in_words_gets_the_schedule_to_write(words: str, schedule: str) -> None:
    (problem,) = load_file(
        "x.yaml", f"name: a\nhandler: m:f\nschedule: {words}\n".encode(), settings=Settings()
    ).problems
    assert f"schedule: {schedule}" in problem.help


def test_a_line_that_names_one_date_is_offered_as_once() -> None:
    line = 'schedule: {type: cron, expression: "0 9 1 1 * 2027"}'
    (problem,) = load_file(
        "x.yaml", f"name: a\nhandler: m:f\n{line}\n".encode(), settings=Settings()
    ).problems
    schedule = problem.help.partition("write  ")[2]
    text = f"name: a\nhandler: m:f\n{schedule}\n"
    (wanted,) = load_file("x.yaml", text.encode(), settings=Settings()).jobs
    assert isinstance(wanted.job.schedule, Once)


@pytest.mark.parametrize(
    ("command", "name", "written"),
    [
        (
            "cd /srv/shop && ./backup --all >/dev/null 2>&1",
            "backup",
            "cd /srv/shop && ./backup --all",
        ),
        ("cd /x; FOO=1 nice -n 10 /opt/tidy.sh &>/dev/null", "tidy", None),
        ("flock -n /tmp/lock /usr/bin/sync-mail", "sync-mail", None),
        ("/usr/bin/python3 -u /srv/report_daily.py", "report_daily", None),
        ("python -m shop.close > /dev/null", "shop.close", "python -m shop.close"),
        ("timeout 1h sudo -u app /opt/run.sh", "run", None),
        ("sleep 30; curl -fs https://example.com/", "curl", None),
        ("bash -lc /opt/x.sh >> /var/log/x.log 2>&1", "x", None),
        ("cd /srv", "cd", "cd /srv"),
        ("date +\\%F", "date", "date +%F"),
        ("sh", "sh", "sh"),
    ],
)
def test_a_line_of_a_crontab_becomes_the_job_of_its_program(
    command: str, name: str, written: str | None
) -> None:
    job = offered(f"30 2 * * 1-5 {command}\n")
    assert job.name == name
    if written is not None:
        assert job.metadata == {"command": written}
    assert "/dev/null" not in job.metadata["command"]
    assert ("/var/log" in command) == ("2>&1" in job.metadata["command"])


def test_what_a_crontab_says_beside_its_lines_is_told() -> None:
    lines = "@reboot x\n30 2 * * * cd /srv && ./backup\n"
    told = only(f"SHELL=/bin/bash\nMAILTO=ops@example.com\n{lines}").help
    assert "add `timezone`" in told
    assert "for MAILTO add  alert: {to: [USER]}" in told
    assert "write SHELL into `env`" in told
    assert offered(f"CRON_TZ=Europe/London\n{lines}").schedule == Cron(
        "30 2 * * *", "Europe/London"
    )
    quiet = only(f'CRON_TZ=Europe/London\nMAILTO=""\n{lines}').help
    assert quiet.endswith("; each line is a job of its own")
    assert "ops@example.com" not in told
