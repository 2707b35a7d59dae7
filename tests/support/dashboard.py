"""A daemon that serves its pages on loopback, and a visitor without a browser."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

from support.forked_daemon import ForkedDaemon
from support.live_daemon import LiveDaemon

HANDLERS = """\
import logging, time, luad

def works(job):
    print("hello", job.name)
    return {"synced": 12}

def fails(job):
    logging.warning("answer 502")
    raise RuntimeError("502 Bad Gateway")

def waits(job):
    print("begun", flush=True)
    time.sleep(60)

@luad.params({
    "type": "object",
    "required": ["region"],
    "properties": {
        "region": {"enum": ["emea", "apac"], "description": "where it is sold"},
        "days": {"type": "integer", "minimum": 1, "maximum": 31},
        "dry_run": {"type": "boolean"},
        "notes": {"type": "array", "items": {"type": "string"}},
    },
})
def exports(job):
    for number in range(1, 601):
        print(f"part {number}")
    print("\\x1b[32mdone\\x1b[0m", job.metadata)
    return job.metadata

def attacks(job):
    print("<script>document.title = 'taken'</script>\\u202egnp.exe")
    raise ValueError("<img src=x onerror=alert(1)>")
"""
JOBS = """\
name: health-check
handler: shop:works
schedule: {type: cron, expression: "0 0 1 1 *"}
tags: [ops]
---
name: billing-sync
description: Fetch what was paid since the last run.
handler: shop:fails
schedule: {type: cron, expression: "0 0 1 1 *"}
metadata: {since: "2026-11-24"}
---
name: etl-load
handler: shop:waits
schedule: {type: cron, expression: "0 0 1 1 *"}
---
name: attacker
handler: shop:attacks
description: "<b>bold</b>"
schedule: {type: cron, expression: "0 0 1 1 *"}
---
name: export
handler: shop:exports
schedule: {type: cron, expression: "0 0 1 1 *"}
metadata: {region: emea, days: 7, more: kept}
---
name: weekly-report
handler: shop:works
schedule: {type: cron, expression: "0 9 * * MON", timezone: Europe/London}
alert: {to: [ann], after_failures: 2, also: [timeout]}
"""
USERS = """\
id: ann
full_name: Ann Example
channels:
  - inbox
  - {type: webhook, name: pager, url: "http://127.0.0.1:9/pager", allow_private: true}
"""
BROKEN = 'name: bad\nhandler: shop:works\nschedule: {type: cron, expresion: "0 9 * * *"}\n'


def dashboard(folder: Path, *options: str) -> LiveDaemon:
    """Return a daemon that listens on a free port of loopback, not yet started."""
    users = folder / "users.d"
    users.mkdir(parents=True, exist_ok=True)
    (users / "ann.yaml").write_text(USERS)
    daemon = ForkedDaemon(folder, "--listen", "127.0.0.1:0", "--users", str(users), *options)
    daemon.write_handler("shop", HANDLERS)
    daemon.write_job("jobs", JOBS)
    daemon.write_job("report", BROKEN)
    return daemon


@dataclass
class Answer:
    """The answer that a visitor got."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def location(self) -> str:
        """Where the answer leads."""
        return self.headers.get("location", "")


@dataclass
class Visitor:
    """A client that keeps a cookie, and sends the headers that it is told to."""

    link: str
    cookie: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, daemon: LiveDaemon, *options: str) -> Visitor:
        """Return a visitor with a fresh link of `luad web`."""
        return cls(str(daemon.json("web", *options)["url"]))

    @property
    def host(self) -> str:
        """Host and port of the pages."""
        return urlsplit(self.link).netloc

    @property
    def port(self) -> int:
        """The port of the pages."""
        port = urlsplit(self.link).port
        assert port is not None
        return port

    @property
    def code(self) -> str:
        """The code of the link."""
        return parse_qs(urlsplit(self.link).query)["code"][0]

    def ask(
        self,
        method: str,
        path: str,
        form: Mapping[str, str | list[str]] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send one request to 127.0.0.1, under the name of the link unless *headers* say otherwise."""
        sent = {"Host": self.host, "Accept": "text/html", **self.headers}
        body = None
        if form is not None:
            body = urlencode(form, doseq=True)
            sent |= {"Content-Type": "application/x-www-form-urlencoded"}
        if self.cookie:
            sent["Cookie"] = self.cookie
        return self.send(method, path, body, sent | (headers or {}))

    def send(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> Answer:
        """Send one request with these headers; an empty one is left out."""
        sent = {"Host": self.host, **headers}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {k: v for k, v in sent.items() if v})
            response = connection.getresponse()
            text = response.read().decode()
            found = {key.lower(): value for key, value in response.getheaders()}
            return Answer(response.status, found, text)
        finally:
            connection.close()

    def sign_in(self) -> Visitor:
        """Use the link, and keep the cookie."""
        answer = self.ask("POST", "/login", {"code": self.code}, SAME_ORIGIN)
        assert answer.status == 303, answer.text
        self.cookie = answer.headers["set-cookie"].partition(";")[0]
        return self

    def json(self, path: str) -> dict[str, object]:
        """Ask the API with the cookie."""
        answer = self.ask("GET", path)
        assert answer.status == 200, answer.text
        found: dict[str, object] = json.loads(answer.text)
        return found


SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
