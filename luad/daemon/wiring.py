"""The settings, in the words of the rooms that need them.

Room rule: values in, values out; starts nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luad.api.service import DynamicRules
from luad.api.transport.tcp import ListenSpec
from luad.config.settings.daemon_settings import working_directory
from luad.core.state import Bounds
from luad.daemon.ownership import permits_insecure
from luad.messenger.sender import Sender
from luad.runner.spec import RunnerConfig
from luad.watcher import SnapshotReader

if TYPE_CHECKING:
    from luad.config.settings.daemon_settings import Settings


def bounds(settings: Settings) -> Bounds:
    """What the engine is held to."""
    return Bounds(
        settings.max_concurrent_runs,
        settings.dynamic.max_jobs,
        settings.dynamic.max_jobs_per_user,
        settings.alert,
    )


def dynamic_rules(settings: Settings) -> DynamicRules:
    """What jobs may be made at run time."""
    dynamic = settings.dynamic
    return DynamicRules(
        dynamic.handlers,
        settings.handlers_path.absolute(),
        settings.timezone,
        dynamic.min_interval_ms,
        dynamic.creates_per_minute,
    )


def runner_config(settings: Settings) -> RunnerConfig:
    """How runs are started."""
    return RunnerConfig(
        handlers_path=(settings.handlers_path.absolute(),),
        state_dir=settings.state_dir.absolute(),
        socket_path=settings.socket.absolute(),  # a handler may change its folder
        cwd=working_directory(settings),
        kill_grace_ms=settings.kill_grace_ms,
        output_limit_bytes=settings.output_limit,
        pass_env=tuple(settings.pass_env),
        permit_insecure=permits_insecure(settings),
        allowed=settings.dynamic.handlers,
    )


def job_snapshots(settings: Settings) -> SnapshotReader:
    """Reads the job folders."""
    return SnapshotReader(
        settings.jobs, settings.settle_ms, settings.max_file_size, permits_insecure(settings)
    )


def user_snapshots(settings: Settings) -> SnapshotReader:
    """Reads the folders of people that are there: nobody has to have one."""
    folders = [each for each in settings.users if each.is_dir()]
    return SnapshotReader(
        folders, settings.settle_ms, settings.max_file_size, permits_insecure(settings)
    )


def sender(settings: Settings) -> Sender:
    """Return what sends messages to services."""
    return Sender(
        allow_private=settings.webhooks_allow_private, permit_insecure=permits_insecure(settings)
    )


def listen_spec(settings: Settings) -> ListenSpec | None:
    """Where to listen on TCP, if anywhere."""
    if settings.listen is None:
        return None
    return ListenSpec(
        settings.listen.host,
        settings.listen.port,
        settings.tls_certificate,
        settings.tls_key,
        settings.trusted_proxies,
        settings.allowed_hosts,
        permits_insecure(settings),
    )
