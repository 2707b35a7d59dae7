"""A job file becomes jobs: defaults, units, identity; and what a schema cannot see."""

from __future__ import annotations

import dataclasses

import pytest

from luad.config.jobs.compact_jobs import LazyObject
from luad.config.jobs.job_builder import revision_of
from luad.config.jobs.job_file import ParsedFile, job_from_definition, load_file
from luad.config.problems import render_full
from luad.config.settings.daemon_settings import Settings
from luad.config.yaml.fix import apply_fixes
from luad.core.model import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    CatchUp,
    Cron,
    Interval,
    Isolation,
    Job,
    Limits,
    Once,
    OnLost,
    Origin,
    Overlap,
    Retry,
)
from luad.wire import parse_instant

HEAD = "name: job\nhandler: m:f\n"
CRON = 'schedule: {type: cron, expression: "0 9 * * *"}\n'
JOB = HEAD + CRON
NOW = parse_instant("2026-11-22T10:00:00Z")


def load(text: str, **changed: object) -> ParsedFile:
    settings = dataclasses.replace(Settings(), **changed)  # type: ignore[arg-type]
    return load_file("jobs.d/x.yaml", text.encode(), settings=settings, now=NOW)


def load_job(text: str, **changed: object) -> Job:
    parsed = load(text, **changed)
    assert parsed.problems == (), render_full(parsed.problems)
    (wanted,) = parsed.jobs
    return wanted.job


def messages(text: str) -> list[str]:
    return [f"{each.line}:{each.column} {each.code} {each.message}" for each in load(text).problems]


def test_what_a_file_does_not_say_is_the_models_default() -> None:
    job = load_job(JOB)
    bare = Job("job", "m:f", Cron("0 9 * * *"), revision=job.revision)
    assert job == bare


def test_every_key_arrives_in_its_unit() -> None:
    job = load_job(
        JOB
        + "description: words\nenabled: false\ntimeout: 90\noverlap: allow\nmax_running: 3\n"
        + "retry: {max_attempts: 3, backoff_seconds: 0.5, backoff_multiplier: 2, max_backoff_seconds: 60}\n"
        + "catch_up: all\ncatch_up_window: 2d\njitter: 1m30s\non_lost: retry\nisolation: process\nqueue: gpu\npause_after_failures: 5\n"
        + "tags: [a, b]\nenv: {B: x, A: ''}\nnice: 5\nwarm: false\nmetadata: {x: [1]}\n"
        + "limits: {memory: 1.5G, cpu_seconds: 60, open_files: 100, processes: 20}\n",
        work_queues=("gpu",),
    )
    assert job == Job(
        "job",
        "m:f",
        Cron("0 9 * * *"),
        revision=job.revision,
        description="words",
        enabled=False,
        timeout_ms=90 * SECOND,
        retry=Retry(3, 500, 2.0, MINUTE),
        overlap=Overlap.ALLOW,
        max_running=3,
        catch_up=CatchUp.ALL,
        catch_up_window_ms=2 * DAY,
        jitter_ms=90 * SECOND,
        on_lost=OnLost.RETRY,
        queue="gpu",
        pause_after_failures=5,
        tags=("a", "b"),
        env=(("B", "x"), ("A", "")),
        nice=5,
        warm=False,
        limits=Limits(3 << 29, 60, 100, 20),
        metadata={"x": [1]},
    )


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ('{type: cron, expression: " 0 9 * * * "}', Cron("0 9 * * *", "UTC")),
        ('{type: cron, expression: "@daily", timezone: Asia/Tokyo}', Cron("@daily", "Asia/Tokyo")),
        ("{type: interval, seconds: 1.5}", Interval(1_500)),
        ("{type: interval, every: 1h30m}", Interval(90 * MINUTE)),
        (
            "{type: interval, every: 1d, start_at: 2026-01-01T00:00:00Z}",
            Interval(DAY, parse_instant("2026-01-01T00:00:00Z")),
        ),
        (
            "{type: interval, every: 1d, start_at: 2026-01-01 09:00, timezone: Asia/Tokyo}",
            Interval(DAY, parse_instant("2026-01-01T00:00:00Z")),
        ),
        (
            "{type: once, execute_at: 2026-12-25T09:00:00+01:00}",
            Once(parse_instant("2026-12-25T08:00:00Z")),
        ),
        (
            "{type: once, execute_at: '2026-12-25 09:00', timezone: America/New_York}",
            Once(parse_instant("2026-12-25T14:00:00Z"), "America/New_York"),
        ),
    ],
)
def test_each_schedule_is_read(text: str, schedule: object) -> None:
    assert load_job(f"{HEAD}schedule: {text}\n").schedule == schedule


