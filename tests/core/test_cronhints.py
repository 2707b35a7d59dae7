"""Lines in the spelling of other programs get the line to write; precise problems stay as they are."""

from __future__ import annotations

import re

import pytest

from luad.core.cron.search import CronError, compile_cron
from luad.core.cron.zones import ZoneError, load_zone


def refused(expression: str) -> CronError:
    with pytest.raises(CronError) as caught:
        compile_cron(expression)
    return caught.value


@pytest.mark.parametrize(
    ("expression", "about", "remedy"),
    [
        # a zone before or behind it
        ("0 9 * * * Europe/London", "time zone", '"0 9 * * *", and  timezone: Europe/London'),
        ("0 9 * * mon-fri America/New_York", "time zone", "timezone: America/New_York"),
        ("0 9 * * * UTC", "time zone", "timezone: UTC"),
        ("0 9 * * * UTC+2", "time zone", "timezone: Europe/Athens"),
        ("Asia/Tokyo 0 9 * * *", "time zone", '"0 9 * * *", and  timezone: Asia/Tokyo'),
        ("@daily Europe/London", "time zone", '"@daily", and  timezone: Europe/London'),
        # a user, a command, a comment
        ("0 9 * * * root", "user column", 'write "0 9 * * *"'),
        ("0 9 * * * root /usr/bin/backup", "user and the command", "luad.handlers.shell:run"),
        ("17 * * * * www-data php cron.php", "user and the command", 'write "17 * * * *"'),
        ("30 4 * * * cd / && ./run", "the command `cd / && ./run`", 'write "30 4 * * *"'),
        ("0 9 * * * /usr/bin/backup", "the command", 'write "0 9 * * *"'),
        ("@daily root", "user column", 'write "@daily"'),
        ("0 9 * * * # at nine", "comment", 'write "0 9 * * *"'),
        # a year
        ("0 9 1 1 * 2027", "year", "execute_at: 2027-01-01T09:00:00Z"),
        ("0 9 * * 1 2027", "year", 'write "0 9 * * 1"'),
        ("0 0 12 * * ? 2026-2028", "year", 'write "0 0 12 * * ?"'),
        ("0 12 * * ? *", "year", 'write "0 12 * * ?"'),
        ("cron(0 12 * * ? *)", "EventBridge", '"0 12 * * ?"'),
        ("rate(5 minutes)", "EventBridge", "{type: interval, every: 5m}"),
        # words
        ("hourly", "not a cron expression", "`@hourly`"),
        ("Nightly", "not a cron expression", "`@daily`"),
        ("every day at 3am", "not a cron expression", 'write "0 3 * * *"'),
        ("every day at 3:30 PM", "not a cron expression", 'write "30 15 * * *"'),
        ("daily at 09:00", "not a cron expression", 'write "0 9 * * *"'),
        ("at 9:30", "not a cron expression", 'write "30 9 * * *"'),
        ("every monday at 8:30pm", "not a cron expression", 'write "30 20 * * MON"'),
        ("mondays and fridays at noon", "not a cron expression", 'write "0 12 * * MON,FRI"'),
        ("weekdays at 9", "not a cron expression", 'write "0 9 * * MON-FRI"'),
        ("every weekday at midnight", "not a cron expression", 'write "0 0 * * MON-FRI"'),
        ("monthly on the 15th at 6am", "not a cron expression", 'write "0 6 15 * *"'),
        ("every day at 3am Europe/London", "not a cron", "timezone: Europe/London"),
        ("every 5 minutes", "not a cron expression", "{type: interval, every: 5m}"),
        ("every 2 weeks", "not a cron expression", "{type: interval, every: 14d}"),
        ("every hour", "not a cron expression", "`@hourly`"),
        ("15m", "not a cron expression", "{type: interval, every: 15m}"),
        ("PT15M", "not a cron expression", "{type: interval, every: 15m}"),
        # systemd
        ("*:0/15", "systemd", 'write "*/15 * * * *"'),
        ("Mon..Fri 09:00", "systemd", 'write "0 9 * * MON-FRI"'),
        ("*-*-* 02:30:00", "systemd", 'write "30 2 * * *"'),
        ("OnCalendar=Mon..Fri 09:00", "systemd", 'write "0 9 * * MON-FRI"'),
        ("OnCalendar=weekly", "systemd", "0 0 * * MON"),
        ("OnUnitActiveSec=15min", "systemd", "{type: interval, every: 15m}"),
        # a time, an instant, a weekday of a month
        ("09:00", "time of day", 'write "0 9 * * *"'),
        ("tomorrow 09:00", "one instant", "{type: once, execute_at: ...}"),
        ("first monday of the month", "not a cron expression", 'write "0 0 * * MON#1"'),
        ("last friday of every month at 18:00", "not a cron", 'write "0 18 * * L5"'),
        ("everyday at 5pm", "not a cron expression", 'write "0 17 * * *"'),
        # the notations of programs
        ("crontab(minute=0, hour=9)", "Celery", 'write "0 9 * * *"'),
        ("crontab(minute='*/15')", "Celery", 'write "*/15 * * * *"'),
        ("day_of_week='mon-fri', hour=9", "APScheduler", 'write "0 9 * * mon-fri"'),
        ("CronTrigger(day_of_week='0-4', hour=9, minute=30)", "APScheduler", "30 9 * * MON-FRI"),
        ("hour='*/2'", "APScheduler", 'write "0 */2 * * *"'),
        ('every().day.at("10:30")', "package schedule", 'write "30 10 * * *"'),
        ("every(10).minutes", "package schedule", "{type: interval, every: 10m}"),
        ("every().monday.at('09:00')", "package schedule", 'write "0 9 * * MON"'),
        ("FREQ=WEEKLY;BYDAY=MO,WE;BYHOUR=9;BYMINUTE=30", "iCalendar", "30 9 * * MON,WED"),
        ("RRULE:FREQ=DAILY;BYHOUR=7", "iCalendar", 'write "0 7 * * *"'),
        ("FREQ=HOURLY;INTERVAL=6", "iCalendar", "{type: interval, every: 6h}"),
        ("FREQ=MONTHLY;BYDAY=1MO", "iCalendar", "several jobs"),
        ("R/PT15M", "not a cron expression", "{type: interval, every: 15m}"),
        # a line in quotation marks, or behind its key
        ('"0 9 * * *"', "other text around it", 'write "0 9 * * *"'),
        ("cron: 0 9 * * *", "other text around it", 'write "0 9 * * *"'),
        ("0 9 * * *;", "other text around it", 'write "0 9 * * *"'),
    ],
)
def test_a_line_from_elsewhere_is_named_and_respelt(
    expression: str, about: str, remedy: str
) -> None:
    error = refused(expression)
    assert about in error.message
    assert remedy in error.help
    assert not error.field
    assert 0 <= error.start < error.end <= len(expression)
    for line in re.findall(r'"([^"]+)"', error.help):
        compile_cron(line)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("0 25 * * *", "hour 25 is out of range"),
        ("0 0 25 * * mon", "hour 25 is out of range"),
        ("0 0 25 * * *", "hour 25 is out of range"),
        ("0 9 * * FUNDAY", "cannot read `FUNDAY`"),
        ("every blue moon", "has 3 fields"),
        ("0 9 * *", "has 4 fields"),
        ("@fortnightly", "unknown alias"),
        ("0 9 31 2 *", "never fires"),
    ],
)
def test_a_precise_problem_is_not_hidden(expression: str, message: str) -> None:
    assert message in refused(expression).message


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("UTC+2", "Etc/GMT-2, with the sign turned round"),
        ("GMT-5", "America/New_York"),
        ("+02:00", "Europe/Athens"),
        ("UTC+05:30", "Asia/Kolkata"),
        ("UTC-0", "write UTC"),
        ("PST", "`America/Los_Angeles`"),
        ("CEST", "`Europe/Berlin`"),
        ("IST", "`Asia/Kolkata` or `Europe/Dublin`"),
        ("Eastern Standard Time", "`America/New_York`"),
        ("Pacific Time (US & Canada)", "`America/Los_Angeles`"),
        ("local", "timedatectl"),
        ("Berlin", "`Europe/Berlin`"),
    ],
)
def test_a_zone_in_another_spelling_gets_its_place(name: str, said: str) -> None:
    with pytest.raises(ZoneError) as caught:
        load_zone(name)
    assert said in caught.value.help
    for place in re.findall(r"[A-Z][a-z]+/\w+", caught.value.help):
        load_zone(place.removesuffix(","))


def test_missing_fields_are_not_filled_up_behind_words() -> None:
    assert 'perhaps "30 * * * *"' in refused("30").help
    assert "perhaps" not in refused("minute 5").help
    assert "perhaps" not in refused("x y z").help


def test_random_minutes_of_openbsd_get_the_same_help_as_those_of_jenkins() -> None:
    for expression in ("~ 9 * * *", "0~30 * * * *", "H/5 * * * *"):
        assert "jitter" in refused(expression).help
