"""The schedule as a calendar."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from luad.api.json.calendar import Entry, calendar


def unfolded(text: str) -> list[str]:
    return text.replace("\r\n ", "").split("\r\n")


async def test_the_schedule_is_a_calendar(api: Any, daemon: Any, kit: Any) -> None:
    await daemon.install(kit.make_job(description="Tidy up; then, rest"))
    answer = await api.get("/v1/schedule?format=ics&limit=2")
    assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
    lines = unfolded(answer.body.decode())
    job_id = daemon.job("tidy").job_id
    assert lines[:3] == ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//luad//schedule//EN"]
    assert lines[3:10] == [
        "BEGIN:VEVENT",
        f"UID:{job_id}-1795349700000@luad",
        "DTSTAMP:20261122T120000Z",
        "DTSTART:20261122T121500Z",
        "SUMMARY:tidy",
        "DESCRIPTION:Tidy up\\; then\\, rest",
        "TRANSP:TRANSPARENT",
    ]
    assert lines.count("BEGIN:VEVENT") == lines.count("END:VEVENT") == 2
    assert lines[-2:] == ["END:VCALENDAR", ""]
    assert (await api.get("/v1/schedule?format=xml")).status == 422
    assert "next" in (await api.get("/v1/schedule?format=json")).json


@given(st.text(max_size=300), st.text(max_size=300))
def test_no_text_breaks_out_of_its_line(title: str, text: str) -> None:
    found = calendar([Entry("a@luad", 0, title, text)], 0)
    parts = found.split("\r\n")
    assert all(len(part.encode("utf-8", "replace")) <= 75 for part in parts)
    assert "\n" not in found.replace("\r\n", "")
    lines = unfolded(found)
    names = [line.partition(":")[0] for line in lines if line]
    assert names.count("BEGIN") == names.count("END") == 2
    assert set(names) <= {
        "BEGIN",
        "END",
        "VERSION",
        "PRODID",
        "UID",
        "DTSTAMP",
        "DTSTART",
        "SUMMARY",
        "DESCRIPTION",
        "TRANSP",
    }
