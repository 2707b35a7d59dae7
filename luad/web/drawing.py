"""Small pictures of runs, as SVG: a strip, a chart, a meter, a spark line.

Rule: pure. Geometry is in attributes, colour in classes; the policy forbids styles. Colour never says
something alone: a failed bar is as high as its box and notched, a skipped one low, a running one an outline.
"""

from __future__ import annotations

from itertools import pairwise
from math import sqrt
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup

from luad.web.times import Times, count, duration, parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

BAD: Final = frozenset({"failed", "timed_out", "lost"})
LOW: Final = frozenset({"skipped", "missed", "cancelled"})
OPEN: Final = frozenset({"running", "retrying", "queued"})
_STEP: Final = 5
_HEIGHT: Final = 18
_TEXT_EACH: Final = 120
"""The least distance of two times below a chart."""
_MOST_WORDS: Final = 4
_LEAST_SHARE: Final = 22
"""The least distance of two attempts in percent, if each has words below it."""
_AT_END: Final = 85


def usual(durations: Sequence[int]) -> tuple[int, int] | None:
    """Return the fifth and the 95th percentile of durations; None for fewer than three."""
    if len(durations) < 3:
        return None
    ordered = sorted(durations)
    last = len(ordered) - 1
    return ordered[round(last * 0.05)], ordered[round(last * 0.95)]


def usual_text(band: tuple[int, int] | None) -> str:
    """Return a band of durations in words; empty without one."""
    if band is None:
        return ""
    low, high = (duration(each / 1000) for each in band)
    if low == high:
        return low
    value, _, unit = low.partition(" ")
    return f"{value if high.endswith(f' {unit}') else low} to {high}"


def _durations(runs: Sequence[Mapping[str, Any]]) -> list[int]:
    return [
        each["duration_ms"]
        for each in runs
        if each["status"] == "succeeded" and each["duration_ms"] is not None
    ]


def _label(runs: Sequence[Mapping[str, Any]]) -> str:
    bad = sum(each["status"] in BAD for each in runs)
    low = sum(each["status"] in LOW for each in runs)
    words = f"last {count(len(runs), 'run')}: {bad} failed, {low} skipped"
    band = usual_text(usual(_durations(runs)))
    return f"{words}; usually {band}" if band else words


