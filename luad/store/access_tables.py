"""The tables of access: tokens, sessions, the audit trail, and what users acknowledged.

Instants are milliseconds since the epoch, UTC. Columns with JSON end in `_json`.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, PrimaryKeyConstraint, Table

from luad.store.schema_base import Text, metadata

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
