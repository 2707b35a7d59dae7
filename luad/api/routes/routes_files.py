"""The route of one job file: its text, its problems, and its jobs in force.

Rule: as in `routes_jobs`. A viewer sees the problems, an operator the text too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luad.api.auth.roles import OPERATORS
from luad.api.config_files import FileText, id_of, is_job_file, path_of, read_file
from luad.api.context import context_of, json_response
from luad.api.http.api_problems import ApiError
from luad.api.json import views
from luad.api.routes.routes_whoami import caller_of
from luad.config.secrets import shown_definition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from luad.api.context import Context
    from luad.store.query_types import FileJob


async def show_file(request: Request) -> Response:
    """`GET /config/files/{file}`: a job file as it is on disk."""
    context = context_of(request)
    path, jobs, found = await file_of(request, context, request.path_params["file"])
    may_read = (await caller_of(request)).role in OPERATORS
    lines = found.lines if may_read else None
    problems = [
        {**view, "excerpt": [{"line": number, "text": text} for number, text in each.excerpt]}
        for view, each in zip(views.problem_list(found.problems), found.problems, strict=True)
    ]
    return json_response(
        {
            "id": id_of(path),
            "path": path,
            "text": None if lines is None else "\n".join(lines),
            "is_whole": found.is_whole,
            "is_readable": found.lines is not None,
            "problems": problems,
            "jobs": [
                {
                    "name": each.name,
                    "id": each.job_id,
                    "revision": each.revision,
                    "line": each.line,
                    "definition": shown_definition(each.definition),
                }
                for each in jobs
            ],
        }
    )


async def file_of(
    request: Request, context: Context, file_id: str
) -> tuple[str, Sequence[FileJob], FileText]:
    """Return the path of a file, its jobs in force, and its text. Raises `ApiError` (not_found)."""
    path = path_of(file_id)
    folders = context.service.status().get("jobs_dirs") or ()
    if path is None or not is_job_file(path, folders):
        hint = "GET /v1/config has the ids of all files"
        raise ApiError("not_found", "no job file has this id", hint=hint)
    jobs = await context.service.store.history.jobs_of_file(path)
    problems = [each for each in context.service.problems().every if each.path == path]
    if not jobs and not problems:
        raise ApiError("not_found", "luad has no job of this file, and no problem with it")
    found = await context.compute(request, lambda _: read_file(path, problems))
    return path, jobs, found
