"""`luad why` says what the daemon says."""

from __future__ import annotations

from typing import Any

ANSWER = {
    "job": "tidy",
    "job_id": "job_1",
    "at": None,
    "text": "It did not run on Sun 22 Nov 2026 12:30 UTC: the job was paused.",
    "summary": "Paused: noisy.",
    "run": {"id": "run_1"},
}


def test_why_shows_both_sentences_and_the_run(luad: Any, peer: Any) -> None:
    peer.answers["GET /jobs/tidy/why"] = ANSWER
    result = luad("why", "tidy")
    assert result.code == 0
    assert f"{ANSWER['text']}\n{ANSWER['summary']}\n" in result.out
    result = luad("why", "tidy", "2026-11-22T12:30Z", "--json")
    assert result.json["text"] == ANSWER["text"]
    assert peer.asked[-1].query["at"] == "2026-11-22T12:30:00Z"
