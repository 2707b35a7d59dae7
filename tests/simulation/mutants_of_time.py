"""Mutants of what is due when: calendars, clocks, the wheel, catch-up, reloads."""

from __future__ import annotations

from typing import Final

from mutants import CRASH, Mutant

MUTANTS: Final = (
    # --- catch-up ---
    Mutant(
        "catch-up-runs-all",
        "robfig/cron 26, APScheduler 526",
        "After a gap every missed occurrence runs, and not only the latest.",
        ("I7",),
        "luad.core.policy:due_until",
        (("case CatchUp.ALL:", "case CatchUp.ALL | CatchUp.LATEST:"),),
    ),
    Mutant(
        "catch-up-without-a-cap",
        "node-cron 492 and 509, APScheduler 1066",
        "`catch_up: all` runs thousands of missed occurrences, and not as many as it may.",
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
        "An occurrence runs although it is later than its window lets it be.",
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
        "Whoever has less jitter than another may be later than the window.",
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
        "A single late occurrence runs whatever its window and its policy say.",
        ("I7",),
        "luad.core.engine:Engine._fire",
        (("if is_single and is_on_time(entry.job, now - first.fire_at):", "if is_single:"),),
    ),
    Mutant(
        "missed-in-silence",
        "APScheduler 182",
        "What came too late to run is dropped without a row.",
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
        "After a long outage what lies before the window has no row.",
        ("I4",),
        "luad.core.policy:due_until",
        (("return Due((last,), too_late + earlier,", "return Due((last,), earlier,"),),
    ),
    Mutant(
        "coalesced-in-silence",
        "yacron: any stall of a minute",
        "Of several missed occurrences one runs, and the others have no row.",
        ("I4",),
        "luad.core.policy:due_until",
        (("return Due((last,), too_late + earlier,", "return Due((last,), too_late,"),),
    ),
    # --- when ---
    Mutant(
        "early",
        "kubernetes 127678",
        "A run starts before its time: its jitter is taken off, and not put on.",
        ("I1",),
        "luad.core.schedule:fire_at",
        (("return scheduled_for + jitter_of", "return scheduled_for - jitter_of"),),
    ),
    Mutant(
        "jitter-beyond-the-next",
        "systemd RandomizedDelaySec",
        "Jitter may carry a run beyond the next occurrence.",
        ("I1", "I2", "I4"),
        "luad.core.schedule:jitter_of",
        (("jitter_ms if gap_ms is None else min(jitter_ms, gap_ms)", "jitter_ms"),),
    ),
    Mutant(
        "drifting-interval",
        "home-made schedulers",
        "An interval counts from when its run was due to be looked at, and not along its grid.",
        ("I4", "I6"),
        "luad.core.engine:Engine._fire",
        (
            (
                "    self._state.timetable.rearm(group, last.scheduled_for)",
                "    group.grid_at = now\n    self._state.timetable.rearm(group, last.scheduled_for)",
            ),
        ),
    ),
    Mutant(
        "grid-anew-at-restart",
        "River: periodic jobs in memory, yacron 67",
        "A restart lets an interval begin anew.",
        ("I4", "I6"),
        "luad.core.engine:Engine.restore",
        (("progress.grid_at,", "now.wall,"),),
    ),
    Mutant(
        "grid-anew-at-any-edit",
        "dkron: job rescheduled on every page refresh",
        "An edit of anything lets an interval begin anew.",
        ("I4", "I6"),
        "luad.core.jobset:JobSet._replace",
        (
            (
                "if old.schedule != new.job.schedule or old.enabled != new.job.enabled:",
                "if old is not new.job:",
            ),
        ),
    ),
    Mutant(
        "gap-skipped",
        "robfig/cron 541, rundeck 3234",
        "A fixed time that the clock jumps over in spring does not run that day.",
        ("I4",),
        "luad.core.cron:_first_match",
        (
            ("if skipped and not rule.follows_real_time:", "if False:"),
            ("if rule.follows_real_time and (skipped", "if (skipped"),
        ),
    ),
    Mutant(
        "gap-an-hour-off",
        "sentry 66868, celery beat 9653",
        "A fixed time that the clock jumps over in spring runs by the offset of before.",
        ("I1", "I4", "I6"),
        "luad.core.cron:_first_match",
        (("return start\n", "return civil - offset + 3_600_000\n"),),
    ),
    Mutant(
        "overlap-twice",
        "celery beat 1604",
        "A fixed time runs in both passes of the hour that autumn repeats.",
        ("I3", "I4", "I6"),
        "luad.core.cron:_first_match",
        (("if reached > seen and not rule.follows_real_time:", "if False:"),),
    ),
    Mutant(
        "overlap-silent",
        "celery beat 10107",
        "What follows real time stands still in the hour that autumn repeats.",
        ("I4",),
        "luad.core.cron:_first_match",
        (("if reached > seen and not rule.follows_real_time:", "if reached > seen:"),),
    ),
    # --- the clock is stepped ---
    Mutant(
        "silent-after-a-step-back",
        "APScheduler 351 and 752",
        "After the clock was set back a job waits until it is again where it was.",
        ("I2", "I4", "I15"),
        "luad.core.engine:Engine._step_clock",
        (("self._state.follow_clock_back(entry, now)", "pass"),),
    ),
    Mutant(
        "interval-follows-the-wall-clock",
        "APScheduler 339",
        "A step of the clock moves an interval's runs nearer, or away.",
        ("I2", "I4", "I6", "I15"),
        "luad.core.engine:Engine._step_clock",
        (("entry.grid_at += shift", "pass"), ("entry.handled_until += shift", "pass")),
    ),
    Mutant(
        "step-unnoticed",
        "APScheduler 794",
        "A step of the clock is not noticed.",
        ("I2", "I4", "I15"),
        "luad.core.clockwork:ClockWatch.notice",
        (("if abs(step_ms) < STEP_MS:", "if True:"),),
    ),
    Mutant(
        "retries-forgotten-at-a-step",
        "APScheduler 794",
        "A step of the clock loses the next attempts that wait for their time.",
        ("I2", "I4", "I15"),
        "luad.core.engine:Engine._step_clock",
        (("self._state.runs.shift_retries(step_ms, self._state.timetable)", "pass"),),
    ),
    # --- the wheel and the timetable ---
    Mutant(
        "cascade-loses-one",
        "Tron 59",
        "An entry is lost when the wheel moves a slot one level down.",
        ("I2", "I4", "I15"),
        "luad.core.wheel:Wheel._deal",
        (("self._mark(ticks[split:])", "self._mark(ticks[split + 1 :])"),),
    ),
    Mutant(
        "slot-passed-over",
        "APScheduler 1036",
        "The slot that the hand enters is not dealt out.",
        ("I2", "I4", "I15", CRASH),
        "luad.core.wheel:Wheel._empty_levels",
        (("reached = (2 << ((leaf >> shift)", "reached = (1 << ((leaf >> shift)"),),
    ),
    Mutant(
        "wakes-late",
        "typeclaw 1446",
        "The wheel is woken for the last entry of a slot, and not for the first.",
        ("I2",),
        "luad.core.wheel:Wheel.next_due",
        (("return min(ticks) if", "return max(ticks) if"),),
    ),
    Mutant(
        "due-now-stays",
        "APScheduler 1036",
        "What is due at the very tick that the hand reaches stays where it is.",
        ("I2", "I15", CRASH),
        "luad.core.wheel:Wheel._empty_open_leaf",
        (("if tick > self.now:", "if tick >= self.now:"),),
    ),
    Mutant(
        "joined-too-late",
        "dkron 998, supercronic 150",
        "Whoever joins a schedule that others have misses what he still waits for.",
        ("I4",),
        "luad.core.timetable:Timetable.add",
        (("elif after < group.after:", "elif False:"),),
    ),
    Mutant(
        "leaves-with-the-schedule",
        "dkron 1210",
        "A job that is removed takes the schedule with it that others have as well.",
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
        "Looking at a job counts as having handled everything up to now.",
        ("I4",),
        "luad.core.ledger:Ledger.apply",
        (("entry.handled_until = due.handled_until", "entry.handled_until = now"),),
    ),
    # --- reload ---
    Mutant(
        "edit-fires-the-past",
        "kubernetes 121763, csi-addons 374",
        "A new schedule looks back to before it was written.",
        ("I4", "I6", "I7"),
        "luad.core.jobset:JobSet._replace",
        (("entry.handled_until = now", "pass"),),
    ),
    Mutant(
        "edit-drops-the-due",
        "dkron 1210, supercronic 150",
        "What an edited schedule was still to come to has no row.",
        ("I4",),
        "luad.core.ledger:Ledger.settle",
        (("if not entry.job.enabled:", "if entry.job.enabled:"),),
    ),
    Mutant(
        "broken-file-loses-its-jobs",
        "cronie: process_crontab, konf 1112",
        "A file that breaks takes the last good version of its job with it.",
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
        "After a restart a job looks back to when it was installed.",
        ("I4", "I7"),
        "luad.core.engine:Engine.restore",
        (("progress.handled_until,", "row.installed_at,"),),
    ),
    Mutant(
        "past-once-dropped",
        "dkron 460",
        "A `once` whose instant has just passed is dropped without a row.",
        ("I4",),
        "luad.core.jobset:_before_first",
        (("return min(now, job.schedule.execute_at - 1)", "return now"),),
    ),
)
