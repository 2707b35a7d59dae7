"""What luad carries over, row by row: users, messages, and running by hand, on one live daemon.

Each test is a row: on the left what the agent platform has whose Jobs luad continues, on the right what
it has become here.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from support.carried_over import STATIC, ask, carried_daemon, cli, once
from support.live_daemon import LiveDaemon

from luad.sdk.values import SentMessage
from luad.sync import Jobs, Text, User


@pytest.fixture(scope="module", autouse=True)
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    with carried_daemon(tmp_path_factory.mktemp("carried")) as live:
        yield live


@pytest.fixture
def received(daemon: LiveDaemon) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """The requests that a real HTTP server on loopback gets for the user `everywhere`."""
    posts: list[tuple[str, dict[str, Any]]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers["Content-Length"])
            posts.append((self.path, json.loads(self.rfile.read(size))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        place = f"127.0.0.1:{server.server_port}"
        channels = [
            "inbox",
            "log",
            {"type": "webhook", "url": f"http://{place}/hook", "allow_private": True},
            {"type": "apprise", "url": f"json://{place}/apprise"},
        ]
        user = {"id": "everywhere", "channels": channels}
        (daemon.folder / "users.d" / "everywhere.yaml").write_text(json.dumps(user))
        ask("POST", "/config/reload", {})
        yield posts
        server.shutdown()
        serving.join()


# --- users and messages --------------------------------------------------------------------------


def test_users_are_found_by_id_address_and_number() -> None:
    for words in (
        {"id": "ann"},
        {"email": "Ann@Example.com"},
        {"phone": "+442079460018"},
        {"phone": "442079460018"},
    ):
        user = User.get(**words)
        assert user is not None
        assert user.id == "ann"
    assert User.get("zed") is None


def test_in_a_run_it_is_the_user_of_the_run() -> None:
    run = once("current_user", "for-somebody", user="ann")
    assert run["result"] == ["ann", True]
    user = User.get("ann")
    assert user is not None
    assert user.data.pop("met")
    user.clear()


def test_data_is_merged_and_cleared_and_the_profile_is_frozen() -> None:
    user = User.get("ann")
    assert user is not None
    user.update(score=1)
    user.update({"team": "a"}, last=None)
    assert user.data == {"score": 1, "team": "a", "last": None}
    user.data["score"] = 2
    user.save()
    again = User.get("ann")
    assert again is not None
    assert again.data["score"] == 2
    user.clear()
    assert user.data == {}
    assert once("profile_is_frozen", "frozen", user="ann")["result"] == "frozen"


def test_messages_in_every_form() -> None:
    assert once("send_all_forms", "sends", user="ann")["result"] == [True, 4]
    user = User.get("ann")
    assert user is not None
    sent: list[SentMessage] = user.messages(4)
    assert Text("one") in [part for each in sent for part in each.parts]


def test_a_message_goes_where_the_users_file_says(
    daemon: LiveDaemon, received: list[tuple[str, dict[str, Any]]]
) -> None:
    """Kept, logged, posted, and through a service that Apprise knows: an outcome for each."""
    run = once("send_everywhere", "tells-all", user="everywhere", keep=True)
    assert run["result"] == [
        [channel, "delivered"] for channel in ("apprise", "inbox", "log", "webhook")
    ]
    assert {path for path, _ in received} == {"/hook", "/apprise"}
    assert "hello" in json.dumps(received)
    inbox = cli(daemon, "users", "inbox", "everywhere").stdout
    assert "hello" in inbox
    kept = ask("GET", "/users/everywhere/messages")["messages"]
    assert kept[0]["run_id"] == run["id"]
    deliveries = ask("GET", f"/runs/{run['id']}/deliveries")["deliveries"]
    assert sorted(each["channel"] for each in deliveries) == ["apprise", "inbox", "log", "webhook"]
    daemon.wait_for("message.delivered", channel="log")


def test_nothing_delivered_raises_and_fails_the_run() -> None:
    run = once("nothing_arrives", "unheard")
    assert run["status"] == "failed"
    assert run["error"]["type"].endswith("DeliveryFailed")


# --- testing and running by hand -----------------------------------------------------------------


def test_a_job_is_tried_without_the_daemon(daemon: LiveDaemon) -> None:
    tried = cli(daemon, "test", "from-file", "--json")
    assert tried.returncode == 0, tried.stderr
    answer = json.loads(tried.stdout)
    assert answer["status"] == "completed"
    assert answer["sent"] == []


def test_messages_of_a_trial_are_shown_and_go_nowhere(daemon: LiveDaemon) -> None:
    before = len(json.loads(cli(daemon, "users", "inbox", "ann", "--json").stdout)["messages"])
    tried = cli(daemon, "test", "rows:remind", "--user", "ann", "-m", "message=hello")
    assert "would send to ann" in tried.stdout, tried.stdout + tried.stderr
    after = len(json.loads(cli(daemon, "users", "inbox", "ann", "--json").stdout)["messages"])
    assert before == after


def test_metadata_of_a_trial_are_kept_only_when_asked(daemon: LiveDaemon) -> None:
    text = STATIC.replace("from-file", "tried").replace("rows:look", "rows:write_to_itself")
    (daemon.jobs / "tried.yaml").write_text(text)
    ask("POST", "/config/reload", {})
    declared = Jobs.get("tried").metadata
    assert cli(daemon, "test", "tried").returncode == 0
    assert Jobs.get("tried").metadata == declared
    assert cli(daemon, "test", "tried", "--persist").returncode == 0
    assert Jobs.get("tried").metadata == {**declared, "seen": True, "last": None}


def test_list_and_run(daemon: LiveDaemon) -> None:
    assert "from-file" in cli(daemon, "list").stdout
    ran = cli(daemon, "run", "from-file", "--wait")
    assert ran.returncode == 0, ran.stderr


def test_a_job_as_a_file_loads_again(daemon: LiveDaemon) -> None:
    Jobs.create(name="exported", handler="rows:look", every="2h", user="ann", metadata={"a": "ü"})
    text = cli(daemon, "show", "exported", "--yaml").stdout
    cli(daemon, "delete", "exported", "--yes")
    again = Path(daemon.folder / "exported.yaml")
    again.write_text(text)
    assert cli(daemon, "create", "--from", str(again)).returncode == 0
    job = Jobs.get("exported")
    assert (job.schedule["seconds"], job.user_id, job.metadata) == (7200, "ann", {"a": "ü"})
