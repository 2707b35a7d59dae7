"""What needs a look, as the pages show it: icon, tone, words and the page behind it.

Rule: pure; items of `GET /v1/attention` in, values for templates out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from luad.web.drawing import BAD
from luad.web.rows import without_run

if TYPE_CHECKING:
    from luad.web.inside import Json
    from luad.web.times import Times

TEXT: Final = 150
OF_FAILURES: Final = ("failing", "paused_by_failures")
"""Kinds that each failed run of a job belongs to."""

UNKNOWN: Final = ("warn", "skip")
"""The icon and the tone of a kind of trouble that has no icon of its own."""
ICONS: Final = {
    "failing": ("failed", "bad"),
    "daemon": ("failed", "bad"),
    "slow": ("slow", "skip"),
    "late": ("slow", "skip"),
    "queue": ("waiting", "bad"),
    "missed": ("skipped", "skip"),
    "delivery": ("mail", "skip"),
    "paused_by_failures": ("paused", "skip"),
}
WORDS: Final = {
    "failing": "Failing",
    "daemon": "Daemon",
    "slow": "Slow",
    "late": "Waiting",
    "queue": "Queue",
    "missed": "Missed",
    "delivery": "Delivery",
    "paused_by_failures": "Paused",
    "file": "File",
}


def item_of(item: Json, times: Times) -> Json:
    """Return something that needs a look, with its icon and the page behind it."""
    name, tone = ICONS.get(item["kind"], UNKNOWN)
    page = f"/jobs/{quote(item['job'])}" if item["job"] else "/system"
    if item["kind"] == "delivery" and item["user_id"]:
        page = f"/users/{quote(item['user_id'])}"
    if item["kind"] == "file":
        page = "/system"
    since = f"since {times.short(item['since'])}" if item["since"] else ""
    many = f"{item['count']} times" if item["kind"] == "failing" and item["count"] > 1 else ""
    return {
        **item,
        "text": _text(item),
        "word": WORDS.get(item["kind"], "Look"),
        "icon": name,
        "tone": tone,
        "page": page,
        "lead": " ".join(filter(None, (many, since))),
        "known": _known(item["acknowledged"], times),
    }


def _text(item: Json) -> str:
    """Return what is wrong in one line: an error without its module, a file without its folder."""
    text = str(item["text"]).partition("\n")[0]
    if item["kind"] == "paused_by_failures":
        return without_run(text)
    if item["kind"] == "failing":
        name, colon, message = text.partition(": ")
        text = name.rpartition(".")[2] + colon + message
    if item["kind"] == "file":
        place, colon, message = text.partition(": ")
        text = place.rpartition("/")[2] + colon + message
    return text if len(text) <= TEXT else text[:TEXT] + "…"


def of_job(attention: Json, job_id: str, times: Times) -> list[Json]:
    """Return what needs a look about a job, also what is acknowledged."""
    return [item_of(each, times) for each in attention["attention"] if each["job_id"] == job_id]


def of_run(attention: Json, run: Json, times: Times) -> list[Json]:
    """Return what needs a look about a run: itself, and its job if the run is one of its failures."""
    is_bad = run["status"] in BAD
    return [
        each
        for each in of_job(attention, run["job_id"], times)
        if each["run_id"] == run["id"] or (is_bad and each["kind"] in OF_FAILURES)
    ]


def _known(known: Json, times: Times) -> str:
    """Return who acknowledged it, when and why; empty if it is not acknowledged."""
    if not known:
        return ""
    parts = [f"acknowledged by {known['author'] or 'a client'}, {times.short(known['at'])}"]
    if known["until"]:
        parts.append(f"until {times.short(known['until'])}")
    return ", ".join(parts) + (f": “{known['note']}”" if known["note"] else "")
