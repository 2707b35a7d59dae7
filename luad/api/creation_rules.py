"""The checks of a new dynamic job: its handler, user and interval, and the rate over TCP.

Rule: a check refuses or passes; it does not ask the engine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from math import ceil
from typing import TYPE_CHECKING, Final

from luad.api.handler_rules import keep_handler
from luad.api.http.api_problems import ApiError, close_to, did_you_mean, echo
from luad.config.jobs.api_bodies import refusal
from luad.config.jobs.queue_check import queue_mistake
from luad.core.cron.zones import load_zone
from luad.core.gaps import least_gap_ms
from luad.core.model import MINUTE, SECOND, Once
from luad.core.policy import is_too_late
from luad.errors import ValidationError
from luad.wire import example_instant, format_instant, parse_instant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from luad.api.service import DynamicRules, Service
    from luad.core.model import Instant, Job, Schedule

_MOST_LISTED: Final = 10
_MOST_TOKENS: Final = 1_000


class CreationRate:
    """The number of jobs that each token has made over TCP within the last minute."""

    def __init__(self) -> None:
        self._made: dict[str, deque[Instant]] = {}

    def take(self, token: str, count: int, most: int, elapsed: Instant) -> None:
        """Count *count* more jobs of *token*. Raises `ApiError` (rate_limited) beyond *most* a minute."""
        made = self._made.setdefault(token, deque())
        while made and made[0] <= elapsed - MINUTE:
            made.popleft()
        if len(made) + count > most:
            wait_ms = made[0] + MINUTE - elapsed if made else MINUTE
            raise ApiError(
                "rate_limited",
                f"the token {echo(token)} may make {most} jobs a minute over TCP; it made {len(made)}, "
                f"and asks for {count} more",
                hint="make fewer at once, or later; or raise dynamic.creates_per_minute in luad.yaml",
                headers={"retry-after": str(max(1, ceil(wait_ms / SECOND)))},
            )
        made.extend([elapsed] * count)
        if len(self._made) > _MOST_TOKENS:
            recent = {key: each for key, each in self._made.items() if each}
            self._made = {key: each for key, each in recent.items() if each[-1] > elapsed - MINUTE}


def check_pace(service: Service, schedule: Schedule, name: str) -> None:
    """Refuse a schedule that is due more often than `dynamic.min_interval` allows.

    A stored job that has this very schedule already goes on, and may be asked for again.
    """
    gap_ms = least_gap_ms(schedule)
    if gap_ms is None or gap_ms >= service.dynamic.min_interval_ms:
        return
    there = service.job(name)
    if there is not None and there.is_dynamic and there.job.schedule == schedule:
        return
    detail = f"the job would run every {_text(gap_ms)} at times"
    detail += f"; at most every {_text(service.dynamic.min_interval_ms)} is allowed"
    hint = "choose a longer interval, or lower dynamic.min_interval in luad.yaml"
    item = {"pointer": "#/schedule", "code": "LU405", "detail": detail, "hint": hint}
    raise ValidationError(detail, hint=hint, errors=(item,))


def check_instant(job: Job, now: Instant) -> None:
    """Refuse a job that is due once, at an instant so long past that it would never run."""
    if not isinstance(job.schedule, Once) or not is_too_late(job, now - job.schedule.execute_at):
        return
    detail = f"{format_instant(job.schedule.execute_at)} is past, so the job would never run"
    hint = f"write an instant to come, such as {example_instant(now)}"
    item = {"pointer": "#/schedule/execute_at", "code": "LU502", "detail": detail, "hint": hint}
    raise ValidationError(detail, hint=hint, errors=(item,))


def in_the_zone_of_the_user(service: Service, document: dict[str, object]) -> None:
    """Put the time zone of the user into a schedule that names none: its civil times are meant there."""
    schedule, user = document.get("schedule"), document.get("user")
    if not isinstance(schedule, Mapping) or "timezone" in schedule:
        return
    found = service.users.get(user) if isinstance(user, str) else None
    if found is None or not found.timezone:
        return
    match schedule.get("type", "once" if "execute_at" in schedule else ""):
        case "cron" | "once":
            document["schedule"] = {**schedule, "timezone": found.timezone}
        case "interval":
            start = schedule.get("start_at")
            with suppress(ValueError):  # what is not an instant is refused later
                at = (
                    parse_instant(start, load_zone(found.timezone)) if isinstance(start, str) else 0
                )
                document["schedule"] = (
                    {**schedule, "start_at": format_instant(at)} if at else schedule
                )


def is_too_fast(rules: DynamicRules, schedule: Schedule) -> bool:
    """Say whether a new job with *schedule* would be refused."""
    gap_ms = least_gap_ms(schedule)
    return gap_ms is not None and gap_ms < rules.min_interval_ms


def _text(duration_ms: int) -> str:
    return f"{duration_ms / SECOND:g} s"


def check_job(service: Service, job: Job, *, has_new_handler: bool = True) -> None:
    """Refuse a handler that may not be named or is not there, an unknown user, and a queue without a worker."""
    check_queue(service, job)
    check_handler(service, job, has_new_handler=has_new_handler)
    check_user(service, job)


def check_handler(service: Service, job: Job, *, has_new_handler: bool = True) -> None:
    """Refuse a handler that may not be named or is not there. It may read files: for a thread."""
    rules = service.dynamic
    if (file := rules.reserved(job.handler)) is not None:
        hint = f"rename it to {file.new_path}"
        item = {"pointer": "#/handler", "code": "LU310", "detail": file.message, "hint": hint}
        raise ValidationError(file.message, hint=hint, errors=(item,))
    refusal = rules.refusal(job.handler)
    there = rules.missing_function(job.handler) if has_new_handler else None
    # A function that has gone is told at once when it is new, and at the next run when it is not.
    is_told = refusal is not None and refusal.is_missing and not (has_new_handler and there is None)
    if refusal is not None and not is_told:
        keep_handler(rules, job.handler)
    if there is not None:
        module, _, function = job.handler.partition(":")
        hint = did_you_mean(close_to(function, there)) or _list_of(module, there)
        detail = f"{echo(module)} has no function {echo(function)}"
        item = {"pointer": "#/handler", "code": "LU301", "detail": detail, "hint": hint}
        raise ValidationError(detail, hint=hint, errors=(item,))


def check_queue(service: Service, job: Job) -> None:
    """Refuse a queue that no worker serves."""
    mistake = queue_mistake(job, service.dynamic.queues)
    if mistake is not None:
        raise refusal("job", [mistake])


def check_user(service: Service, job: Job) -> None:
    """Refuse a user who is not known."""
    if job.user is not None and service.users.get(job.user) is None:
        known = close_to(job.user, service.users.ids_near(job.user))
        hint = did_you_mean(known) or f"add users.d/{job.user}.yaml, or luad users add {job.user}"
        detail = f"the user {echo(job.user)} does not exist"
        item = {"pointer": "#/user", "code": "LU404", "detail": detail, "hint": hint}
        raise ValidationError(detail, hint=hint, errors=(item,))


def _list_of(module: str, functions: Sequence[str]) -> str:
    some = ", ".join(functions[:_MOST_LISTED])
    return f"it has {some}" if some else f"write it into handlers/{module.replace('.', '/')}.py"