def strip(runs: Sequence[Mapping[str, Any]], most: int = 40) -> Markup:
    """Return the strip of *runs*, the oldest first."""
    shown = runs[-most:]
    if not shown:
        return Markup('<span class="muted small">no runs yet</span>')
    band = usual(_durations(runs))
    top = max(band[1] if band else max(_durations(runs), default=1), 1)
    ok, bad, low, rest = [], [], [], []
    left = (most - len(shown)) * _STEP
    for number, run in enumerate(shown):
        x = left + number * _STEP
        status = run["status"]
        if status in BAD:
            bad.append(f"M{x} 0l2 5 2-5v{_HEIGHT}h-4z")
        elif status in LOW:
            low.append(f"M{x} {_HEIGHT - 3}h3v3h-3z")
        elif status in OPEN:
            rest.append(f"M{x + 0.5} 5.5h2v12h-2z")
        else:
            high = max(2, min(14, round(11 * sqrt((run["duration_ms"] or 0) / top))))
            ok.append(f"M{x} {_HEIGHT - high}h3v{high}h-3z")
    paths = _paths(("s-ok", ok), ("s-skip", low), ("s-bad", bad), ("s-run", rest))
    width = most * _STEP - 1
    return Markup(
        '<svg class="strip" viewBox="0 0 {} 18" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(width, _label(runs), paths)


def _paths(*kinds: tuple[str, Sequence[str]]) -> Markup:
    found = [
        Markup('<path class="{}" d="{}"/>').format(kind, "".join(parts))
        for kind, parts in kinds
        if parts
    ]
    return Markup("").join(found)


def chart(runs: Sequence[Mapping[str, Any]], times: Times, most: int = 200) -> Markup:
    """Return the chart of a job's runs with an axis of durations, the newest at the right."""
    shown = list(reversed(runs[:most]))
    band = usual(_durations(runs))
    top_s = _round_up(max([*_durations(runs), 100]) / 1000)
    scale = 112 / (top_s * 1000)
    left = 2000 - len(shown) * 6
    ok, bad, low, rest = [], [], [], []
    for number, run in enumerate(shown):
        x, status = left + number * 6, run["status"]
        if status in BAD:
            bad.append(f"M{x} 0l2 7 2-7v112h-4z")
        elif status in LOW:
            low.append(f"M{x} 106h4v6h-4z")
        elif status in OPEN:
            rest.append(f"M{x + 0.5} 40.5h3v71h-3z")
        else:
            high = max(2.0, (run["duration_ms"] or 0) * scale)
            ok.append(f"M{x} {112 - high:.1f}h4v{high:.1f}h-4z")
    pieces = [
        _band(band, scale),
        Markup('<path class="s-grid" d="M0 .5h2000M0 56.5h2000M0 112.5h2000"/>'),
    ]
    pieces.append(_ticks(shown, left, times))
    pieces.append(_paths(("s-ok", ok), ("s-skip", low), ("s-bad", bad), ("s-run", rest)))
    svg = Markup(
        '<svg viewBox="0 0 2000 132" preserveAspectRatio="xMaxYMin slice" role="img" aria-label="{}">{}</svg>'
    ).format(_label(runs), Markup("").join(pieces))
    return Markup(
        '<div class="chart"><div class="axis" aria-hidden="true"><span>{}</span><span>{}</span><span>0</span></div>{}</div>'
    ).format(duration(top_s), duration(top_s / 2), svg)


def _band(band: tuple[int, int] | None, scale: float) -> Markup:
    if band is None:
        return Markup("")
    y, height = 112 - band[1] * scale, max(1.0, (band[1] - band[0]) * scale)
    return Markup('<rect class="s-band" width="2000" y="{:.1f}" height="{:.1f}"/>').format(
        y, height
    )


def _ticks(shown: Sequence[Mapping[str, Any]], left: int, times: Times) -> Markup:
    found, latest = [], -_TEXT_EACH
    day = None
    for number, run in enumerate(shown):
        x = left + number * 6
        local = times.local(run.get("started_at") or run["scheduled_for"])
        is_new = day is not None and local.date() != day
        day = local.date()
        if (is_new or number == 0) and x - latest >= _TEXT_EACH and x < 1900:
            latest = x
            text = f"{local:%a} {local.day}" if is_new else f"{local:%a} {local.day}, {local:%H:%M}"
            found.append(
                Markup(
                    '<path class="s-grid" d="M{}.5 0v118"/><text class="s-text" x="{}" y="128">{}</text>'
                ).format(x, x + 4, text)
            )
    return Markup("").join(found)


def _round_up(seconds: float) -> float:
    steps = (
        0.1, 0.2, 0.5, 1, 2, 3, 4, 6, 10, 16, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 21_600
    )  # fmt: skip
    return next((step for step in steps if step >= seconds), seconds)


def meter(running_ms: int, band: tuple[int, int] | None) -> Markup:
    """Return a bar of how long a run has taken, with a mark where it usually ends."""
    high = band[1] if band else 0
    top = max(high * 1.2, running_ms, 1)
    width = round(100 * running_ms / top)
    mark = (
        Markup('<rect class="usual" x="{}" width="1" height="6"/>').format(round(100 * high / top))
        if high
        else Markup("")
    )
    kind = "meter over" if high and running_ms > high else "meter"
    return Markup(
        '<svg class="{}" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="back" width="100" height="6"/><rect class="bar" width="{}" height="6"/>{}</svg>'
    ).format(kind, width, mark)


def spark(hours: Sequence[Mapping[str, Any]]) -> Markup:
    """Return the runs of the last hours; those that failed stand on top of the bars."""
    shown = hours[-24:]
    top = max((each["total"] for each in shown), default=0)
    if not top:
        return Markup("")
    ok, bad = [], []
    for number, each in enumerate(shown):
        x, high = number * 4, each["total"] / top * 22
        failed = each["failed"] / top * 22
        ok.append(f"M{x} {24 - high:.1f}h3v{high:.1f}h-3z")
        if failed:
            failed = max(failed, 3)
            bad.append(f"M{x} {max(0, 24 - high):.1f}h3v{failed:.1f}h-3z")
    return Markup('<svg class="spark" viewBox="0 0 95 24" aria-hidden="true">{}</svg>').format(
        _paths(("s-ok", ok), ("s-bad", bad))
    )


def attempts(parts: Sequence[Mapping[str, Any]]) -> Markup:
    """Return the attempts of a run on a line of time; to scale where their words have the room."""
    shares = _shares([parse(part["started_at"]) for part in parts])
    pieces = [Markup('<line class="s-wait" x1="0" x2="100%" y1="10.5" y2="10.5"/>')]
    for number, (part, share) in enumerate(zip(parts, shares, strict=True)):
        is_last = share > _AT_END
        shape, offset = part["shape"], -10 if is_last else 0
        mark = {
            "bad": f"M{offset} 2l5 6 5-6v16h-10z",
            "ok": f"M{offset} 2h10v16h-10z",
            "run": f"M{offset} 2.5h9v15h-9z",
        }[shape]
        has_words = len(parts) <= _MOST_WORDS or number in (0, len(parts) - 1)
        anchor = Markup(' text-anchor="end"') if is_last else Markup("")
        words = Markup('<text y="38"{}>{}</text>').format(anchor, part["text"])
        pieces.append(
            Markup(
                '<svg x="{:.1f}%" overflow="visible"><path class="s-{}" d="{}"/>{}</svg>'
            ).format(share, shape, mark, words if has_words else "")
        )
    return Markup('<svg aria-hidden="true">{}</svg>').format(Markup("").join(pieces))


def _shares(starts: Sequence[datetime]) -> Sequence[float]:
    """Return the places of instants in percent of a line: at even distances if two of few are too near."""
    whole = max((starts[-1] - starts[0]).total_seconds(), 0.001)
    shares = [(each - starts[0]).total_seconds() / whole * 100 for each in starts]
    last = len(starts) - 1
    near = any(after - before < _LEAST_SHARE for before, after in pairwise(shares))
    if near and 0 < last < _MOST_WORDS:
        return [number / last * 100 for number in range(last + 1)]
    return shares
