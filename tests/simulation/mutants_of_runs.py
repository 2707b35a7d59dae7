"""Mutants of what becomes of a run: claims, overlap, retries, restarts, requests, messages."""

from __future__ import annotations

from typing import Final

from mutants import CRASH, Mutant

MUTANTS: Final = (
    # --- claims and starts ---
    Mutant(
        "claim-not-unique",
        "APScheduler 521, dkron 541",
        "An occurrence may be claimed twice, as after the clock went back.",
        ("I3",),
        "luad.store.values:claim_row",
        (
            (
                '"occurrence": scheduled_for if run.trigger in GUARDED else None,',
                '"occurrence": None,',
            ),
        ),
    ),
    Mutant(
        "starts-before-the-commit",
        "Google's cron: partial launches",
        "What was decided is done first, and written down then.",
        ("I3", "I11"),
        "luad.daemon.loop:Loop._turn",
        (
            ("refused = await self._store(records)", "refused = ()"),
            (
                "self._set_alarm(self._engine.next_wake_up())",
                "refused = await self._store(records)\n    self._set_alarm(self._engine.next_wake_up())",
            ),
        ),
    ),
    Mutant(
        "starts-what-was-not-written",
        "Google's cron: fail closed",
        "When the store cannot be written the loop goes on all the same.",
        ("I3", "I4", "I11"),
        "luad.daemon.loop:Loop._store",
        (("await self._pause(delay_s)", "return ()"),),
    ),
    Mutant(
        "starts-what-was-refused",
        "APScheduler 488, dkron 541",
        "A run starts although the store has refused its claim.",
        ("I3", "I6"),
        "luad.daemon.loop:Loop._carry_out",
        (("if deed.run.id not in refused:", "if True:"),),
    ),
    Mutant(
        "refusal-unheard",
        "APScheduler 521",
        "The store refuses a claim, and does not say so.",
        ("I3", "I6"),
        "luad.store.writes:_claim_runs",
        (
            (
                "return _insert_runs(connection, rows, [each.run.id for each in group], _open_ids)",
                "_insert_runs(connection, rows, [each.run.id for each in group], _open_ids)\n    return []",
            ),
        ),
    ),
    Mutant(
        "refused-and-kept",
        "dkron 377, openclaw 5179",
        "A run whose claim was refused stays open, and in the way of those that follow.",
        ("I4", "I15", CRASH),
        "luad.core.runs:OpenRuns.refused",
        (("if run is not None:", "if run is not None and run.attempt > 1:"),),
    ),
    Mutant(
        "start-not-recorded",
        "Google's cron: partial launches, gitmoot 1245",
        "What has waited is started without a record; a crash starts it again.",
        ("I3", "I6", "I13", CRASH),
        "luad.core.runs:OpenRuns._start",
        (("self._save(run)", "self._runs[run.id] = run"),),
    ),
    Mutant(
        "slot-leaks",
        "APScheduler 423 and 946",
        "A run that ends does not give its slot back.",
        ("I2", "I4", "I15"),
        "luad.core.slots:Slots.free",
        (("self._taken.remove(run_id)", "pass"),),
    ),
    Mutant(
        "one-slot-too-many",
        "a herd at midnight",
        "One run more than may be at once.",
        ("I14",),
        "luad.core.slots:Slots.take",
        (("len(self._taken) >= self.capacity", "len(self._taken) > self.capacity"),),
    ),
    # --- rows ---
    Mutant(
        "skips-in-silence-on-overlap",
        "APScheduler 474 and 423",
        "An occurrence that is not run because of another has no row.",
        ("I4",),
        "luad.core.ledger:Ledger.offer",
        (("self.record_skip(entry, Skip(RunState.SKIPPED, Reason.OVERLAP, at, at), now)", "pass"),),
    ),
    Mutant(
        "skips-in-silence-while-paused",
        "Temporal 10503",
        "What is skipped during a pause has no row.",
        ("I4",),
        "luad.core.ledger:Ledger.apply",
        (("self._skip_paused(entry, due, now)", "pass"),),
    ),
    Mutant(
        "pause-row-stands-still",
        "Temporal 10503",
        "A row stands for the first occurrences that a pause skipped, and not for the later ones.",
        ("I4",),
        "luad.store.writes:_extend_skips",
        (("connection.execute(_extend_skip, rows)", "pass"),),
    ),
    Mutant(
        "pause-row-refused",
        "our own, found here",
        "A pause goes on to extend a row that the store has refused.",
        ("I4",),
        "luad.core.ledger:Ledger.refused",
        (("if entry.open_skip is not None and", "if False and"),),
    ),
    Mutant(
        "miscounted",
        "our own",
        "A row says one more occurrence than it stands for.",
        ("I4",),
        "luad.core.policy:skip_range",
        (
            (
                "return (Skip(state, reason, first, last, count, is_capped),)",
                "return (Skip(state, reason, first, last, count + 1, is_capped),)",
            ),
        ),
    ),
    # --- overlap ---
    Mutant(
        "two-instances",
        "APScheduler 864",
        "One more run of a job is let in than its policy says.",
        ("I8",),
        "luad.core.policy:when_due",
        (("if open_count == 0:", "if open_count <= 1:"),),
    ),
    Mutant(
        "allow-one-too-many",
        "APScheduler 474: max_instances",
        "`allow` lets one run more in than `max_running`.",
        ("I8",),
        "luad.core.policy:when_due",
        (("if open_count < max_running else", "if open_count <= max_running else"),),
    ),
    Mutant(
        "queue-holds-two",
        "Temporal: BufferOne",
        "A second run queues up behind the one that runs.",
        ("I8",),
        "luad.core.policy:when_due",
        (("if waiting_count == 0 else", "if waiting_count <= 1 else"),),
    ),
    Mutant(
        "replaced-too-soon",
        "Temporal: TerminateOther",
        "A run that replaces another starts before that one has ended.",
        ("I8",),
        "luad.core.ledger:Ledger.claim",
        (("is_behind = start is not Start.NOW and", "is_behind = start is Start.WHEN_ENDED and"),),
    ),
    Mutant(
        "overlap-after-restart",
        "gitmoot 1270, lionagi 2755",
        "After a restart a run that waited for another waits no more.",
        ("I8",),
        "luad.core.runs:OpenRuns._restore",
        (("others = self.open_count(run.job_id)", "others = 0"),),
    ),
    Mutant(
        "waits-before-whom-it-follows",
        "our own, found here",
        "After a restart runs line up as they were claimed, whoever was started already.",
        ("I8",),
        "luad.core.runs:OpenRuns.restore",
        (
            (
                "sorted(runs, key=lambda run: run.state is RunState.QUEUED and run.attempt == 1)",
                "runs",
            ),
        ),
    ),
    Mutant(
        "queue-stuck",
        "dkron 349 and 377",
        "Whoever waits for another run of the job waits for ever.",
        ("I2", "I4", "I15"),
        "luad.core.runs:OpenRuns._forget",
        (("if blocked and len(siblings) == len(blocked):", "if False:"),),
    ),
    # --- retries ---
    Mutant(
        "retries-after-success",
        "Oban's Lifeline",
        "An attempt that succeeded is tried again.",
        ("I9",),
        "luad.core.policy:after_ending",
        (("if event in {RunEvent.SUCCEED, RunEvent.CANCEL} or", "if event is RunEvent.CANCEL or"),),
    ),
    Mutant(
        "no-backoff",
        "cronstable: fired again on every tick",
        "The next attempt follows at once.",
        ("I9",),
        "luad.core.policy:after_ending",
        (("ending.at + retry_delay_ms(job.retry, attempt)", "ending.at"),),
    ),
    Mutant(
        "backoff-does-not-grow",
        "our own",
        "Every attempt waits as long as the first one.",
        ("I9",),
        "luad.core.policy:retry_delay_ms",
        (("delay *= retry.multiplier", "break"),),
    ),
    Mutant(
        "one-attempt-too-many",
        "Oban: attempts exhausted",
        "A run has one attempt more than it may.",
        ("I9",),
        "luad.core.policy:after_ending",
        (("elif attempt >= job.retry.max_attempts:", "elif attempt > job.retry.max_attempts:"),),
    ),
    Mutant(
        "lost-retried-twice",
        "gitmoot 1245 and 1270",
        "A run that was lost is tried again as often as it is lost.",
        ("I9",),
        "luad.core.policy:after_ending",
        (
            (
                "attempt >= max(job.retry.max_attempts, 2)",
                "attempt >= max(job.retry.max_attempts, 3)",
            ),
        ),
    ),
    Mutant(
        "lost-retried-unasked",
        "Oban's Lifeline, River's JobRescuer",
        "A run that was lost is tried again although its job says `on_lost: fail`.",
        ("I3", "I9"),
        "luad.core.policy:after_ending",
        (("if job.on_lost is OnLost.FAIL or attempt", "if attempt"),),
    ),
    Mutant(
        "retried-after-removal",
        "ofelia 89 and 357: stale targets",
        "A job's run is tried again after the removal, if there is a new job of that name.",
        ("I5", "I9"),
        "luad.core.state:State.job_in_force",
        (("self.by_id(run.job_id)", "self.entries.get(run.job_name)"),),
    ),
    Mutant(
        "late-report-believed",
        "jobd 0.5.25",
        "A late report of an earlier attempt ends the one that runs now.",
        ("I3", "I8", "I9", "I13"),
        "luad.core.runs:OpenRuns._current",
        (("or run.attempt != attempt ", ""),),
    ),
    # --- restarts ---
    Mutant(
        "survivor-left-alive",
        "gitmoot 1245 and 1270",
        "A process that outlived its daemon is taken for dead, and lives on.",
        ("I8", "I10"),
        "luad.daemon.recovery:lost_attempts",
        (("if kill_survivor(run.id, run.identity):", "if False:"),),
    ),
    Mutant(
        "lost-for-ever",
        "dkron 349 and 377, webtoolsnz 3",
        "A run that was running at a crash stays `running`.",
        ("I4", "I15"),
        "luad.core.runs:OpenRuns._restore",
        (
            (
                "others = self.open_count(run.job_id)",
                "others = self.open_count(run.job_id)\n    if run.state is RunState.RUNNING:\n        return",
            ),
        ),
    ),
    Mutant(
        "retries-forgotten-at-restart",
        "APScheduler 946",
        "A run that waits for its next attempt is not taken over by the next daemon.",
        ("I4", "I15"),
        "luad.store.reads:restored",
        (
            (
                "open_runs=tuple(read_run(row).run for row in waiting),",
                'open_runs=tuple(read_run(row).run for row in waiting if row.state != "retrying"),',
            ),
        ),
    ),
    Mutant(
        "pause-forgotten-at-restart",
        "River: periodic jobs in memory",
        "A pause ends with the daemon.",
        ("I11",),
        "luad.core.desk:Desk._start_pause",
        (("self._state.touch(entry)", "pass"),),
    ),
    Mutant(
        "progress-not-saved",
        "River: periodic jobs in memory, celery beat 4806",
        "How far a job has been looked after is not saved.",
        ("I4", "I7", "I11"),
        "luad.core.ledger:Ledger.apply",
        (("self._state.touch(entry)", "pass"),),
    ),
    # --- requests ---
    Mutant(
        "resume-runs-the-past",
        "cronstable: dry_run null",
        "A job that is resumed runs what it has skipped, unasked.",
        ("I6", "I7"),
        "luad.core.desk:Desk.end_pause",
        (('if not skips or catch_up == "none":', "if not skips:"),),
    ),
    Mutant(
        "changed-in-memory",
        "Tron 59",
        "A change is acknowledged and in force, and lost at a crash.",
        ("I6", "I11"),
        "luad.core.jobset:JobSet._replace",
        (
            (
                "self._state.out.append(record)",
                "pass",
            ),
        ),
    ),
    Mutant(
        "deleted-in-memory",
        "ofelia 76 and 89: stale targets",
        "A job that was deleted is back after a crash.",
        ("I5", "I11"),
        "luad.core.jobset:JobSet.remove",
        (("self._state.out.append(record)", "pass"),),
    ),
    Mutant(
        "drains-and-starts",
        "ofelia: shutdown",
        "After a stop was asked for something is started still.",
        ("I5",),
        "luad.core.engine:Engine._drain",
        (("runs.may_start = False", "pass"),),
    ),
    # --- names ---
    Mutant(
        "displaced-job-goes-on",
        "our own",
        "A dynamic job whose name a file declares runs as before, beside the file's job.",
        ("I6",),
        "luad.core.ledger:Ledger.apply",
        (("if entry.halt is not None:", "if entry.pause is not None:"),),
    ),
    Mutant(
        "over-job-keeps-its-name",
        "our own",
        "A reminder that has failed is kept in place of the new one, which never fires.",
        ("kept",),
        "luad.core.names:judge",
        (("if is_over(state, entry) is not was_over:", "if False:"),),
    ),
    # --- messages ---
    Mutant(
        "told-twice",
        "our own",
        "Every failure is told, and not the first one alone.",
        ("told",),
        "luad.core.alerts:ended",
        (
            (
                "if cause and not before.cause and entry.halt is None:",
                "if cause and entry.halt is None:",
            ),
        ),
    ),
)
