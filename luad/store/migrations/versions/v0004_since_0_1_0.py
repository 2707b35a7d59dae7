"""The columns of jobs, runs and tokens that are new since 0.1.0.

Scripts are history: they are never edited once released, and import nothing of luad.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Bring the tables of 0.1.0 to those of the next version."""
    _runs_say_how_they_ended()
    _extend_access()
    _count_leftovers()
    _add_standings()
    _count_stops()
    _say_whose_metadata()
    _find_activity()
    _find_trouble()
    _add_answers_about_trouble()
    _add_sessions()
    _keep_files()


def _runs_say_how_they_ended() -> None:
    """Let a run say why its result was left out, and that a repetition would not cure it."""
    op.add_column("runs", sa.Column("result_omitted", sa.Text))
    op.add_column("runs", sa.Column("is_retryable", sa.Boolean(create_constraint=False)))


def _extend_access() -> None:
    """Add the use and the rotation of tokens, and whose request a row of the audit trail is."""
    for name, kind in (
        ("last_used_at", sa.BigInteger),
        ("rotated_at", sa.BigInteger),
        ("old_digest", sa.Text),
        ("old_until", sa.BigInteger),
    ):
        op.add_column("tokens", sa.Column(name, kind))
    op.add_column("audit", sa.Column("actor", sa.Text))
    op.create_index("audit_by_actor", "audit", ["actor", "at"])
    op.execute(
        "UPDATE audit SET actor = coalesce(nullif(json_extract(entry_json, '$.actor'), ''), "
        "'uid ' || coalesce(json_extract(entry_json, '$.uid'), -1))"
    )


def _count_leftovers() -> None:
    """Add the numbers of processes and tasks that a handler left running."""
    op.add_column("runs", sa.Column("left_processes", sa.BigInteger))
    op.add_column("runs", sa.Column("left_tasks", sa.BigInteger))


def _add_standings() -> None:
    """Jobs hold their name or not; jobs that are gone are found as long as their history lasts."""
    op.drop_index("jobs_by_name", "jobs")
    op.add_column(
        "jobs", sa.Column("holds_name", sa.BigInteger, nullable=False, server_default=sa.text("1"))
    )
    op.add_column("jobs", sa.Column("over_at", sa.BigInteger))
    op.add_column("jobs", sa.Column("displaced_at", sa.BigInteger))
    op.add_column("jobs", sa.Column("displaced_reason", sa.Text))
    op.create_index(
        "jobs_by_name", "jobs", ["name"], unique=True, sqlite_where=sa.text("holds_name = 1")
    )
    op.add_column("revisions", sa.Column("gone_at", sa.BigInteger))
    op.add_column("revisions", sa.Column("gone_json", sa.Text))
    op.add_column("jobs", sa.Column("pause_revision", sa.Text))
    op.add_column("jobs", sa.Column("pause_schedule_since", sa.BigInteger))
    op.add_column("runs", sa.Column("is_pinned", sa.Boolean(create_constraint=False)))


def _count_stops() -> None:
    """A run that a stop of the daemon had to end does not count for `pause_after_failures`."""
    op.add_column("jobs", sa.Column("consecutive_stops", sa.BigInteger))


def _say_whose_metadata() -> None:
    """Add whether the metadata of a run came over TCP."""
    op.add_column("runs", sa.Column("is_remote", sa.Boolean(create_constraint=False)))


def _find_activity() -> None:
    """Add the jobs that an entry of the audit trail is about."""
    op.create_table(
        "audit_jobs",
        sa.Column(
            "audit_id", sa.Text, sa.ForeignKey("audit.id", name="audit_jobs_of", ondelete="CASCADE")
        ),
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("audit_id", "job_id", name="audit_jobs_pk"),
    )
    op.create_index("audit_by_job", "audit_jobs", ["job_id", "at", "audit_id"])


def _find_trouble() -> None:
    """Find jobs that fail or are paused, and deliveries by time, without a look at all of them."""
    failing, paused = sa.text("consecutive_failures > 0"), sa.text("paused_at IS NOT NULL")
    declared = sa.text("origin_path IS NOT NULL")
    op.create_index("jobs_by_file", "jobs", ["origin_path"], sqlite_where=declared)
    op.create_index("jobs_failing", "jobs", ["job_id"], sqlite_where=failing)
    op.create_index("jobs_paused", "jobs", ["pause_author", "job_id"], sqlite_where=paused)
    place = ["started_at", "message_id", "channel"]
    op.create_index("deliveries_by_time", "deliveries", place)
    failed = sa.text("state = 'failed'")
    op.create_index("deliveries_failed", "deliveries", place, sqlite_where=failed)


def _add_answers_about_trouble() -> None:
    """Add what was acknowledged, and the versions that ran."""
    op.create_table(
        "acknowledgements",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("until", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="acknowledgements_pk"),
    )
    op.create_index("acknowledgements_by_age", "acknowledgements", ["at"])
    op.create_table(
        "software",
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("luad", sa.Text, nullable=False),
        sa.Column("python", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("at", name="software_pk"),
    )


def _add_sessions() -> None:
    """Add the sessions of browsers, and the codes that start them."""
    op.create_table(
        "sign_in_codes",
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("lifetime_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="sign_in_codes_pk"),
    )
    op.create_table(
        "sessions",
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("token_digest", sa.Text, nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="sessions_pk"),
    )
    op.create_index("sessions_by_use", "sessions", ["seen_at"])


def _keep_files() -> None:
    """Add the snapshot of the job files."""
    op.create_table(
        "files",
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("status", sa.LargeBinary, nullable=False),
        sa.Column("content_key", sa.Text, nullable=False),
        sa.Column("shape", sa.LargeBinary, nullable=False),
        sa.Column("gid", sa.BigInteger),
        sa.Column("jobs", sa.BigInteger, nullable=False),
        sa.Column("checks", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("path", name="files_pk"),
    )
