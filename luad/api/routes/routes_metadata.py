"""Routes of a job's metadata.

Rule: as in `routes_jobs`. Merging is the engine's: two writers of different keys both win.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from luad.api.auth.remote import is_remote
from luad.api.context import context_of, json_response
from luad.api.http.api_problems import ApiError
from luad.api.http.etags import if_match, not_modified, tag_of
from luad.api.http.request_input import beside, content_type, read_json
from luad.config.jobs.api_bodies import refusal, unfit
from luad.core.requests import MetadataRequested

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

MERGE_PATCH: Final = "application/merge-patch+json"


async def show_metadata(request: Request) -> Response:
    """`GET /jobs/{job}/metadata`: the declared metadata, with the keys that were written since."""
    context = context_of(request)
    state = await context.look_up(request.path_params["job"])
    tag = tag_of(state.version)
    known = not_modified(request, tag)
    return known or json_response(dict(state.job.metadata), headers={"etag": tag})


async def merge_metadata(request: Request) -> Response:
    """`PATCH /jobs/{job}/metadata`: set keys, or apply a merge patch."""
    is_patch = content_type(request) == MERGE_PATCH
    return await _write(request, "patch" if is_patch else "merge")


async def replace_metadata(request: Request) -> Response:
    """`PUT /jobs/{job}/metadata`: replace all of it."""
    return await _write(request, "replace")


async def _write(request: Request, mode: Literal["merge", "patch", "replace"]) -> Response:
    context = context_of(request)
    values = await object_of(request)
    state = await context.need_job(request, whole=True)
    wanted = if_match(request, state.version)
    event = MetadataRequested(
        context.service.new_request_id(),
        state.key,
        values,
        mode,
        wanted,
        is_remote(request),
    )
    written = (await context.ask(event)).value
    after = context.service.job(state.key)
    headers = {} if after is None else {"etag": tag_of(after.version)}
    return json_response(written, headers=headers)


async def object_of(request: Request) -> dict[str, object]:
    """Read the JSON object of a body that is data: any keys, but nothing that could not be kept.

    Raises `ApiError`, `ValidationError`.
    """
    values = await read_json(request, also=(MERGE_PATCH,))
    if not isinstance(values, dict):
        raise ApiError("validation", "the body is not an object", hint='send {"key": value}')
    if mistakes := await beside(request, lambda: list(unfit(values))):
        raise refusal("body", mistakes)
    return values
