"""The tables of the current schema.

luad creates a new database from this module; `migrations` bring an older one to the same schema, and a test
compares the two.

Instants are milliseconds since the epoch, UTC. Columns with JSON end in `_json`.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)

HEAD: Final = "0004"
"""The revision of this schema; revisions count up, so a higher one is of a newer luad."""

metadata: Final = MetaData()

meta: Final = Table(
    "meta",
    metadata,
    Column("key", Text, nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("key", name="meta_pk"),
)

jobs: Final = Table(
    "jobs",
    metadata,
    Column("job_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("revision", Text, nullable=False),
    Column("definition_json", Text, nullable=False),
    Column("origin_path", Text),
    Column("origin_line", BigInteger),
    Column("installed_at", BigInteger, nullable=False),
    Column("grid_at", BigInteger, nullable=False),
    Column("handled_until", BigInteger, nullable=False),
    Column("consecutive_failures", BigInteger, nullable=False),
    Column("paused_at", BigInteger),
    Column("paused_until", BigInteger),
    Column("pause_reason", Text),
    Column("pause_author", Text),
    # of a dynamic job: when it was created, its author, and the run that created it
    Column("created_at", BigInteger),
    Column("created_by", Text),
    Column("created_by_run", Text),
    # what was written to its metadata since it was declared; NULL when nothing was
    Column("overlay_json", Text),
    Column("alert_json", Text),
    # how it stands among the others: one job of a name holds it
    Column("holds_name", BigInteger, nullable=False, server_default=text("1")),
    Column("over_at", BigInteger),
    Column("displaced_at", BigInteger),
    Column("displaced_reason", Text),
    Column("pause_revision", Text),
    # of its failures in a row: the runs that a stop of the daemon had to end; NULL when there are none
    Column("consecutive_stops", BigInteger),
    PrimaryKeyConstraint("job_id", name="jobs_pk"),
    Index("jobs_by_name", "name", unique=True, sqlite_where=text("holds_name = 1")),
    Index("jobs_by_file", "origin_path", sqlite_where=text("origin_path IS NOT NULL")),
    Index("jobs_failing", "job_id", sqlite_where=text("consecutive_failures > 0")),
    Index("jobs_paused", "pause_author", "job_id", sqlite_where=text("paused_at IS NOT NULL")),
)

revisions: Final = Table(
    "revisions",
    metadata,
    Column("job_id", Text, nullable=False),
    Column("revision", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("first_seen_at", BigInteger, nullable=False),
    Column("last_installed_at", BigInteger, nullable=False),
    Column("definition_json", Text, nullable=False),
    Column("created_by_run", Text),
    # of a job that is gone: since when, `deleted` or `completed`, and where it came from
    Column("gone_at", BigInteger),
    Column("gone_json", Text),
    PrimaryKeyConstraint("job_id", "revision", name="revisions_pk"),
    Index("revisions_by_name", "name", "job_id"),
    Index("revisions_by_age", "last_installed_at"),
    Index("revisions_by_run", "created_by_run", sqlite_where=text("created_by_run IS NOT NULL")),
)

runs: Final = Table(
    "runs",
    metadata,
    Column("id", Text, nullable=False),
    Column("job_name", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("revision", Text, nullable=False),
    Column("trigger", Text, nullable=False),
    Column("scheduled_for", BigInteger, nullable=False),
    # The occurrence of this row. NULL for runs by hand and repeated runs, which may have several
    # rows: NULLs are distinct in the unique index.
    Column("occurrence", BigInteger),
    Column("fire_at", BigInteger, nullable=False),
    Column("claimed_at", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempt", BigInteger, nullable=False),
    Column("missed_count", BigInteger, nullable=False),
    Column("metadata_json", Text),
    Column("started_at", BigInteger),
    Column("retry_at", BigInteger),
    Column("pid", BigInteger),
    Column("start_ticks", BigInteger),
    Column("boot_id", Text),
    Column("ended_at", BigInteger),
    Column("reason", Text),
    Column("retry_of", Text),
    # the ending of the last attempt
    Column("end_kind", Text),
    Column("end_at", BigInteger),
    Column("exit_code", BigInteger),
    Column("signal", BigInteger),
    Column("dropped_bytes", BigInteger),
    Column("error_type", Text),
    Column("error_message", Text),
    Column("error_traceback", Text),
    Column("result_json", Text),
    Column("is_result_truncated", Boolean(create_constraint=False)),
    # rows of occurrences that never became a run
    Column("skip_first", BigInteger),
    Column("skip_count", BigInteger),
    Column("is_skip_count_capped", Boolean(create_constraint=False)),
    Column("user_id", Text),
    Column("result_omitted", Text),
    Column("is_retryable", Boolean(create_constraint=False)),
    Column("left_processes", BigInteger),
    Column("left_tasks", BigInteger),
    Column("is_pinned", Boolean(create_constraint=False)),
    Column("is_remote", Boolean(create_constraint=False)),  # the metadata came over TCP
    PrimaryKeyConstraint("id", name="runs_pk"),
    # The instant comes first: the claims of one moment then lie on one page, not on one for each job.
    Index("runs_claim", "occurrence", "job_id", unique=True),
    Index("runs_by_time", "claimed_at", "id"),
    Index("runs_by_job", "job_id", "claimed_at", "id"),
    Index("runs_by_state", "state", "claimed_at", "id"),
    Index(
        "runs_by_rare_trigger",
        "trigger",
        "claimed_at",
        "id",
        sqlite_where=text("trigger <> 'schedule'"),
    ),
    Index(
        "runs_by_user",
        "user_id",
        "claimed_at",
        "id",
        sqlite_where=text("user_id IS NOT NULL"),
    ),
)

attempts: Final = Table(
    "attempts",
    metadata,
    Column("run_id", Text, ForeignKey("runs.id", name="attempts_run", ondelete="CASCADE")),
    Column("attempt", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("pid", BigInteger),
    Column("end_kind", Text),
    Column("exit_code", BigInteger),
    Column("signal", BigInteger),
    Column("error_type", Text),
    Column("error_message", Text),
    Column("error_traceback", Text),
    PrimaryKeyConstraint("run_id", "attempt", name="attempts_pk"),
)

run_logs: Final = Table(
    "run_logs",
    metadata,
    Column("run_id", Text, ForeignKey("runs.id", name="run_logs_run", ondelete="CASCADE")),
    # the number of the chunk's first line within its run, from 1
    Column("seq", BigInteger, nullable=False),
    Column("line_count", BigInteger, nullable=False),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("byte_count", Integer, nullable=False),
    Column("lines_json", Text, nullable=False),  # one JSON object a line
    PrimaryKeyConstraint("run_id", "seq", name="run_logs_pk"),
    Index("run_logs_by_age", "last_at"),
)

# --- files ---------------------------------------------------------------------------------------

files: Final = Table(
    "files",
    metadata,
    Column("path", Text, nullable=False),
    Column("status", LargeBinary, nullable=False),
    Column("content_key", Text, nullable=False),
    Column("shape", LargeBinary, nullable=False),
    Column("gid", BigInteger),
    Column("jobs", BigInteger, nullable=False),
    PrimaryKeyConstraint("path", name="files_pk"),
)

# --- users and messages --------------------------------------------------------------------------

users: Final = Table(
    "users",
    metadata,
    Column("id", Text, nullable=False),
    Column("definition_json", Text, nullable=False),
    Column("revision", Text, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("id", name="users_pk"),
)

user_data: Final = Table(
    "user_data",
    metadata,
    Column("user_id", Text, nullable=False),
    Column("data_json", Text, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("user_id", name="user_data_pk"),
)

messages: Final = Table(
    "messages",
    metadata,
    Column("id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("parts_json", Text, nullable=False),
    Column("priority", Text, nullable=False),
    Column("channels_json", Text),  # NULL for all of the user's
    Column("job_name", Text),
    Column("run_id", Text),
    Column("dedupe_key", Text),
    PrimaryKeyConstraint("id", name="messages_pk"),
    Index("messages_by_user", "user_id", "at", "id"),
    Index("messages_by_run", "run_id"),
    Index("messages_by_key", "user_id", "dedupe_key"),
    Index("messages_by_age", "at"),
)

deliveries: Final = Table(
    "deliveries",
    metadata,
    Column("message_id", Text, ForeignKey("messages.id", name="deliveries_of", ondelete="CASCADE")),
    Column("channel", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("error", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("is_degraded", Boolean(create_constraint=False), nullable=False),
    PrimaryKeyConstraint("message_id", "channel", name="deliveries_pk"),
    Index("deliveries_going_on", "state", sqlite_where=text("state = 'sending'")),
    Index("deliveries_by_time", "started_at", "message_id", "channel"),
    Index(
        "deliveries_failed",
        "started_at",
        "message_id",
        "channel",
        sqlite_where=text("state = 'failed'"),
    ),
)

# --- access ----------------------------------------------------------------------------------------

answers: Final = Table(
    "answers",
    metadata,
    Column("key", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("status", Integer),
    Column("body_json", Text),
    PrimaryKeyConstraint("key", name="answers_pk"),
    Index("answers_by_age", "at"),
)

tokens: Final = Table(
    "tokens",
    metadata,
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", BigInteger),
    Column("last_used_at", BigInteger),
    Column("rotated_at", BigInteger),
    # the secret before the last rotation, and until when it is valid
    Column("old_digest", Text),
    Column("old_until", BigInteger),
    PrimaryKeyConstraint("name", name="tokens_pk"),
    Index("tokens_by_digest", "digest", unique=True),
)

audit: Final = Table(
    "audit",
    metadata,
    Column("id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("entry_json", Text, nullable=False),
    Column("actor", Text),
    PrimaryKeyConstraint("id", name="audit_pk"),
    Index("audit_by_age", "at"),
    Index("audit_by_actor", "actor", "at"),
)

audit_jobs: Final = Table(
    "audit_jobs",
    metadata,
    Column("audit_id", Text, ForeignKey("audit.id", name="audit_jobs_of", ondelete="CASCADE")),
    Column("job_id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("audit_id", "job_id", name="audit_jobs_pk"),
    Index("audit_by_job", "job_id", "at", "audit_id"),
)

acknowledgements: Final = Table(
    "acknowledgements",
    metadata,
    Column("id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("author", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("until", BigInteger),
    PrimaryKeyConstraint("id", name="acknowledgements_pk"),
    Index("acknowledgements_by_age", "at"),
)

# The versions that the daemons had, from each instant on.
software: Final = Table(
    "software",
    metadata,
    Column("at", BigInteger, nullable=False),
    Column("luad", Text, nullable=False),
    Column("python", Text, nullable=False),
    PrimaryKeyConstraint("at", name="software_pk"),
)

sign_in_codes: Final = Table(
    "sign_in_codes",
    metadata,
    Column("digest", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("lifetime_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("digest", name="sign_in_codes_pk"),
)

sessions: Final = Table(
    "sessions",
    metadata,
    Column("digest", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("token_digest", Text, nullable=False),
    Column("agent", Text, nullable=False),
    PrimaryKeyConstraint("digest", name="sessions_pk"),
    Index("sessions_by_use", "seen_at"),
)

# Alembic's own table, so that a fresh database can be stamped without importing Alembic.
version_table: Final = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
