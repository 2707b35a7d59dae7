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
    text,
)

from luad.store import access_tables, cluster_tables
from luad.store.schema_base import Text, only

HEAD: Final = "0005"
"""The revision of this schema; revisions count up, so a higher one is of a newer luad."""

metadata: Final = access_tables.tokens.metadata
assert cluster_tables.inbox.metadata is metadata  # three modules, one schema

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
    Column("pause_schedule_since", BigInteger),
    # of its failures in a row: the runs that a stop of the daemon had to end; NULL when there are none
    Column("consecutive_stops", BigInteger),
    # NULL in the embedded store, which has one owner
    Column("shard", Integer),
    Column("next_at", BigInteger),
    PrimaryKeyConstraint("job_id", name="jobs_pk"),
    Index("jobs_by_name", "name", unique=True, **only("holds_name = 1")),
    Index("jobs_by_file", "origin_path", **only("origin_path IS NOT NULL")),
    Index("jobs_failing", "job_id", **only("consecutive_failures > 0")),
    Index("jobs_paused", "pause_author", "job_id", **only("paused_at IS NOT NULL")),
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
    Index("revisions_by_run", "created_by_run", **only("created_by_run IS NOT NULL")),
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
    # NULL in the embedded store. `hand_over`: the id of Procrastinate's row; `stop`: `grace` or `kill`
    Column("shard", Integer),
    Column("queue", Text),
    Column("hand_over", BigInteger),
    Column("stop", Text),
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
        **only("trigger <> 'schedule'"),
    ),
    Index(
        "runs_by_user",
        "user_id",
        "claimed_at",
        "id",
        **only("user_id IS NOT NULL"),
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
    Column("worker", Text),  # the life that executes it, or `nobody`
    Column("code_digest", Text),
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
    Column("checks", LargeBinary, nullable=False),
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
    Column("node", Text),  # the node that sends it
    PrimaryKeyConstraint("message_id", "channel", name="deliveries_pk"),
    Index("deliveries_going_on", "state", **only("state = 'sending'")),
    Index("deliveries_by_time", "started_at", "message_id", "channel"),
    Index(
        "deliveries_failed",
        "started_at",
        "message_id",
        "channel",
        **only("state = 'failed'"),
    ),
)

# Alembic's own table, so that a fresh database can be stamped without importing Alembic.
version_table: Final = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
