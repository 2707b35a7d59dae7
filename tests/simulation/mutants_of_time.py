"""Mutants of what is due when: calendars, clocks, the wheel, catch-up, reloads."""

from __future__ import annotations

from typing import Final

from simulation.mutants import CRASH, Mutant

MUTANTS: Final = (
    # --- catch-up ---
    Mutant(
        "catch-up-runs-all",
        "robfig/cron 26, APScheduler 526",
        "After an outage every missed occurrence runs instead of only the latest one.",
        ("I7",),
        "luad.core.policy:due_until",
        (("case CatchUp.ALL:", "case CatchUp.ALL | CatchUp.LATEST:"),),
    ),
    Mutant(
        "catch-up-without-a-cap",
        "node-cron 492 and 509, APScheduler 1066",
        "`catch_up: all` runs thousands of missed occurrences instead of at most 100.",
        ("I7",),
        "luad.core.policy:due_until",
        (
            ("last.scheduled_for, CATCH_UP_CAP + 1", "last.scheduled_for, 1_000_000"),
            ("len(nominals) <= CATCH_UP_CAP", "len(nominals) <= 1_000_000"),
        ),
    ),
    Mutant(
        "window-ignored",
        "celery beat 4806",
        "An occurrence runs although it is later than its window allows.",
        ("I7",),
        "luad.core.policy:is_too_late",
        (("return late_ms > _window_ms(job)", "return False"),),
    ),
    Mutant(
        "window-ignored-by-all",
        "APScheduler 35",
        "`catch_up: all` looks back beyond its window.",
        ("I7",),
        "luad.core.policy:due_until",
        (
            (
                "fresh_after = max(after, min(horizon, last.scheduled_for) - 1)",
                "fresh_after = after",
            ),
            (
                "runs = tuple(each for each in fires if not is_too_late(job, now - each.fire_at))",
                "runs = tuple(fires)",
            ),
        ),
    ),
    Mutant(
        "window-by-the-longest-jitter",
        "our own, found here",
        "A job with less jitter than another one may run later than its window allows.",
        ("I7",),
        "luad.core.policy:due_until",
        (
            (
                "runs = tuple(each for each in fires if not is_too_late(job, now - each.fire_at))",
                "runs = tuple(fires)",
            ),
        ),
    ),
    Mutant(
        "on-time-never-ends",
        "Quartz: the misfire threshold",
        "A single late occurrence runs, although its window and its policy forbid it.",
        ("I7",),
        "luad.core.firing:Firing._fire_members",
        (
            (
                "if begun.is_single and is_on_time(entry.job, now - first.fire_at):",
                "if begun.is_single:",
            ),
        ),
    ),
    Mutant(
        "missed-in-silence",
        "APScheduler 182",
        "luad drops an occurrence that is too late, without a row.",
        ("I4",),
        "luad.core.policy:due_until",
        (
            (
                "missed = skip_range(job, grid_at, after, last.scheduled_for, RunState.MISSED, cause)",
                "missed = ()",
            ),
        ),
    ),
    Mutant(
        "look-back-cut-off",
        "kubernetes 42649 and 36311",
        "After a long outage the occurrences before the window have no row.",
        ("I4",),
        "luad.core.policy:due_until",
        (("return Due((last,), too_late + earlier,", "return Due((last,), earlier,"),),
    ),
    Mutant(
        "coalesced-in-silence",
        "yacron: any stall of a minute",
        "Of several missed occurrences the last one runs, and the others have no row.",
        ("I4",),
        "luad.core.policy:due_until",
        (("return Due((last,), too_late + earlier,", "return Due((last,), too_late,"),),
    ),
    # --- when ---
    Mutant(
        "early",
        "kubernetes 127678",
        "A run starts before its time: its jitter is subtracted instead of added.",
        ("I1",),
        "luad.core.schedule:fire_at",
        (("return scheduled_for + jitter_of", "return scheduled_for - jitter_of"),),
    ),
    Mutant(
        "jitter-beyond-the-next",
        "systemd RandomizedDelaySec",
        "Jitter can delay a run beyond the next occurrence.",
        ("I1", "I2", "I4"),
        "luad.core.schedule:jitter_of",
        (("jitter_ms if gap_ms is None else min(jitter_ms, gap_ms)", "jitter_ms"),),
    ),
    Mutant(
        "drifting-interval",
        "home-made schedulers",
        "An interval counts from the time of the last look at the job instead of its grid.",
        ("I4", "I6"),
        "luad.core.firing:Firing._begin",
        (
            (
                "    names = self._state.timetable.begin(group)",
                "    group.grid_at = now\n    names = self._state.timetable.begin(group)",
            ),
        ),
    ),
    Mutant(
        "grid-anew-at-restart",
        "River: periodic jobs in memory, yacron 67",
        "A restart begins the grid of an interval anew.",
        ("I4", "I6"),
        "luad.core.engine:Engine.restore",
        (("stored_entry(row, job)", "stored_entry(row, job); entry.grid_at = now.wall"),),
    ),
    Mutant(
        "grid-anew-at-any-edit",
        "dkron: job rescheduled on every page refresh",
        "Any edit of a job begins the grid of its interval anew.",
        ("I4", "I6"),
        "luad.core.jobset:JobSet._replace",
        (
            (
                "is_other = old.schedule != new.job.schedule",
                "is_other = old is not new.job",
            ),
        ),
    ),
    Mutant(
        "grid-anew-when-enabled",
        "our own, in 0.1.0",
        "A job that is disabled and enabled again begins the grid of its interval anew.",
        ("I4", "I6"),
        "luad.core.jobset:JobSet._replace",
        (("if is_other:\n", "if True:\n"),),
    ),
    Mutant(
        "past-is-overload",
        "our own, in 0.1.0",
        "A `once` job whose instant was past when it was installed is missed with the reason `overload`.",
        ("I7",),
        "luad.core.jobset:JobSet._miss_the_past",
        (("Reason.PAST", "Reason.OVERLOAD"),),
    ),
    Mutant(
        "gap-skipped",
        "robfig/cron 541, rundeck 3234",
        "A fixed time inside the gap in spring does not run that day.",
        ("I4",),
        "luad.core.cron.search:_first_match",
        (
            ("if skipped and not rule.follows_real_time:", "if False:"),
            ("if rule.follows_real_time and (skipped", "if (skipped"),
        ),
    ),
    Mutant(
        "gap-an-hour-off",
        "sentry 66868, celery beat 9653",
        "A fixed time inside the gap in spring runs by the old UTC offset.",
        ("I1", "I4", "I6"),
        "luad.core.cron.search:_first_match",
        (("return start\n", "return civil - offset + 3_600_000\n"),),
    ),
    Mutant(
        "overlap-twice",
        "celery beat 1604",
        "A fixed time runs in both passes of the repeated hour in autumn.",
        ("I3", "I4", "I6"),
        "luad.core.cron.search:_first_match",
        (("if reached > seen and not rule.follows_real_time:", "if False:"),),
    ),
    Mutant(
        "overlap-silent",
        "celery beat 10107",
        "A job that follows real time stops in the repeated hour in autumn.",
        ("I4",),
        "luad.core.cron.search:_first_match",
        (("if reached > seen and not rule.follows_real_time:", "if reached > seen:"),),
    ),
    # --- the clock is stepped ---
    Mutant(
        "silent-after-a-step-back",
        "APScheduler 351 and 752",
        "After the clock was set back, a job waits until the clock shows the old time again.",
        ("I2", "I4", "I15"),
        "luad.core.engine:Engine._step_clock",
        (("self._state.follow_clock_back(entry, now)", "pass"),),
    ),
    Mutant(
        "interval-follows-the-wall-clock",
        "APScheduler 339",
        "A clock step moves the runs of an interval.",
        ("I2", "I4", "I6", "I15"),
        "luad.core.state:State.move_grid",
        (("entry.grid_at += shift", "pass"), ("entry.handled_until = handled_until", "pass")),
    ),
    Mutant(
        "step-unnoticed",
        "APScheduler 794",
        "luad does not notice a clock step.",
        ("I2", "I4", "I15"),
        "luad.core.clock_steps:ClockWatch.notice",
        (("if abs(step_ms) < STEP_MS:", "if True:"),),
    ),
    Mutant(
        "retries-forgotten-at-a-step",
        "APScheduler 794",
        "A clock step loses the retries that wait for their time.",
        ("I2", "I4", "I15"),
        "luad.core.engine:Engine._step_clock",
        (("self._state.runs.shift_retries(step_ms, self._state.timetable)", "pass"),),
    ),
    # --- the wheel and the timetable ---
    Mutant(
        "cascade-loses-one",
        "Tron 59",
        "The wheel loses an entry when it moves a slot one level down.",
        ("I2", "I4", "I15"),
        "luad.core.wheel:Wheel._open_around_hand",
        (
            ("while level and not 0 < len(ticks) <= few:", "while level:"),  # few are enough here
            ("self._deal(slot, ticks[split:]", "self._deal(slot, ticks[split + 1 :]"),
        ),
    ),
    Mutant(
        "slot-passed-over",
        "APScheduler 1036",
        "The wheel does not empty the slot that it enters.",
        ("I2", "I4", "I15", CRASH),
        "luad.core.wheel:Wheel._leave_window",
        (("((2 << entered) - 1)", "((1 << entered) - 1)"),),
    ),
    Mutant(
        "wakes-late",
        "typeclaw 1446",
        "The wheel wakes for the last entry of a slot instead of the first.",
        ("I2",),
        "luad.core.wheel:Wheel._open_next",
        (("sorted(self._window, reverse=True)", "sorted(self._window)"),),
    ),
    Mutant(
        "due-now-stays",
        "APScheduler 1036",
        "An entry that is due at the present tick stays in the wheel.",
        ("I2", "I15", CRASH),
        "luad.core.wheel:Wheel._note_new",
        (("heappush(self._new, tick)", "_ = tick > self.now and heappush(self._new, tick)"),),
    ),
    Mutant(
        "joined-too-late",
        "dkron 998, supercronic 150",
        "A job that joins a schedule of other jobs misses its next occurrence.",
        ("I4",),
        "luad.core.timetable:Timetable.add",
        (("elif after < group.after:", "elif False:"),),
    ),
    Mutant(
        "leaves-with-the-schedule",
        "dkron 1210",
        "The removal of a job removes its schedule from other jobs as well.",
        ("I2", "I4", "I12", "I15"),
        "luad.core.timetable:Timetable.discard",
        (
            (
                "if not group.discard(name):\n        del self._groups[group.key]\n        self._wheel",
                "if not group.discard(name):\n        del self._groups[group.key]\n    self._wheel",
            ),
        ),
    ),
    Mutant(
        "handled-until-now",
        "cronie 197, yacron: any stall of a minute",
        "One look at a job counts as if everything up to now had been handled.",
        ("I4",),
        "luad.core.claims:Claims.apply",
        (("entry.handled_until = due.handled_until", "entry.handled_until = now"),),
    ),
    # --- reload ---
    Mutant(
        "edit-fires-the-past",
        "kubernetes 121763, csi-addons 374",
        "A new schedule looks at instants before the edit.",
        ("I4", "I6", "I7"),
        "luad.core.jobset:JobSet._replace",
        (("entry.handled_until = now", "pass"),),
    ),
    Mutant(
        "edit-drops-the-due",
        "dkron 1210, supercronic 150",
        "An occurrence that was due before the edit of its schedule has no row.",
        ("I4",),
        "luad.core.claims:Claims.skip_rest",
        (("if not entry.job.enabled:", "if entry.job.enabled:"),),
    ),
    Mutant(
        "broken-file-loses-its-jobs",
        "cronie: process_crontab, konf 1112",
        "A file that breaks removes the last good version of its job.",
        ("I4", "I12"),
        "luad.core.plan:make_plan",
        (
            (
                "for name, new in wanted.items():\n",
                "for name, new in [each for each in wanted.items() if not each[1].stale]:\n",
            ),
            ("if name not in wanted]", "if name not in wanted or wanted[name].stale]"),
        ),
    ),
    Mutant(
        "restart-fires-the-past",
        "celery beat 4806, yacron 67",
        "After a restart a job looks back to its installation.",
        ("I4", "I7"),
        "luad.core.stored_entry:stored_entry",
        (("progress.handled_until,", "row.installed_at,"),),
    ),
    Mutant(
        "past-once-dropped",
        "dkron 460",
        "luad drops a `once` job whose instant has just passed, without a row.",
        ("I4",),
        "luad.core.jobset:_before_first",
        (("return min(now, job.schedule.execute_at - 1)", "return now"),),
    ),
)
