"""A month with luad, made of dice: files that come, break and go, requests, crashes, clocks that are set.

Everything follows from one seed, which also chooses what may go wrong in it at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from random import Random  # noqa: TID251 - worlds are made of dice; the seed is the test

from simulation.folder import Folder
from simulation.history import (
    Draining,
    Healed,
    History,
    Kept,
    Limit,
    Loaded,
    Sampled,
    Slept,
    Stepped,
)
from simulation.machine import Crash, Machine, Outage
from simulation.scenery import FAULTS, choose_job, choose_place, choose_schedule

from luad.core.events import (
    AttemptEnded,
    ConfigChanged,
    ConfigLoaded,
    DrainRequested,
    Event,
    FilesCompared,
    JobsRestored,
    Ticked,
)
from luad.core.model import (
    DAY,
    HOUR,
    MINUTE,
    TERMINAL_STATES,
    Ending,
    EndKind,
    Job,
    RunState,
    Trigger,
    Wanted,
)
from luad.core.requests import (
    CancelRequested,
    PauseRequested,
    ResumeRequested,
    RetryRequested,
    TriggerRequested,
)
from luad.core.state import PORTION

MONTH = 30 * DAY
LIMITS = {"stray alarms": Limit(most=0), "stray names": Limit(most=0)}


class World(Machine):
    """One seed's worth of history."""

    def __init__(self, seed: int, *, faults: frozenset[str] | None = None) -> None:
        dice = Random(seed)  # noqa: S311 - no secrets here
        self.zone, wall = choose_place(dice)
        chosen = [each for each in FAULTS if dice.random() < 0.5]
        self.chosen = self.faults = frozenset(chosen) if faults is None else faults
        capacity = dice.choice([1, 2]) if "crowd" in self.faults else 50
        # Every third world has a small portion; its own dice leave those of the others as they are.
        portion = 1 + seed % 2 if seed % 3 == 1 else PORTION
        self.herd_dice = Random(seed)  # noqa: S311 - no secrets here
        self.wanted_later: Mapping[str, Wanted] = {}
        self.loads_later = False
        super().__init__(dice, wall, capacity, portion)
        self.may_hold = seed % 7 == 3 and seed % 4 != 3  # the busy world's model loads all at once
        self.processes.may_fail_to_start = "reports" in self.faults
        self.folder = Folder(dice, self.make_job, may_break="broken files" in self.faults)
        self.revision = self.requests = self.loads = 0
        self.wrong_by = 0
        self.until = self.steady + MONTH
        self.idle_turns = 0
        for _ in range(3):
            self.folder.edit("add")
        self.live_or_die(partial(self.boot, self.load_event()))

    # --- a start that compares the files while its jobs run ---

    def boot(self, first: Event) -> None:
        self.uncompared.clear()
        super().boot(first)
        while self.uncompared or self.loads_later:  # a nested boot has emptied both
            self.compare()

    def opening(self, first: Event) -> Event:
        """Sometimes, only some files are compared before jobs run; those of open runs always are."""
        self.loads_later = False
        if (
            not self.may_hold
            or not isinstance(first, ConfigLoaded)
            or self.herd_dice.random() < 0.3
        ):
            return first
        static = {n: e for n, e in self.engine.entries.items() if not e.wanted.is_dynamic}
        same = {name for name, entry in static.items() if entry.wanted == first.wanted.get(name)}
        running = {n for n, e in static.items() if self.engine.runs.open_count(e.job_id)}
        if not running <= same:
            return first
        compared = running | {name for name in sorted(same) if self.herd_dice.random() < 0.2}
        self.uncompared = {e.job_id for n, e in static.items() if n not in compared}
        self.wanted_later, self.loads_later = first.wanted, True
        return JobsRestored(compared)

    def compare(self) -> None:
        """Compare one more file, ask for something meanwhile, or bring the rest into force; perhaps die."""
        dice, entries = self.herd_dice, self.engine.entries
        if "crash" in self.faults and dice.random() < 0.1:
            self.fuse = dice.randrange(8)
        same = [
            name
            for name in sorted(entries)
            if entries[name].job_id in self.uncompared
            and entries[name].wanted == self.wanted_later.get(name)
        ]
        self.pass_time(dice.choice([0, 1, 15]))
        if dice.random() < 0.3 and (request := self.some_request(dice)) is not None:
            self.live_or_die(partial(self.turn, [request]))
        elif same and dice.random() < 0.9:
            name = dice.choice(same)
            self.uncompared.discard(entries[name].job_id)
            self.live_or_die(partial(self.turn, [FilesCompared([name])]))
        else:
            self.loads_later = False
            self.uncompared.clear()
            gone = [n for n, e in entries.items() if not e.wanted.is_dynamic]
            items = dict.fromkeys(sorted({*gone} - {*self.wanted_later})) | {
                name: each
                for name, each in self.wanted_later.items()
                if name not in entries or entries[name].wanted != each
            }
            self.live_or_die(partial(self.turn, [ConfigChanged(items), FilesCompared()]))
        self.fuse = None

    # --- the course of a month ---

    def live(self) -> None:
        """Live a month, then let everything be well for a while."""
        while self.steady < self.until:
            for _ in range(self.dice.randrange(2, 6)):
                self.step()
            away = self.dice.choice([12 * HOUR, 2 * DAY, 5 * DAY, 9 * DAY])
            self.spend(min(self.until - self.steady, away))
            self.take_sample()
        self.heal()
        for _ in range(8):
            self.wait()
        self.take_sample()

    def history(self) -> History:
        return History(
            tuple(self.facts),
            self.storage.rows(),
            self.wall,
            self.steady,
            frozenset(self.processes.table),
            LIMITS,
        )

    def live_or_die(self, act: Callable[[], None]) -> None:
        """Do something with the daemon; if that kills it, start the next one."""
        while True:
            try:
                act()
            except Crash:
                self.fall()
                act = partial(self.boot, self.load_event())
            else:
                return

    def do(self, events: list[Event]) -> None:
        """One turn, perhaps the last one of this daemon."""
        if "crash" in self.faults and self.dice.random() < 0.05:
            self.fuse = self.dice.randrange(8)
        if "store" in self.faults and self.outage is None and self.dice.random() < 0.04:
            self.outage = self.choose_outage()
        self.live_or_die(partial(self.turn, events))
        self.fuse = None

    def choose_outage(self) -> Outage:
        is_late = self.dice.random() < 0.4
        if self.dice.random() < 0.5:
            return Outage(self.steady, 1, is_late)
        return Outage(self.steady + self.dice.choice([2_000, MINUTE, 3 * HOUR]), 0, is_late)

    def fall(self) -> None:
        """The daemon has died; time passes, and things change, until it is started again."""
        is_survived = "survivors" in self.faults
        is_reboot = "reboot" in self.faults and self.dice.random() < 0.3
        self.die(0.3 if is_survived and not is_reboot else 0.0)
        self.pass_time(self.dice.choice([1, 200, 30_000, HOUR, 25 * HOUR]))
        self.reap()
        if self.dice.random() < 0.3:
            self.folder.edit(self.dice.choice(["add", "edit", "remove", "break", "mend"]))
        if is_reboot:
            self.boot_number += 1
            self.epoch = 20_000 - self.steady
            if "rtc" in self.faults and not self.wrong_by:
                self.wrong_by = 1_000_000 - self.wall
                self.set_clock(self.wrong_by)
        elif "step" in self.faults and self.dice.random() < 0.2:
            self.set_clock(self.dice.choice([-2 * HOUR, -90_000, HOUR]))
        rows = self._stored_by_key()
        self.folder.remember(
            {
                name: self.store.definitions[row.revision]
                for name, row in rows.items()
                if row.creation is None
            }
        )

    def heal(self) -> None:
        """From here on nothing goes wrong."""
        self.faults = frozenset()
        self.fuse = None
        if self.outage is not None:
            self.pass_time(max(0, self.outage.until - self.steady))
            self.outage.times = 0
            self.note(Slept, 0)
        if self.wrong_by:
            self.set_clock(-self.wrong_by)
            self.wrong_by = 0
        self.do([*self.reap(), Ticked()])
        self.note(Healed)

    def in_a_herd(self) -> None:
        """Between two portions time goes on, and processes end."""
        if self.herd_dice.random() < 0.3:
            self.pass_time(self.herd_dice.choice([1, 20, 700]))
            for event in self.reap():
                self.loop.post(event)

    # --- time ---

    def wait(self, limit: int = 6 * HOUR) -> None:
        """Sleep as the daemon does: until its alarm goes off or a process ends."""
        sleep = limit
        if self.alarm.at is not None:
            sleep = min(sleep, self.alarm.at - self.wall)
        if (end := self.processes.next_end()) is not None:
            sleep = min(sleep, end - self.steady)
        sleep = max(0, sleep)
        self.idle_turns = 0 if sleep else self.idle_turns + 1
        assert self.idle_turns < 300, "the daemon turns and turns, and no time passes"
        self.pass_time(sleep)
        events = self.reap()
        if events and "reports" in self.faults and self.dice.random() < 0.2:
            events.append(self.dice.choice(events))
        self.do(events or [Ticked()])

    def spend(self, ms: int) -> None:
        """Let *ms* pass: alarm by alarm as long as that gets on, then by some longer absence."""
        until = self.steady + ms
        for _ in range(self.dice.choice([1, 3, 6])):
            if self.steady >= until:
                return
            self.wait(until - self.steady)
        if self.steady >= until:
            return
        if self.dice.random() < (0.6 if "sleep" in self.faults else 0.3):
            self.sleep(until - self.steady)
        elif "store" in self.faults and self.dice.random() < 0.3:
            self.outage = Outage(until, 0, self.dice.random() < 0.4)
            self.wait()
            if self.steady < until:
                self.sleep(until - self.steady)
        elif "crash" in self.faults and self.dice.random() < 0.6:
            self.fuse = 0
            self.live_or_die(self.burn)
        else:
            self.restart(until)

    def sleep(self, ms: int) -> None:
        """The machine is suspended, or the daemon stands still; its processes may go on."""
        self.pass_time(ms)
        self.note(Slept, ms)
        self.do([*self.reap(), Ticked()])

    def restart(self, until: int) -> None:
        """Stop the daemon as it should be stopped, and start it again at *until*."""
        crashes, names = self.crashes, self.names()
        if (
            names and self.dice.random() < 0.3
        ):  # what is decided just before a stop has no process yet
            self.requests += 1
            name = self.dice.choice(names)
            self.is_slow = True
            self.do([TriggerRequested(f"req_{self.requests}", name, Trigger.MANUAL)])
            if self.crashes > crashes:
                return
        self.note(Draining)
        self.do([DrainRequested(is_impatient=self.dice.random() < 0.5)])
        if self.crashes > crashes:  # it has died of it, and was started again
            return
        self.release()
        self.is_stopping = True
        while (end := self.processes.next_end()) is not None:
            self.pass_time(max(0, end - self.steady))
            self.do(self.reap())
            if not self.engine.is_draining:
                return
        left = [run.id for run in self.store.runs.values() if run.state is RunState.RUNNING]
        if left:
            self.broken.append(f"I16: {left} are running still after a stop (at {self.wall})")
        self.die()
        self.pass_time(max(1, until - self.steady))
        self.live_or_die(partial(self.boot, self.load_event()))

    def set_clock(self, by: int) -> None:
        by = max(by, -self.wall)  # no machine lets anybody go beyond 1970
        self.wall += by
        self.note(Stepped, by)

    # --- steps ---

    def step(self) -> None:
        dice, deed = self.dice, self.dice.random()
        if self.wrong_by and dice.random() < 0.4:
            self.set_clock(-self.wrong_by)
            self.wrong_by = 0
            self.do([Ticked()])
        elif deed < 0.12:
            what = dice.choice(["add", "edit", "edit", "remove", "break", "mend", "move", "anew"])
            if what == "anew" and self.folder.files:  # another job, of the same name
                name = self.folder.drop()
                self.load()
                self.folder.write(name)
            else:
                self.folder.edit(what)
            self.load()
        elif deed < 0.24:
            self.do([self.some_request() or Ticked()])
        elif deed < 0.29 and "step" in self.faults:
            self.set_clock(
                dice.choice([-25 * HOUR, -2 * HOUR, -90_000, -1_500, 2_000, 90_000, HOUR, 3 * DAY])
            )
            self.do([Ticked()])
        elif deed < 0.33 and "drift" in self.faults:
            by = dice.choice([-400, -3, 300])
            self.set_clock(by)
            self.do([Ticked()])
            self.set_clock(-by)
        elif deed < 0.38 and "sleep" in self.faults:
            self.sleep(dice.choice([10, 999, 45_000, 3 * MINUTE, 2 * HOUR, 8 * HOUR]))
        elif deed < 0.41 and "crash" in self.faults:
            self.fuse = 0
            self.live_or_die(self.burn)
        elif deed < 0.43 and "reports" in self.faults:
            self.do([self.late_report()])
        elif deed < 0.44:
            self.restart(self.steady + dice.choice([1, MINUTE]))
        else:
            self.wait()

    def late_report(self) -> Event:
        """Of a run that is over, or of an attempt that is."""
        runs = list(self.store.runs.values())[-8:]
        if not runs:
            return Ticked()
        run = self.dice.choice(runs)
        attempt = run.attempt if run.state in TERMINAL_STATES else run.attempt - 1
        return AttemptEnded(run.id, attempt, Ending(EndKind.RAISED, self.wall))

    def some_request(self, dice: Random | None = None) -> Event | None:
        dice = dice or self.dice
        self.requests += 1
        request_id = f"req_{self.requests}"
        names = self.names()
        if not names:
            return None
        name = dice.choice(names)
        match dice.choice(["trigger", "pause", "resume", "cancel", "retry"]):
            case "trigger":
                force = dice.random() < 0.2
                return TriggerRequested(request_id, name, Trigger.MANUAL, force=force)
            case "pause":
                until = dice.choice([None, self.wall + 100_000, self.wall + 30 * HOUR])
                return PauseRequested(request_id, name, "because", "ann", until)
            case "resume":
                return ResumeRequested(request_id, name, dice.choice(["none", "one", "all"]))
            case "retry":
                ended = [run for run in self.store.runs.values() if run.state in TERMINAL_STATES]
                return RetryRequested(request_id, dice.choice(ended[-5:])) if ended else None
            case _:
                open_ids = [run.id for run in self.engine.runs.all()]
                return CancelRequested(request_id, dice.choice(open_ids or ["run_none"]))

    def names(self) -> list[str]:
        """The names that requests may be about."""
        return sorted(self.folder.files)

    # --- files ---

    def load_event(self) -> ConfigLoaded:
        self.loads += 1
        return ConfigLoaded(self.folder.load(), 0, f"load-{self.loads}")

    def load(self) -> None:
        """Load the files, and see that this touches only what has changed."""
        event = self.load_event()
        before, at, crashes = self.kept(), self.steady, self.crashes
        self.do([event])
        if (self.steady, self.crashes) == (at, crashes):
            wanted = {name: each.job.revision for name, each in event.wanted.items()}
            self.note(Loaded, wanted, before, self.kept())

    def kept(self) -> dict[str, Kept]:
        found = {}
        for name, entry in self.engine.entries.items():
            if not entry.wanted.is_dynamic:
                waits_for = self.engine.next_occurrence_of(name)
                at = None if waits_for is None else waits_for.scheduled_for
                found[name] = Kept(entry.job.revision, at, entry.consecutive_failures)
        return found

    def make_job(self, name: str) -> Job:
        self.revision += 1
        is_dense = "dense" in self.faults
        schedule = choose_schedule(self.dice, self.zone, self.wall, is_dense=is_dense)
        others = [file.job.schedule for file in self.folder.files.values() if file.job]
        if others and self.dice.random() < 0.2:
            schedule = self.dice.choice(others)
        return choose_job(self.dice, name, f"revision-{self.revision}", schedule)

    # --- how much there is ---

    def take_sample(self) -> None:
        state = self.engine._state
        groups = state.timetable._groups.values()
        expected = sum(each.pending is not None for each in groups)
        expected += sum(
            each.pause is not None and each.pause.until is not None
            for each in state.entries.values()
        )
        expected += sum(run.state is RunState.RETRYING for run in state.runs.all())
        values = {
            "stray alarms": abs(len(state.timetable._wheel) - expected),
            "stray names": len(state.names) - len(state.entries),
        }
        self.note(Sampled, values)
