"""One module a revision, named after it; Alembic orders them by `down_revision`."""
