"""Jobs, their revisions, runs and attempts.

Scripts are history: they are never edited, and import nothing of luad, which goes on changing.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "meta",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key", name="meta_pk"),
    )
    _create_jobs()
    _create_revisions()
    _create_runs()
    op.create_table(
        "attempts",
        sa.Column(
            "run_id", sa.Text, sa.ForeignKey("runs.id", name="attempts_run", ondelete="CASCADE")
        ),
        sa.Column("attempt", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("pid", sa.BigInteger),
        sa.Column("end_kind", sa.Text),
        sa.Column("exit_code", sa.BigInteger),
        sa.Column("signal", sa.BigInteger),
        sa.Column("error_type", sa.Text),
        sa.Column("error_message", sa.Text),
        sa.Column("error_traceback", sa.Text),
        sa.PrimaryKeyConstraint("run_id", "attempt", name="attempts_pk"),
    )


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("revision", sa.Text, nullable=False),
        sa.Column("definition_json", sa.Text, nullable=False),
        sa.Column("origin_path", sa.Text),
        sa.Column("origin_line", sa.BigInteger),
        sa.Column("installed_at", sa.BigInteger, nullable=False),
        sa.Column("grid_at", sa.BigInteger, nullable=False),
        sa.Column("handled_until", sa.BigInteger, nullable=False),
        sa.Column("consecutive_failures", sa.BigInteger, nullable=False),
        sa.Column("paused_at", sa.BigInteger),
        sa.Column("paused_until", sa.BigInteger),
        sa.Column("pause_reason", sa.Text),
        sa.Column("pause_author", sa.Text),
        sa.PrimaryKeyConstraint("job_id", name="jobs_pk"),
    )
    op.create_index("jobs_by_name", "jobs", ["name"], unique=True)


def _create_revisions() -> None:
    op.create_table(
        "revisions",
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("revision", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("first_seen_at", sa.BigInteger, nullable=False),
        sa.Column("last_installed_at", sa.BigInteger, nullable=False),
        sa.Column("definition_json", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("job_id", "revision", name="revisions_pk"),
    )
    op.create_index("revisions_by_name", "revisions", ["name", "job_id"])
    op.create_index("revisions_by_age", "revisions", ["last_installed_at"])


def _create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("job_name", sa.Text, nullable=False),
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("revision", sa.Text, nullable=False),
        sa.Column("trigger", sa.Text, nullable=False),
        sa.Column("scheduled_for", sa.BigInteger, nullable=False),
        sa.Column("occurrence", sa.BigInteger),
        sa.Column("fire_at", sa.BigInteger, nullable=False),
        sa.Column("claimed_at", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempt", sa.BigInteger, nullable=False),
        sa.Column("missed_count", sa.BigInteger, nullable=False),
        sa.Column("metadata_json", sa.Text),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("retry_at", sa.BigInteger),
        sa.Column("pid", sa.BigInteger),
        sa.Column("start_ticks", sa.BigInteger),
        sa.Column("boot_id", sa.Text),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("reason", sa.Text),
        sa.Column("retry_of", sa.Text),
        sa.Column("end_kind", sa.Text),
        sa.Column("end_at", sa.BigInteger),
        sa.Column("exit_code", sa.BigInteger),
        sa.Column("signal", sa.BigInteger),
        sa.Column("dropped_bytes", sa.BigInteger),
        sa.Column("error_type", sa.Text),
        sa.Column("error_message", sa.Text),
        sa.Column("error_traceback", sa.Text),
        sa.Column("result_json", sa.Text),
        sa.Column("is_result_truncated", sa.Boolean(create_constraint=False)),
        sa.Column("skip_first", sa.BigInteger),
        sa.Column("skip_count", sa.BigInteger),
        sa.Column("is_skip_count_capped", sa.Boolean(create_constraint=False)),
        sa.PrimaryKeyConstraint("id", name="runs_pk"),
    )
    op.create_index("runs_claim", "runs", ["occurrence", "job_id"], unique=True)
    op.create_index("runs_by_time", "runs", ["claimed_at", "id"])
    op.create_index("runs_by_job", "runs", ["job_id", "claimed_at", "id"])
    op.create_index("runs_by_state", "runs", ["state", "claimed_at", "id"])
    op.create_index(
        "runs_by_rare_trigger",
        "runs",
        ["trigger", "claimed_at", "id"],
        sqlite_where=sa.text("trigger <> 'schedule'"),
    )
