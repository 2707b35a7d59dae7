"""Each link of each page leads to an answer, for every role: a number leads to the list behind it."""

from __future__ import annotations

import html
import re
from urllib.parse import urlsplit

import pytest
from support.dashboard import Visitor
from support.live_daemon import LiveDaemon

MOST = 600
LINK = re.compile(r'<a\b[^>]*? href="([^"]*)"')
SHAPE = re.compile(r"run_\w+|(?<=[?&]cursor=)[^&]*|(?<=[?&]day=)[^&]*")


def links_of(page: str, path: str) -> set[str]:
    """Return the addresses of this server to which a page at *path* leads."""
    base = urlsplit(path)
    found = set()
    for each in map(html.unescape, LINK.findall(page)):
        link = urlsplit(each)
        assert not link.netloc, each
        if link.path or link.query:
            found.add(f"{link.path or base.path}{'?' if link.query else ''}{link.query}")
    return found


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
def test_each_link_of_each_page_leads_to_an_answer(site: LiveDaemon, role: str) -> None:
    site.luad("pause", "weekly-report", "--reason", "holiday")
    visitor = Visitor.of(site, "--role", role).sign_in()
    waiting, seen, wrong = ["/"], {"/"}, []
    shapes: set[str] = set()
    while waiting and len(shapes) < MOST:
        path = waiting.pop(0)
        answer = visitor.ask("GET", path)
        if answer.status != 200:
            wrong.append((path, answer.status))
        if not answer.headers["content-type"].startswith("text/html") or path == "/docs":
            continue
        for link in sorted(links_of(answer.text, path) - seen):
            seen.add(link)
            shape = SHAPE.sub("", link)
            if shape not in shapes and link.count("&") < 2:  # two filters at once are enough
                shapes.add(shape)
                waiting.append(link)
    site.luad("resume", "weekly-report")
    assert wrong == []
    assert len(shapes) > 100
    assert {"/runs?since=24h", "/runs?status=running", "/jobs?health=failing"} <= seen
