"""The parts of Alembic that luad uses, one of which is not its public interface.

Rule: no other module of luad imports Alembic; only the migrations themselves do. `ScriptDirectory._upgrade_revs` finds the
steps of an upgrade, as `alembic.command.upgrade` does, which would need a configuration file. pyproject.toml allows the
versions that luad was tested with (1.14 to 1.20), and `tests/contracts/test_library_internals.py` fails when it changes.

Importing Alembic takes 350 ms, so only the upgrade of an old database imports this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection


def run_migrations(connection: Connection, folder: Path, target: str) -> None:
    """Run the migrations in *folder* up to *target*, in the transaction of *connection*."""
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    environment = EnvironmentContext(
        config,
        script,
        fn=lambda revision, _: script._upgrade_revs(target, revision),  # noqa: SLF001 - see above
        destination_rev=target,
    )
    with environment:
        environment.configure(connection=connection, transactional_ddl=True)
        environment.run_migrations()
