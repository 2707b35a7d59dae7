"""The facts that a daemon has observed about itself, and the objects that it is made of.

Rule: values only; `luad.daemon.status` turns them into words.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from luad.api.server import ApiServer
    from luad.clock import Clock
    from luad.config.settings.daemon_settings import Settings
    from luad.core.engine import Engine
    from luad.core.model import Instant, Now
    from luad.core.plan import Plan
    from luad.daemon.background import BackgroundTasks
    from luad.daemon.effects import DaemonEffects
    from luad.daemon.file_reading import Reading
    from luad.daemon.installed_jobs import InstalledJobs
    from luad.daemon.loop import Turns
    from luad.daemon.loop_lag import LoopLag
    from luad.daemon.retention_schedule import RetentionSchedule
    from luad.daemon.run_output import OutputPump
    from luad.daemon.user_directory import UserDirectory
    from luad.live.event_ring import EventRing
    from luad.logs import Logging
    from luad.messenger.sender import Sender
    from luad.notify import Notifier
    from luad.runner.runners import Runners
    from luad.store import Store


@dataclass(slots=True)
class Condition:
    """The observed facts. *deliveries*: their number by kind of channel and state.

    *comparing*: while files are compared with those of the previous daemon, how many are, and of how many.
    *last_plan*: when files last changed jobs, and which.
    """

    started_at: Now
    last_turn_at: Instant
    is_ready: bool = False
    reading: Reading | None = None
    comparing: tuple[int, int] | None = None
    last_good_reload_at: Instant | None = None
    last_plan: tuple[Instant, Plan] | None = None
    store_fault: str | None = None
    lock_fault: str | None = None
    deliveries: Counter[tuple[str, str]] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Parts:
    """The objects of one running daemon. They are made once, when its event loop runs."""

    settings: Settings
    logs: Logging
    store: Store
    clock: Clock
    notifier: Notifier
    engine: Engine
    installed: InstalledJobs
    directory: UserDirectory
    tasks: BackgroundTasks
    lag: LoopLag
    condition: Condition
    runner: Runners
    sender: Sender
    pump: OutputPump
    effects: DaemonEffects
    loop: Turns
    ring: EventRing
    retention: RetentionSchedule
    api: ApiServer
