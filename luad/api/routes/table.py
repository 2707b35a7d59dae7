"""The route table: each endpoint of the API is one row.

Rule: a row says everything about an endpoint; the router, the roles, the remote rules and the OpenAPI
document are read from it. A row that names no role or no remote rule is refused, see `endpoint`.
"""

from __future__ import annotations

from typing import Final

from luad.api.auth.remote import (
    ALLOWED,
    NO_ENVIRONMENT,
    NO_FILES,
    NO_GIVEN_METADATA,
    NO_METADATA,
    NO_REFERENCES,
    NO_SHARED,
    NOTHING,
)
from luad.api.auth.roles import ADMINS, OPERATORS, VIEWERS
from luad.api.http import parameters
from luad.api.json.log_lines import MEDIA
from luad.api.routes import (
    routes_about,
    routes_activity,
    routes_attention,
    routes_batch,
    routes_daemon,
    routes_deliveries,
    routes_dynamic,
    routes_events,
    routes_explain,
    routes_files,
    routes_handlers,
    routes_jobs,
    routes_logs,
    routes_metadata,
    routes_nodes,
    routes_revisions,
    routes_run_batch,
    routes_runs,
    routes_sign_in,
    routes_stats,
    routes_tokens,
    routes_users,
    routes_whoami,
    routes_why,
)
from luad.api.routes.endpoint import Endpoint
from luad.api.routes.rows import Rows

_LINES: Final = tuple(MEDIA.values())
_CALENDAR: Final = ("application/json", "text/calendar")
_ONCE: Final = ("Idempotency-Key",)
_OF_A_RUN: Final = ("Luad-Run",)
_MINE: Final = (*_ONCE, *_OF_A_RUN)
_SAME: Final = ("If-Match",)
_NEWER: Final = ("If-None-Match",)
_AGAIN: Final = ("Last-Event-ID",)
_MADE: Final = (200, 201)
_PROBE: Final = (200, 503)

