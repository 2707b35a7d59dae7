"""Bugs in how several nodes share a schedule, as others had them or as prototypes of luad had them."""

from __future__ import annotations

from typing import Final

from simulation.mutants import CRASH, Mutant

MUTANTS: Final = (
    Mutant(
        "stale-owner",
        "Oban 1488",
        "A node whose session was lost goes on with the engines that it had.",
        ("I17",),
        "luad.cluster.node:Node.fail",
        (("self.engines.drop_all()", "pass"),),
        is_cluster=True,
    ),
    Mutant(
        "no-fence",
        "a lesson of prototypes",
        "The report of an attempt that was judged lost counts for the next attempt.",
        ("I4", "I8", "I9", "I10", "I13", CRASH),
        "luad.core.runs:OpenRuns._current",
        (("run.attempt != attempt or ", ""),),
        is_cluster=True,
    ),
    Mutant(
        "row-twice",
        "a lesson of prototypes",
        "A row of the inbox is handled twice.",
        ("I18",),
        "luad.cluster.turns:Turner.turn",
        (("_events_by_shard(rows)", "_events_by_shard([*rows, *rows])"),),
        is_cluster=True,
    ),
    Mutant(
        "quick-reaper",
        "a lesson of prototypes",
        "A node judges silent workers although it was out of touch itself.",
        ("I19",),
        "luad.cluster.reaping:Contact.has_lasted",
        (("return elapsed - self._since >= ms", "return True"),),
        is_cluster=True,
    ),
    Mutant(
        "gap-in-contact",
        "a lesson of prototypes",
        "A gap between two pulses does not count as a loss of contact.",
        ("I19",),
        "luad.cluster.reaping:Contact.note",
        ((" or elapsed - self._latest > LONGEST_GAP_MS", ""),),
        is_cluster=True,
    ),
    Mutant(
        "launched-again",
        "a lesson of prototypes",
        "An attempt that a worker has launched is handed over again.",
        ("I3", "I8", CRASH),
        "luad.cluster.reaping:Reaper._is_untouched",
        (("each.worker is not None or ", ""),),
        is_cluster=True,
    ),
    Mutant(
        "deaf-to-steps",
        "a lesson of prototypes",
        "A step of the store's clock reaches only the shards that are due anyway.",
        ("I2",),
        "luad.cluster.engine_set:EngineSet._is_due",
        ((" or abs(now.wall - before.wall - passed_ms) >= STEP_MS", ""),),
        is_cluster=True,
    ),
    Mutant(
        "void-hand-over",
        "a lesson of prototypes",
        "An attempt whose claim was refused is handed over all the same.",
        ("I3", CRASH),
        "luad.cluster.turns:_Batch.write",
        (("if each.run.id not in refused", "if each.run.id"),),
        is_cluster=True,
    ),
    Mutant(
        "rows-left-behind",
        "a lesson of prototypes",
        "A row of the inbox is deleted, and only every second one is handled.",
        ("I4", "I10", CRASH),
        "luad.cluster.turns:Turner.turn",
        (("_events_by_shard(rows)", "_events_by_shard(rows[::2])"),),
        is_cluster=True,
    ),
)
