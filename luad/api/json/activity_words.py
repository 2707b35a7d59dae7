"""An entry of the audit trail in words: the request as a person would say it.

Rule: pure; a request that has no words here is named by its method and path.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luad.core.model import JSON

_WORDS: Final = {
    "POST /v1/jobs": ("created {job}", "create a job"),
    "POST /v1/jobs:batch": ("changed {jobs}", "change {jobs}"),
    "POST /v1/runs:batch": ("asked for the {subject}", "ask for the {subject}"),
    "PATCH /v1/jobs/{}": ("changed {job}", "change {job}"),
    "DELETE /v1/jobs/{}": ("deleted {job}", "delete {job}"),
    "POST /v1/jobs/{}/activate": ("resumed {job}", "resume {job}"),
    "POST /v1/jobs/{}/deactivate": ("paused {job}", "pause {job}"),
    "POST /v1/jobs/{}/trigger": ("ran {job}", "run {job}"),
    "PATCH /v1/jobs/{}/metadata": ("changed the metadata of {job}", "change the metadata of {job}"),
    "PUT /v1/jobs/{}/metadata": ("replaced the metadata of {job}", "replace the metadata of {job}"),
    "POST /v1/jobs/{}/restore": (
        "restored an earlier revision of {job}",
        "restore an earlier revision of {job}",
    ),
    "POST /v1/runs/{}/cancel": ("cancelled a run of {job}", "cancel a run of {job}"),
    "POST /v1/runs/{}/retry": ("retried a run of {job}", "retry a run of {job}"),
    "POST /v1/attention/{}/acknowledge": ("acknowledged {subject}", "acknowledge {subject}"),
    "POST /v1/messages/{}/resend": ("sent a message again", "send a message again"),
    "POST /v1/explain": ("asked what a schedule means", "ask what a schedule means"),
    "POST /v1/users": ("added a user", "add a user"),
    "PATCH /v1/users/{}": ("changed the user {user}", "change the user {user}"),
    "DELETE /v1/users/{}": ("removed the user {user}", "remove the user {user}"),
    "PATCH /v1/users/{}/data": ("changed the data of {user}", "change the data of {user}"),
    "PUT /v1/users/{}/data": ("replaced the data of {user}", "replace the data of {user}"),
    "DELETE /v1/users/{}/data": ("deleted the data of {user}", "delete the data of {user}"),
    "POST /v1/users/{}/send": ("sent a message to {user}", "send a message to {user}"),
    "POST /v1/config/reload": ("read the files again", "read the files again"),
    "POST /v1/config/check": ("checked the files", "check the files"),
    "POST /v1/sign-in-codes": ("made a sign-in link", "make a sign-in link"),
    "DELETE /v1/sessions/{}": ("signed a browser out", "sign a browser out"),
    "POST /v1/tokens": ("created a token", "create a token"),
    "DELETE /v1/tokens/{}": ("revoked the token {token}", "revoke the token {token}"),
    "POST /v1/tokens/{}/rotate": ("rotated the token {token}", "rotate the token {token}"),
}
"""The words for a change, and for its refusal, by method and path."""

_PART: Final = re.compile(r"^(/v1/(?:jobs|runs|users|tokens|attention|messages|sessions))/[^/]+")
_REFUSED: Final = 400


def summary(entry: Mapping[str, JSON]) -> str:
    """Return an entry of the audit trail in words: `paused tidy`, `tried to pause tidy`."""
    if "not_kept" in entry:
        return f"sent {entry['not_kept']} more requests, of which only the number is kept"
    path = str(entry.get("path", ""))
    template = _PART.sub(r"\1/{}", path)
    words = _WORDS.get(f"{entry.get('method', '')} {template}")
    status = entry.get("status")
    is_refused = not isinstance(status, int) or status >= _REFUSED
    if words is None:
        text = f"{entry.get('method', '')} {path}"
    else:
        text = words[is_refused].format_map(_Names(entry))
    text = f"tried to {text}" if is_refused else text
    reason = entry.get("reason")
    return f"{text}: {reason}" if reason else text


class _Names(dict[str, str]):
    """The names in an entry; `job` for one that it does not name."""

    def __init__(self, entry: Mapping[str, JSON]) -> None:
        super().__init__({key: str(value) for key, value in entry.items()})
        count = entry.get("job_count")
        self.setdefault("jobs", f"{count} jobs" if count else self.get("job", "no job"))
        if count:
            self["jobs"] = f"{count} jobs"
        self.setdefault("subject", self.get("job", "change of many runs"))

    def __missing__(self, key: str) -> str:
        return f"a {key}"
