"""The judgement about silent workers: who is lost, who is handed over again, and who must be left alone."""

from __future__ import annotations

from dataclasses import replace

from luad.cluster.reaping import Contact, HandOverState, Reaper, RunningAttempt, Verdict

LOST_AFTER = 30_000
NOW = 1_000_000
LAUNCHED = RunningAttempt("run_a", 1, "life_1", NOW, HandOverState.DOING, NOW)


def in_touch() -> Contact:
    contact = Contact()
    for elapsed in range(0, 100_001, 1_000):
        contact.note(elapsed)
    return contact


def judge(*running: RunningAttempt, now: int = NOW) -> dict[tuple[str, int], Verdict]:
    return dict(Reaper(LOST_AFTER).judge(running, now, 100_000, in_touch()))


def test_an_attempt_is_lost_once_its_worker_has_been_silent_for_longer_than_lost_after() -> None:
    assert judge(LAUNCHED, now=NOW + LOST_AFTER) == {}
    assert judge(LAUNCHED, now=NOW + LOST_AFTER + 1) == {("run_a", 1): Verdict.LOST}
    assert judge(replace(LAUNCHED, seen_at=None)) == {("run_a", 1): Verdict.LOST}


def test_a_store_whose_clock_went_back_hides_nobody_who_is_silent() -> None:
    behind = NOW - 3_600_000
    reaper, contact = Reaper(LOST_AFTER), Contact()
    taken = RunningAttempt("run_b", 1, None, None, HandOverState.DOING, NOW)
    for elapsed in range(0, LOST_AFTER + 1, 1_000):
        contact.note(elapsed)
        verdicts = reaper.judge([LAUNCHED, taken], behind + elapsed, elapsed, contact)
        assert verdicts == {}
    contact.note(LOST_AFTER + 1_000)
    alive = replace(LAUNCHED, run_id="run_c", seen_at=behind + LOST_AFTER)
    running = [LAUNCHED, taken, alive]
    verdicts = reaper.judge(running, behind + LOST_AFTER + 1_000, LOST_AFTER + 1_000, contact)
    assert verdicts == {("run_a", 1): Verdict.LOST, ("run_b", 1): Verdict.UNTOUCHED}


def test_an_attempt_whose_end_is_in_the_inbox_is_not_judged() -> None:
    silent = replace(LAUNCHED, seen_at=0, hand_over=HandOverState.OVER, has_report=True)
    assert judge(silent) == {}


def test_an_attempt_that_waits_for_a_worker_waits_as_long_as_it_takes() -> None:
    waiting = RunningAttempt("run_a", 1, None, None, HandOverState.WAITING)
    assert judge(waiting, now=NOW + 100 * LOST_AFTER) == {}


def test_what_a_fetcher_took_and_nobody_launched_is_handed_over_again() -> None:
    taken = RunningAttempt("run_a", 1, None, None, HandOverState.DOING, NOW)
    assert judge(taken, now=NOW + LOST_AFTER) == {}
    assert judge(taken, now=NOW + LOST_AFTER + 1) == {("run_a", 1): Verdict.UNTOUCHED}


def test_a_hand_over_that_is_over_without_a_report_must_be_seen_so_twice() -> None:
    over = replace(LAUNCHED, hand_over=HandOverState.OVER)
    reaper, contact = Reaper(LOST_AFTER), in_touch()
    assert reaper.judge([over], NOW, 100_000, contact) == {}
    for elapsed in range(101_000, 106_000, 1_000):
        contact.note(elapsed)
    assert reaper.judge([over], NOW, 104_999, contact) == {}
    assert reaper.judge([over], NOW, 105_000, contact) == {("run_a", 1): Verdict.LOST}


def test_seen_twice_means_without_a_time_at_which_it_was_not_so() -> None:
    over = replace(LAUNCHED, hand_over=HandOverState.OVER)
    reaper, contact = Reaper(LOST_AFTER), in_touch()
    reaper.judge([over], NOW, 100_000, contact)
    reaper.judge([replace(over, has_report=True)], NOW, 100_500, contact)
    contact.note(101_000)
    assert reaper.judge([over], NOW, 101_000, contact) == {}


def test_nobody_is_judged_after_a_gap_in_the_contact_until_lost_after_has_passed() -> None:
    """Heartbeats hang with every other commit: the worker may be as well as ever."""
    silent = replace(LAUNCHED, seen_at=0)
    reaper, contact = Reaper(LOST_AFTER), in_touch()
    assert reaper.judge([silent], NOW, 100_000, contact)
    contact.note(102_001)
    for elapsed in range(102_001, 102_001 + LOST_AFTER, 1_000):
        contact.note(elapsed)
        assert reaper.judge([silent], NOW, elapsed, contact) == {}
    contact.note(102_001 + LOST_AFTER)
    assert reaper.judge([silent], NOW, 102_001 + LOST_AFTER, contact)


def test_a_node_that_was_not_in_touch_at_all_judges_nobody() -> None:
    silent = replace(LAUNCHED, seen_at=0)
    assert Reaper(LOST_AFTER).judge([silent], NOW, 100_000, Contact()) == {}
    contact = in_touch()
    assert Reaper(LOST_AFTER).judge([silent], NOW, 103_000, contact) == {}, "no pulse came since"
    contact.lose()
    contact.note(100_500)
    assert Reaper(LOST_AFTER).judge([silent], NOW, 100_500, contact) == {}