def test_the_default_zone_is_that_of_the_settings_and_part_of_the_definition() -> None:
    here, there = load_job(JOB), load_job(JOB, timezone="Europe/London")
    assert there.schedule == Cron("0 9 * * *", "Europe/London")
    assert there.definition["schedule"]["timezone"] == "Europe/London"
    assert there.revision != here.revision
    assert job_from_definition(there.definition) == there, "the store needs no settings"


def test_the_revision_is_the_content_not_the_layout() -> None:
    plain = load_job(JOB)
    other_order = load_job(
        '# hi\nhandler: "m:f"\nschedule:\n  expression: 0 9 * * *\n  type: cron\nname: job'
    )
    assert plain.revision == other_order.revision
    assert len(plain.revision) == 12
    assert plain.revision != load_job(JOB + "timeout: 5m\n").revision


def test_documents_of_one_file_know_their_lines() -> None:
    parsed = load(JOB + "---\n# comment\n" + JOB.replace("name: job", "name: two"))
    assert [wanted.origin for wanted in parsed.jobs] == [
        Origin("jobs.d/x.yaml", 1),
        Origin("jobs.d/x.yaml", 6),
    ]


def test_an_error_in_one_document_keeps_the_whole_file_from_loading() -> None:
    parsed = load(JOB + "---\nname: two\n")
    assert parsed.is_broken
    assert parsed.jobs == ()


def test_a_warning_does_not() -> None:
    parsed = load(JOB + "max_running: 2\n")
    assert not parsed.is_broken
    assert [each.code for each in parsed.problems] == ["LU504"]
    assert len(parsed.jobs) == 1


def test_more_jobs_than_allowed_are_refused() -> None:
    text = "---\n".join(JOB.replace("name: job", f"name: j{number}") for number in range(4))
    assert len(load(text).jobs) == 4
    assert [each.code for each in load(text, max_jobs=3).problems] == ["LU007"]


@pytest.mark.slow
def test_a_file_of_twenty_thousand_jobs_is_read_once_the_settings_allow_its_size() -> None:
    count = 20_000
    text = "---\n".join(JOB.replace("name: job", f"name: j{number}") for number in range(count))
    assert len(load(text, max_file_size=len(text)).jobs) == count


@pytest.mark.parametrize(
    ("expression", "place"),
    [
        ('"0 25 * * *"', "3:39"),
        ("'0 25 * * *'", "3:39"),
        ("0 25 * * *", "3:38"),
        (r'"0 2\x35 * * *"', "3:36"),
    ],
)
def test_a_cron_mistake_is_shown_where_it_stands_unless_escapes_hide_it(
    expression: str, place: str
) -> None:
    (message,) = messages(f"{HEAD}schedule: {{type: cron, expression: {expression}}}\n")
    assert message.startswith(f"{place} LU201 hour 25")


def test_all_mistakes_are_told_at_once_those_beneath_a_misspelt_key_too() -> None:
    text = (
        "name: job\nhandler: x.py\nschedule:\n  type: cron\n  pattern: '61 * * * *'\n"
        "  tz: Europe/Londn\ntimout: 5\nretry: {maxRetries: 3}\n"
    )
    assert messages(text) == [
        "2:10 LU304 `x.py` is not the name of a handler",
        "5:3 LU105 unknown key `pattern` in `schedule` (type: cron)",
        "5:13 LU201 minute 61 is out of range 0–59",
        "6:3 LU105 unknown key `tz` in `schedule` (type: cron)",
        "6:7 LU205 unknown time zone `Europe/Londn`",
        "7:1 LU102 unknown key `timout`",
        "8:9 LU105 unknown key `maxRetries` in `retry`",
    ]