TABLE: Final = (
    Endpoint("GET", "/v1/jobs", "All jobs, or a page of them", routes_jobs.list_jobs, VIEWERS, ALLOWED, parameters.JOBS, answer="Jobs"),
    Endpoint("POST", "/v1/jobs", "Make a job", routes_dynamic.create_job, ADMINS, NO_ENVIRONMENT, body="NewJob", answer="ChangedJob", headers=_MINE, statuses=_MADE),
    Endpoint("POST", "/v1/jobs:batch", "Make, delete, pause, resume or trigger many jobs", routes_batch.batch, OPERATORS, NO_ENVIRONMENT, body="Batch", answer="BatchResult", headers=_OF_A_RUN),
    Endpoint("GET", "/v1/jobs/{job}", "One job", routes_jobs.show_job, VIEWERS, ALLOWED, parameters.EXACT, answer="Job", headers=_NEWER),
    Endpoint("PATCH", "/v1/jobs/{job}", "Change a dynamic job", routes_dynamic.change_job, ADMINS, NO_ENVIRONMENT, body="Object", answer="ChangedJob", headers=_SAME, takes_merge_patch=True),
    Endpoint("DELETE", "/v1/jobs/{job}", "Delete a dynamic job", routes_dynamic.delete_job, ADMINS, ALLOWED, answer="DeletedJob", headers=_SAME),
    Endpoint("POST", "/v1/jobs/{job}/activate", "Resume a job", routes_jobs.activate, OPERATORS, ALLOWED, body="Activate", answer="Job"),
    Endpoint("POST", "/v1/jobs/{job}/deactivate", "Pause a job", routes_jobs.deactivate, OPERATORS, ALLOWED, body="Deactivate", answer="Job"),
    Endpoint("POST", "/v1/jobs/{job}/trigger", "Run a job now", routes_jobs.trigger, OPERATORS, NO_GIVEN_METADATA, body="Trigger", answer="StartedRun", headers=_ONCE, statuses=(202,)),
    Endpoint("GET", "/v1/jobs/{job}/metadata", "The current metadata of a job", routes_metadata.show_metadata, VIEWERS, ALLOWED, headers=_NEWER),
    Endpoint("PATCH", "/v1/jobs/{job}/metadata", "Set keys of the metadata", routes_metadata.merge_metadata, OPERATORS, NO_METADATA, body="Object", headers=_SAME, takes_merge_patch=True),
    Endpoint("PUT", "/v1/jobs/{job}/metadata", "Replace the metadata", routes_metadata.replace_metadata, OPERATORS, NO_METADATA, body="Object", headers=_SAME),
    Endpoint("GET", "/v1/jobs/{job}/runs", "The history of a job", routes_runs.list_runs_of_job, VIEWERS, ALLOWED, parameters.RUNS_OF_JOB, answer="Runs"),
    Endpoint("GET", "/v1/jobs/{job}/revisions", "The revisions of a job", routes_revisions.list_revisions, VIEWERS, ALLOWED, parameters.NONE, answer="Revisions"),
    Endpoint("POST", "/v1/jobs/{job}/restore", "Give a job an earlier revision", routes_revisions.restore, ADMINS, NO_SHARED, body="Restore", answer="ChangedJob", headers=_SAME),
    Endpoint("GET", "/v1/jobs/{job}/next", "The next occurrences of a job", routes_daemon.job_next, VIEWERS, ALLOWED, parameters.NEXT, answer="Next"),
    Endpoint("GET", "/v1/jobs/{job}/activity", "The requests about a job", routes_activity.list_activity, VIEWERS, ALLOWED, parameters.ACTIVITY, answer="Activity"),
    Endpoint("GET", "/v1/jobs/{job}/why", "Why a job did or did not run", routes_why.show_why, VIEWERS, ALLOWED, parameters.WHY, answer="Why"),
    Endpoint("GET", "/v1/jobs/{job}/stats", "The outcomes and durations of the last runs of a job", routes_stats.show_stats_of_job, VIEWERS, ALLOWED, parameters.STATS_OF_JOB, answer="JobStats"),
    Endpoint("GET", "/v1/stats", "The outcomes of all runs since an instant", routes_stats.show_stats, VIEWERS, ALLOWED, parameters.STATS, answer="Stats"),
    Endpoint("GET", "/v1/attention", "Jobs, runs, files and messages that need a look", routes_attention.list_attention, VIEWERS, ALLOWED, parameters.NONE, answer="AttentionList"),
    Endpoint("POST", "/v1/attention/{id}/acknowledge", "Say that trouble is known", routes_attention.acknowledge, OPERATORS, ALLOWED, body="Acknowledge", answer="Attention"),
    Endpoint("GET", "/v1/runs", "The history of all jobs", routes_runs.list_runs, VIEWERS, ALLOWED, parameters.RUNS, answer="Runs"),
    Endpoint("POST", "/v1/runs:batch", "Retry or cancel many runs", routes_run_batch.batch, OPERATORS, ALLOWED, body="RunBatch", answer="RunBatchResult"),
    Endpoint("GET", "/v1/runs/{run}", "One run", routes_runs.show_run, VIEWERS, ALLOWED, parameters.NONE, answer="Run"),
    Endpoint("GET", "/v1/runs/{run}/changes", "What has changed since the job last worked", routes_runs.show_changes, VIEWERS, ALLOWED, parameters.NONE, answer="RunChanges"),
    Endpoint("GET", "/v1/runs/{run}/deliveries", "The deliveries of a run", routes_runs.list_deliveries, VIEWERS, ALLOWED, parameters.NONE, answer="Deliveries"),
    Endpoint("GET", "/v1/runs/{run}/log", "The log of a run", routes_logs.run_log, VIEWERS, ALLOWED, parameters.LOG_OF_RUN, headers=_AGAIN, media=_LINES),
    Endpoint("POST", "/v1/runs/{run}/cancel", "Stop a run", routes_runs.cancel, OPERATORS, ALLOWED, body="Cancel", answer="StartedRun", statuses=(202,)),
    Endpoint("POST", "/v1/runs/{run}/retry", "Run the occurrence of a run again", routes_runs.retry, OPERATORS, ALLOWED, body="Empty", answer="StartedRun", headers=_ONCE, statuses=(202,)),
    Endpoint("GET", "/v1/logs", "Lines of all runs", routes_logs.all_logs, VIEWERS, ALLOWED, parameters.LOGS, media=_LINES),
    Endpoint("GET", "/v1/handlers/{handler}", "The parameters that a handler declares", routes_handlers.show_handler, VIEWERS, ALLOWED, parameters.HANDLER, answer="Handler"),
    Endpoint("GET", "/v1/schedule", "The next occurrences of all jobs", routes_daemon.schedule, VIEWERS, ALLOWED, parameters.SCHEDULE, answer="Next", media=_CALENDAR),
    Endpoint("POST", "/v1/explain", "A schedule in words, or the instant of a phrase", routes_explain.explain, VIEWERS, ALLOWED, body="Explain", answer="Explanation"),
    Endpoint("GET", "/v1/users", "All users", routes_users.list_users, VIEWERS, ALLOWED, parameters.USERS, answer="Users"),
    Endpoint("POST", "/v1/users", "Add a user", routes_users.add_user, ADMINS, NO_REFERENCES, body="NewUser", answer="User", statuses=_MADE),
    Endpoint("GET", "/v1/users/{user}", "One user", routes_users.show_user, VIEWERS, ALLOWED, answer="User"),
    Endpoint("PATCH", "/v1/users/{user}", "Change a user", routes_users.change_user, ADMINS, NO_REFERENCES, body="Object", answer="User", takes_merge_patch=True),
    Endpoint("DELETE", "/v1/users/{user}", "Remove a user", routes_users.remove_user, ADMINS, ALLOWED, answer="Deleted"),
    Endpoint("GET", "/v1/users/{user}/data", "The data of a user", routes_users.show_data, VIEWERS, ALLOWED),
    Endpoint("PATCH", "/v1/users/{user}/data", "Set keys of the data", routes_users.merge_data, ADMINS, ALLOWED, body="Object", headers=_SAME, takes_merge_patch=True),
    Endpoint("PUT", "/v1/users/{user}/data", "Replace the data", routes_users.replace_data, ADMINS, ALLOWED, body="Object", headers=_SAME),
    Endpoint("DELETE", "/v1/users/{user}/data", "Delete the data", routes_users.clear_data, ADMINS, ALLOWED, headers=_SAME),
    Endpoint("POST", "/v1/users/{user}/send", "Send a message to a user", routes_users.send, ADMINS, NO_FILES, body="Send", answer="Sent", headers=_MINE),
    Endpoint("GET", "/v1/users/{user}/messages", "The messages to a user", routes_users.list_messages, VIEWERS, ALLOWED, parameters.PAGE, answer="Messages"),
    Endpoint("GET", "/v1/deliveries", "The deliveries of all messages", routes_deliveries.list_deliveries, VIEWERS, ALLOWED, parameters.DELIVERIES, answer="AllDeliveries"),
    Endpoint("POST", "/v1/messages/{message}/resend", "Send a message again where it has not arrived", routes_deliveries.resend, OPERATORS, ALLOWED, body="Empty", answer="Deliveries"),
    Endpoint("GET", "/v1/events", "The stream of events", routes_events.follow_events, VIEWERS, ALLOWED, parameters.EVENTS, headers=_AGAIN, media=(MEDIA["sse"],)),
    Endpoint("GET", "/v1/config", "The files, and their problems", routes_daemon.show_config, VIEWERS, ALLOWED, parameters.NONE, answer="Config"),
    Endpoint("GET", "/v1/config/files/{file}", "A job file as it is on disk, with its problems", routes_files.show_file, VIEWERS, ALLOWED, parameters.NONE, answer="ConfigFile"),
    Endpoint("POST", "/v1/config/reload", "Read the files now", routes_daemon.reload, OPERATORS, ALLOWED, body="Reload", answer="Reloaded"),
    Endpoint("POST", "/v1/config/check", "The problems of the files, and the plan", routes_daemon.check, VIEWERS, ALLOWED, body="Empty", answer="Reloaded"),
    Endpoint("GET", "/v1/status", "The state of the daemon", routes_daemon.show_status, VIEWERS, ALLOWED, parameters.NONE, answer="Status"),
    Endpoint("GET", "/v1/nodes", "The nodes and workers that share the store", routes_nodes.list_nodes, VIEWERS, ALLOWED, parameters.NONE, answer="Nodes"),
    Endpoint("GET", "/v1/whoami", "The client that asks", routes_whoami.show_caller, VIEWERS, ALLOWED, parameters.NONE, answer="Caller"),
    Endpoint("GET", "/v1/healthz", "The health of the daemon", routes_daemon.healthz, VIEWERS, ALLOWED, answer="Health", statuses=_PROBE, is_public=True, alias="/healthz"),
    Endpoint("GET", "/v1/readyz", "The readiness of the daemon", routes_daemon.readyz, VIEWERS, ALLOWED, answer="Readiness", statuses=_PROBE, is_public=True, alias="/readyz"),
    Endpoint("GET", "/v1/metrics", "Metrics for Prometheus", routes_daemon.metrics, VIEWERS, ALLOWED, media=("text/plain",), alias="/metrics"),
    Endpoint("GET", "/v1/tokens", "All tokens", routes_tokens.list_tokens, ADMINS, ALLOWED, parameters.NONE, answer="Tokens"),
    Endpoint("POST", "/v1/tokens", "Make a token", routes_tokens.create_token, ADMINS, ALLOWED, body="NewToken", answer="NewSecret", statuses=(201,)),
    Endpoint("DELETE", "/v1/tokens/{token}", "Revoke a token", routes_tokens.revoke_token, ADMINS, ALLOWED, body="Revocation", answer="RevokedTokens"),
    Endpoint("POST", "/v1/tokens/{token}/rotate", "Give a token another secret", routes_tokens.rotate_token, ADMINS, ALLOWED, body="Rotation", answer="NewSecret"),
    Endpoint("GET", "/v1/audit", "The audit trail", routes_activity.list_audit, ADMINS, ALLOWED, parameters.AUDIT, answer="Audit"),
    Endpoint("POST", "/v1/sign-in-codes", "Make a link that signs a browser in", routes_sign_in.make_code, ADMINS, NOTHING, body="NewCode", answer="SignInCode", statuses=(201,)),
    Endpoint("GET", "/v1/sessions", "The browsers that are signed in", routes_sign_in.list_sessions, ADMINS, ALLOWED, parameters.NONE, answer="Sessions"),
    Endpoint("DELETE", "/v1/sessions/{session}", "Sign a browser out", routes_sign_in.end_session, ADMINS, ALLOWED, answer="Deleted"),
    Endpoint("GET", "/v1/openapi.json", "This document", routes_about.show_document, VIEWERS, ALLOWED, parameters.NONE),
    Endpoint("GET", "/docs", "This document as a page", routes_about.show_page, VIEWERS, ALLOWED, parameters.NONE, media=("text/html",)),
    Endpoint("GET", "/problems/{code}", "The meaning of a problem code", routes_about.show_problem, VIEWERS, ALLOWED, media=("text/plain",)),
)  # fmt: skip

API: Final = Rows(TABLE)
"""The rows of the API alone, without the pages."""
