"""Users files together, bodies, and what is shown of addresses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from support.cost import turns

from luad.config.jobs.job_file import load_file
from luad.config.jobs.last_good import FileVersion
from luad.config.settings.daemon_settings import Settings
from luad.config.users.channels import masked
from luad.config.users.user_file import (
    LoadedUsers,
    UserCatalogue,
    check_users,
    load_users,
    unknown_users,
    user_from_body,
)
from luad.core.messaging import Channel, ChannelKind
from luad.core.model import Origin
from luad.errors import Problem, Severity, ValidationError


@dataclass(frozen=True)
class Version:
    data: bytes
    key: str
    problem: Problem | None = None


def files(**texts: str) -> dict[str, FileVersion]:
    return {f"users.d/{stem}.yaml": Version(text.encode(), text) for stem, text in texts.items()}


def load(catalogue: UserCatalogue, **texts: str) -> LoadedUsers:
    return catalogue.update(files(**texts))


def test_a_file_says_who_somebody_is_and_how_to_reach_them() -> None:
    text = (
        "id: ann\nfull_name: Ann\nemails: [ann@example.com]\nphones: ['+44 20 7946 0018']\n"
        "timezone: Europe/London\nchannels:\n- log\n- {type: webhook, name: hook, url: '${A}', "
        "headers: {X-Token: '${B}'}, timeout: 5s, allow_private: true}\n"
        "- {type: apprise, url: 'credential:mail'}\n"
    )
    (ann,) = load_users("ann.yaml", text.encode()).users
    assert (ann.id, ann.full_name, ann.timezone) == ("ann", "Ann", "Europe/London")
    assert ann.channels == (
        Channel("log", ChannelKind.LOG),
        Channel("hook", ChannelKind.WEBHOOK, "${A}", (("X-Token", "${B}"),), 5_000, True),
        Channel("apprise", ChannelKind.APPRISE, "credential:mail"),
    )
    assert ann.origin == Origin("ann.yaml", 1)
    assert ann.definition["id"] == "ann"


def test_whoever_names_no_channel_has_an_inbox() -> None:
    (ann,) = load_users("ann.yaml", b"id: ann\n").users
    assert ann.channels == (Channel("inbox", ChannelKind.INBOX),)


def test_an_unchanged_user_is_the_same_object_and_a_broken_file_keeps_its_last_good_version() -> (
    None
):
    catalogue = UserCatalogue()
    before = load(catalogue, ann="id: ann\n", ben="id: ben\n")
    after = load(catalogue, ann="id: ann\ncolour: red\n", ben="id: ben\nfull_name: Ben\n")
    assert after.stale == ("users.d/ann.yaml",)
    assert after.users["ann"].stale
    assert after.users["ann"].revision == before.users["ann"].revision
    assert after.users["ben"].full_name == "Ben"
    mended = load(catalogue, ann="id: ann\n", ben="id: ben\nfull_name: Ben\n")
    assert mended.users["ben"] is after.users["ben"]
    assert not mended.users["ann"].stale
    assert load(catalogue, ben="id: ben\n").users.keys() == {"ben"}


def test_of_two_files_with_one_id_the_first_stays_and_both_places_are_named() -> None:
    catalogue = UserCatalogue()
    load(catalogue, z="# here\nid: ann\n")
    loaded = load(catalogue, z="# here\nid: ann\n", a="id: ann\nfull_name: Other\n")
    origin = loaded.users["ann"].origin
    assert origin == Origin("users.d/z.yaml", 2)
    (problem,) = loaded.problems
    assert (problem.path, problem.line, problem.code) == ("users.d/a.yaml", 1, "LU403")
    assert problem.message == "duplicate user `ann`; first defined at users.d/z.yaml:2"


def test_a_folder_that_cannot_be_read_keeps_its_people() -> None:
    catalogue = UserCatalogue()
    before = load(catalogue, ann="id: ann\n")
    assert catalogue.update({}, unread=["users.d"]).users.keys() == before.users.keys()
    assert catalogue.update({}).users == {}


def test_trying_a_load_has_no_consequences() -> None:
    catalogue = UserCatalogue()
    load(catalogue, ann="id: ann\n")
    twin = catalogue.copy()
    assert load(twin, ann="id: [").users["ann"].stale
    assert not load(catalogue, ann="id: ann\n").users["ann"].stale
    assert check_users(files(ann="id: ann\n")).users.keys() == {"ann"}


def test_jobs_for_nobody_are_warned_of() -> None:
    text = (
        b"name: a\nhandler: m:f\nschedule: {type: interval, every: 1m}\nuser: anne\n"
        b"alert: {to: [ann, ops]}\n"
    )
    parsed = load_file("jobs.d/a.yaml", text, settings=Settings())
    users = {each.id: each for each in load_users("ann.yaml", b"id: ann\n").users}
    found = unknown_users(parsed.jobs, users)
    assert [(each.pointer, each.help) for each in found] == [
        ("/user", "did you mean `ann`?"),
        ("/alert/to/1", "add users.d/ops.yaml"),
    ]
    assert {(each.code, each.severity) for each in found} == {("LU404", Severity.WARNING)}


# --- bodies ------------------------------------------------------------------------------------


def test_a_body_is_the_person_that_a_file_would_declare() -> None:
    user = user_from_body({"id": "ann", "channels": ["inbox", {"type": "log", "name": "l"}]})
    (same,) = load_users(
        "a.yaml", b'{"id":"ann","channels":["inbox",{"type":"log","name":"l"}]}'
    ).users
    assert user.origin is None
    assert (user.channels, user.revision) == (same.channels, same.revision)


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({}, "#/id", "LU101"),
        ({"id": "a b"}, "#/id", "LU104"),
        ({"id": 5}, "#/id", "LU103"),
        ({"id": "a", "fullName": "A"}, "#/fullName", "LU105"),
        ({"id": "a", "channels": ["inbx"]}, "#/channels/0", "LU601"),
        ({"id": "a", "channels": [{"type": "webhook", "url": "x"}]}, "#/channels/0/url", "LU602"),
        ({"id": "a", "timezone": "Mars"}, "#/timezone", "LU205"),
        ({"id": "a", "full_name": "\ud800"}, "#/full_name", "LU005"),
    ],
)
def test_a_wrong_body_is_told_with_pointers(body: dict[str, Any], pointer: str, code: str) -> None:
    with pytest.raises(ValidationError) as caught:
        user_from_body(body)
    assert [(each["pointer"], each["code"]) for each in caught.value.errors] == [(pointer, code)]


def test_a_secret_in_clear_keeps_nobody_from_being_added() -> None:
    channel = {"type": "webhook", "url": "https://example.com/?token=abc"}
    assert user_from_body({"id": "ann", "channels": [channel]}).id == "ann"


# --- what is shown -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("url: https://a.example/x?k=1", "url: https://***************"),
        ("url: https://${HOST}/x", "url: https://${HOST}**"),
        ("  Authorization: Bearer abc  # why", "  Authorization: ****** ***  # why"),
        ("id: ann", "id: ann"),
        ("url: credential:mail", "url: credential:mail"),
    ],
)
def test_a_line_is_shown_without_its_secrets_and_as_long_as_it_was(line: str, shown: str) -> None:
    assert masked(line, ()) == shown
    assert len(masked(line, ["abc", "ann"])) == len(line)


@pytest.mark.slow
def test_no_file_is_dear() -> None:
    hostile = [
        b"id: ann\nchannels:\n- {type: webhook, url: 'https://" + b"a" * 1_900 + b"'}\n" * 300,
        b"id: ann\nemails: [" + b"a@b," * 50_000 + b"]\n",
        b"id: ann\nchannels: [" + b"{type: {type: " * 30 + b"}}" * 30 + b"]\n",
        b"token: " + b"key" * 20_000 + b"\nid: [\n",
        b"id: ann\n---\n" * 5_000,
    ]
    for data in hostile:
        assert load_users("a.yaml", data).is_broken
        assert turns(lambda text=data: load_users("a.yaml", text)) < 1_000