def test_a_definition_that_cannot_be_used_any_more_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="missing key `handler`"):
        job_from_definition({"name": "a", "schedule": {"type": "interval", "seconds": 1}})
    with pytest.raises(ValueError, match="unknown time zone"):
        job_from_definition(dict(load_job(JOB).definition) | {
            "schedule": {"type": "cron", "expression": "0 9 * * *", "timezone": "Mars"}
        })  # fmt: skip
    with pytest.raises(ValueError, match="NUL"):
        job_from_definition(dict(load_job(JOB).definition) | {"env": {"A": "\0"}})


def test_jobs_share_equal_values_and_keep_their_documents_as_text() -> None:
    more = "retry: {max_attempts: 3}\ntags: [a, b]\nmetadata: {region: emea, n: [1, 2.0, null]}\n"
    one, other = load_job(JOB + more), load_job((JOB + more).replace("name: job", "name: other"))
    for name in ("schedule", "retry", "tags", "handler", "limits", "env"):
        assert getattr(one, name) is getattr(other, name), name
    assert isinstance(one.definition, LazyObject)
    assert isinstance(one.metadata, LazyObject)
    assert one.metadata == {"region": "emea", "n": [1, 2.0, None]}
    assert list(one.definition) == ["name", "handler", "schedule", "retry", "tags", "metadata"]
    assert revision_of(dict(one.definition)) == one.revision


# --- advice ------------------------------------------------------------------------------------


def advice(schedule: str, more: str = "") -> list[str]:
    return [each.message for each in load(f"{HEAD}schedule: {schedule}\n{more}").problems]


def test_a_time_that_the_clocks_skip_within_a_year_is_told() -> None:
    assert advice('{type: cron, expression: "30 1 * * *", timezone: Europe/London}') == [
        "01:30 does not exist on 2027-03-28 in Europe/London; that day's run is at 02:00"
    ]
    assert advice('{type: cron, expression: "30 2 * * *", timezone: Europe/London}') == []
    assert advice('{type: cron, expression: "*/30 1 * * *", timezone: Europe/London}') == []
    assert advice('{type: cron, expression: "30 1 * * *", timezone: UTC}') == []
    assert advice('{type: cron, expression: "30 1 * * MON", timezone: Europe/London}') == []


def test_a_past_instant_is_told_with_what_follows() -> None:
    (late,) = advice("{type: once, execute_at: 2026-11-22T09:30:00Z}")
    assert late.endswith("a new job runs once, at load")
    (missed,) = advice("{type: once, execute_at: 2026-11-22T09:30:00Z}", "catch_up_window: 10m\n")
    assert missed.endswith("a new job never runs, and is recorded as missed")
    assert advice("{type: once, execute_at: 2026-11-22T10:00:00Z}") == []


def test_a_time_limit_beyond_the_interval_is_told_only_if_somebody_wrote_it() -> None:
    assert advice("{type: interval, every: 1m}") == []
    assert len(advice("{type: interval, every: 1m}", "timeout: 2m\n")) == 1
    assert advice("{type: interval, every: 1m}", "timeout: 2m\noverlap: queue\n") == []


def test_advice_of_the_calendar_needs_an_instant() -> None:
    text = f"{HEAD}schedule: {{type: once, execute_at: 2020-01-01T00:00:00Z}}\n"
    assert load_file("x", text.encode(), settings=Settings()).problems == ()


# --- fixes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (JOB + "timout: 5m\n", JOB + "timeout: 5m\n"),
        (JOB + "retry: {maxAttempts: 3, backoffSeconds: 5}\n",
         JOB + "retry: {max_attempts: 3, backoff_seconds: 5}\n"),
        (HEAD + "schedule:\n  type: cron\n  expression: */5 * * * *  # often\n",
         HEAD + 'schedule:\n  type: cron\n  expression: "*/5 * * * *"  # often\n'),
        (HEAD + "schedule: {type: cron, expression: @daily}\n",
         HEAD + 'schedule: {type: cron, expression: "@daily"}\n'),
        ('"Name": job\nhandler: m:f\n' + CRON, JOB),
        ("\ufeff" + JOB + "catchUp: all\r\n", "\ufeff" + JOB + "catch_up: all\r\n"),
    ],
)  # fmt: skip
def test_a_safe_fix_mends_the_file(wrong: str, right: str) -> None:
    parsed = load(wrong)
    assert parsed.is_broken
    mended = apply_fixes(wrong.encode(), parsed.problems).decode()
    assert mended == right
    assert not load(mended).is_broken


