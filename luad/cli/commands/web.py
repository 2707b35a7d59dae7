"""`luad web`: a link that signs one browser in.

Rule: it prints the link once; the code in it counts for a minute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from luad.cli.base import Command, pass_session
from luad.cli.project.target_daemon import connect

if TYPE_CHECKING:
    from luad.cli.session import Session


@click.command("web", cls=Command)
@click.option(
    "--role", type=click.Choice(["viewer", "operator", "admin"]),
    help="What the browser may do; default: operator",
)  # fmt: skip
@click.option(
    "--host", metavar="127.0.0.1",
    help="For a browser that cannot resolve luad's own host name: viewer, for one hour",
)  # fmt: skip
@click.option("--open", "is_open", is_flag=True, help="Open it in the default browser")
@pass_session
def web(session: Session, *, role: str | None, host: str | None, is_open: bool) -> None:
    """Print a link to the dashboard that signs a browser in, once, within a minute."""
    body = {key: value for key, value in (("role", role), ("host", host)) if value}
    made = connect(session).post("/sign-in-codes", body)
    if session.json:
        session.out.json(made)
        return
    session.out.line(made["url"])
    if host and role not in (None, "viewer"):
        session.out.warn(
            f"At {host} a session is a viewer's, for an hour: other ports get its cookie."
        )
    session.out.info(f"Open it within a minute. It works once, as {made['role']}.")
    if is_open:
        import webbrowser

        webbrowser.open(made["url"])
