"""Moments in words: what is read, what is refused, and what the refusal says to write."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luad.core.model import SECOND
from luad.core.phrase import Moment, PhraseError, read_phrase

LONDON = ZoneInfo("Europe/London")
NOW = int(datetime(2026, 11, 30, 8, 15, tzinfo=LONDON).timestamp()) * SECOND  # a Monday


def read(text: str, zone: ZoneInfo = LONDON, now: int = NOW) -> str:
    moment = read_phrase(text, zone, now)
    return datetime.fromtimestamp(moment.instant // SECOND, zone).isoformat(" ", "seconds")


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("now", "2026-11-30 08:15:00+00:00"),
        ("10m", "2026-11-30 08:25:00+00:00"),
        ("in 10 minutes", "2026-11-30 08:25:00+00:00"),
        ("In  10 Minutes", "2026-11-30 08:25:00+00:00"),
        ("1h 30m", "2026-11-30 09:45:00+00:00"),
        ("1h30m", "2026-11-30 09:45:00+00:00"),
        ("in an hour", "2026-11-30 09:15:00+00:00"),
        ("in 1 hour and 30 minutes", "2026-11-30 09:45:00+00:00"),
        ("2 days, 3 hours", "2026-12-02 11:15:00+00:00"),
        ("in 2w", "2026-12-14 08:15:00+00:00"),
        ("90s", "2026-11-30 08:16:30+00:00"),
        ("today 18:00", "2026-11-30 18:00:00+00:00"),
        ("tomorrow 09:00", "2026-12-01 09:00:00+00:00"),
        ("tomorrow at 9am", "2026-12-01 09:00:00+00:00"),
        ("tomorrow at 9:30 pm", "2026-12-01 21:30:00+00:00"),
        ("tomorrow 12am", "2026-12-01 00:00:00+00:00"),
        ("fri 17:00", "2026-12-04 17:00:00+00:00"),
        ("Friday at noon", "2026-12-04 12:00:00+00:00"),
        ("mon 08:16", "2026-11-30 08:16:00+00:00"),
        ("mon 08:15", "2026-12-07 08:15:00+00:00"),
        ("2026-12-25 09:00", "2026-12-25 09:00:00+00:00"),
        ("2026-12-25T09:00:30", "2026-12-25 09:00:30+00:00"),
        ("2026-12-25T09:00:00Z", "2026-12-25 09:00:00+00:00"),
        ("2026-12-25 09:00+02:00", "2026-12-25 07:00:00+00:00"),
    ],
)
def test_a_phrase_is_a_moment(text: str, means: str) -> None:
    assert read(text) == means


def test_the_answer_repeats_weekday_date_time_and_zone() -> None:
    moment = read_phrase("fri 17:00", LONDON, NOW)
    assert moment == Moment(moment.instant, "Fri 4 Dec 2026 17:00 GMT (Europe/London)")


@pytest.mark.parametrize(
    ("text", "message", "nearest"),
    [
        ("03/04", "`03/04` may be a day and a month or a month and a day", "2026-12-01 09:00"),
        ("03.04.2026 09:00", "may be a day and a month", "2026-12-01 09:00"),
        ("5:00", "`5:00` does not say on which day", "tomorrow 05:00"),
        ("05:00", "`05:00` does not say on which day", "tomorrow 05:00"),
        ("17:00", "`17:00` does not say on which day", "today 17:00"),
        ("5pm", "`5pm` does not say on which day", "today 17:00"),
        ("tomorrow 5:00", "`5:00` is not a time", "tomorrow 05:00"),
        ("tomorrow", "`tomorrow` does not say at which time", "tomorrow 09:00"),
        ("friday", "`friday` does not say at which time", "friday 09:00"),
        ("next friday 17:00", "may be this week's day or next week's", "friday 17:00"),
        ("tomorrow midnight", "`midnight` is not a time", "tomorrow 00:00"),
        ("today 08:00", "`today 08:00` has passed", "tomorrow 08:00"),
        ("2026-12-25", "`2026-12-25` does not say at which time", "2026-12-25 09:00"),
        ("2026-13-25 09:00", "is not a date", "2026-12-01 09:00"),
        ("2026-12-25 25:00", "`25:00` is not a time", "2026-12-25 09:00"),
        ("tommorow 09:00", "`tommorow 09:00` is not a phrase for a moment", "tomorrow 09:00"),
        ("in 10 minuts", "`in 10 minuts` is not a phrase for a moment", "in 10 minutes"),
        ("30m 1h", "is not a phrase for a moment", "in 10 minutes"),
        ("soon", "`soon` is not a phrase for a moment", "in 10 minutes"),
        ("", "this is not a phrase for a moment", "in 10 minutes"),
        ("x" * 65, "this is not a phrase for a moment", "in 10 minutes"),
        ("in 999999999 weeks", "is more than 100 years", "a shorter delay"),
    ],
)
def test_whatever_could_mean_two_moments_is_refused(text: str, message: str, nearest: str) -> None:
    with pytest.raises(PhraseError) as caught:
        read_phrase(text, LONDON, NOW)
    assert message in caught.value.message
    assert nearest in caught.value.nearest


def test_a_civil_time_that_the_clocks_skip_or_repeat_is_refused() -> None:
    with pytest.raises(PhraseError, match="does not exist: the clocks skip it") as caught:
        read_phrase("2027-03-28 01:30", LONDON, NOW)
    assert "2027-03-28 02:30+01:00" in caught.value.nearest
    with pytest.raises(PhraseError, match="exists twice: the clocks go back") as caught:
        read_phrase("2026-10-25 01:30", LONDON, NOW)
    assert "2026-10-25 01:30+00:00 or 2026-10-25 01:30+01:00" in caught.value.nearest


def read_or_refuse(text: str) -> Moment | PhraseError:
    try:
        return read_phrase(text, LONDON, NOW)
    except PhraseError as error:
        return error


@given(st.text(max_size=70))
def test_no_text_raises_anything_else(text: str) -> None:
    found = read_or_refuse(text)
    assert found.nearest if isinstance(found, PhraseError) else found.text


FIRST = ["today", "tomorrow", "fri", "sunday", "in", "at", "2026-12-25", "next", "9999-12-31"]
SECOND_WORDS = ["", "09:00", "5:00", "9am", "noon", "24:00", "10 minutes", "1h 30m", "09:00+99:99"]


@given(
    st.sampled_from(FIRST),
    st.sampled_from(SECOND_WORDS),
    st.sampled_from(["", "Z", "+02:00", "sharp", "09:00"]),
)
def test_no_row_of_known_words_raises_anything_else(first: str, second: str, third: str) -> None:
    found = read_or_refuse(f"{first} {second} {third}")
    assert found.nearest if isinstance(found, PhraseError) else found.text


def test_what_is_suggested_is_itself_a_phrase() -> None:
    for text in (
        "5:00",
        "17:00",
        "tomorrow",
        "fri",
        "today 08:00",
        "2026-12-25",
        "03/04",
        "tommorow 9:00",
    ):
        with pytest.raises(PhraseError) as caught:
            read_phrase(text, LONDON, NOW)
        read_phrase(caught.value.nearest.partition("  ")[2], LONDON, NOW)