@pytest.mark.parametrize(
    "more",
    [
        "retry: {maxRetries: 3}\n",
        "timout: 5\ntimeout: 6\n",
        "colour: red\n",
        "timeout: 5 minutes\n",
    ],
)
def test_what_needs_a_decision_is_left_alone(more: str) -> None:
    data = (JOB + more).encode()
    assert apply_fixes(data, load(JOB + more).problems) == data


def test_of_two_slips_for_one_key_the_first_is_mended() -> None:
    text = JOB + "timout: 5m\ntimeot: 6m\n"
    assert (
        apply_fixes(text.encode(), load(text).problems).decode()
        == JOB + "timeout: 5m\ntimeot: 6m\n"
    )


def test_hours_are_hours() -> None:
    assert load_job(JOB + "timeout: 2h\n").timeout_ms == 2 * HOUR


@pytest.mark.parametrize(
    ("written", "timeout_ms"), [("none", None), ("36h", 36 * HOUR), ("30d", 30 * DAY), (1, SECOND)]
)
def test_a_time_limit_may_be_long_or_none(written: object, timeout_ms: int | None) -> None:
    assert load_job(JOB + f"timeout: {written}\n").timeout_ms == timeout_ms


@pytest.mark.parametrize("word", ["never", "off", "false", "unlimited", "None", ".inf", "0"])
def test_other_words_for_no_time_limit_get_the_right_one(word: str) -> None:
    (problem,) = load(JOB + f"timeout: {word}\n").problems
    assert "timeout: none" in problem.help


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("env", "{A: b}", "one environment"),
        ("nice", "5", "the whole process"),
        ("limits", "{open_files: 100}", "the whole process"),
    ],
)
def test_a_shared_process_cannot_obey_these_keys(key: str, value: str, reason: str) -> None:
    problems = load(JOB + f"isolation: shared\n{key}: {value}\n").problems
    assert [(each.code, each.line) for each in problems] == [("LU208", JOB.count("\n") + 2)]
    assert f"`{key}` cannot be combined" in problems[0].message
    assert reason in problems[0].message


def test_a_shell_command_cannot_run_in_a_shared_process() -> None:
    shell = JOB.replace("m:f", "luad.handlers.shell:run") + "metadata: {command: 'true'}\n"
    assert load(shell).problems == ()
    [problem] = load(shell + "isolation: shared\n").problems
    assert problem.code == "LU208"


def test_a_shared_job_may_have_empty_values_of_those_keys() -> None:
    job = load_job(JOB + "isolation: shared\nenv: {}\nnice: 0\nlimits: {}\n")
    assert job.isolation is Isolation.SHARED


# --- queues --------------------------------------------------------------------------------------


def test_a_queue_that_no_worker_serves_is_a_problem_with_its_place() -> None:
    (problem,) = load(JOB + "queue: gpu\n").problems
    line = len(JOB.splitlines()) + 1
    assert (problem.code, problem.line, problem.column) == ("LU209", line, 8)
    assert problem.message == "no worker serves the queue `gpu`"
    assert problem.help == "write  work: {queues: [default, gpu]}  in luad.yaml"
    assert load_job(JOB + "queue: gpu\n", work_queues=("default", "gpu")).queue == "gpu"


def test_a_misspelt_queue_is_found_beside_other_mistakes() -> None:
    problems = load(JOB + "queue: defualt\nnice: 99\n").problems
    assert [(each.code, each.help) for each in problems][:1] == [
        ("LU209", "did you mean `default`?")
    ]
    assert [each.code for each in problems] == ["LU209", "LU104"]


def test_a_job_without_a_queue_needs_a_worker_of_the_default_queue() -> None:
    (problem,) = load(JOB, work_queues=("gpu",)).problems
    assert problem.message == "no worker serves the queue `default`"
