"""Where a setting comes from, and what is said about a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from luad.config.schema.validator import load_schema
from luad.config.settings.daemon_settings import (
    Dynamic,
    Retention,
    Settings,
    SettingsError,
    SettingsFile,
    check_settings,
    load_settings,
)
from luad.config.settings.setting_keys import KEYS, Address
from luad.config.settings.store_target import Target
from luad.config.settings.web_settings import Web
from luad.core.model import DAY, MINUTE, AlertCause, AlertPolicy


def file(text: str, path: str = "/etc/luad/luad.yaml") -> SettingsFile:
    return SettingsFile(path, text.encode())


def test_nothing_given_is_the_defaults_with_everything_beside_the_jobs_folder() -> None:
    settings = load_settings({}, {}, None, uid=1000)
    assert settings == Settings()
    assert settings.jobs == (Path("jobs.d"),)
    assert settings.state_dir == Path(".luad")
    assert settings.handlers_path == Path("handlers")
    assert settings.socket == Path(".luad/luad.sock")


def test_flags_win_over_variables_those_over_the_file() -> None:
    text = file("timezone: Asia/Tokyo\nkill_grace: 1s\ndrain: 1s\n")
    environ = {"LUAD_KILL_GRACE": "2s", "LUAD_DRAIN": "2s"}
    settings = load_settings({"drain": "3s", "rescan": None}, environ, text)
    assert (settings.timezone, settings.kill_grace_ms, settings.drain_ms) == (
        "Asia/Tokyo",
        2_000,
        3_000,
    )
    assert settings.rescan_ms == 5 * MINUTE
    assert settings.sources == {
        "timezone": "/etc/luad/luad.yaml",
        "kill_grace": "$LUAD_KILL_GRACE",
        "drain": "flag",
    }


def test_every_key_of_the_file_arrives() -> None:
    settings = load_settings(
        {},
        {},
        file(
            "jobs: [jobs.d, /srv/more]\nstate_dir: state\nsocket: run/l.sock\nhandlers_path: h\n"
            "working_directory: .\n"
            "timezone: Europe/London\nlog: {format: json, level: debug}\nmax_concurrent_runs: 7\n"
            "work: {queues: [default, gpu]}\nkill_grace: 1\ndrain: 1m\nretention: {history: 1d, runs_per_job: 5, logs: 2d}\n"
            "rescan: 1m\nsettle: 0.5\npass_env: [HOME, A_*]\nmax_file_size: 2M\nmax_jobs: 9\n"
            "permit_insecure: true\noutput_limit: 1K\nusers: [u]\nlisten: '[::1]:5823'\n"
            "tls: {certificate: c.pem, key: /k.pem}\ntrusted_proxies: [10.0.0.0/8]\n"
            "allowed_hosts: [luad.example.com]\nwebhooks: {allow_private: true}\n"
            "dynamic: {handlers: [m:f], max_jobs: 3, max_jobs_per_user: 2}\n"
            "alert: {to: [ops], after_failures: 0, or_failures_in_24h: 4, recovery: false, "
            "also: [missed]}\n"
            "web: {enabled: false, user_header: X-Remote-User, proxy_secret_file: s, "
            "proxy_socket: /run/w/w.sock, roles: {ann: admin}, base_path: /luad/}\n"
            "store: postgresql://luad@db/luad\nstore_password_file: p\nnode: web-1\n"
            "lost_after: 1m\n"
        ),
    )
    assert settings == Settings(
        jobs=(Path("/etc/luad/jobs.d"), Path("/srv/more")),
        state_dir=Path("/etc/luad/state"),
        socket=Path("/etc/luad/run/l.sock"),
        handlers_path=Path("/etc/luad/h"),
        working_directory=Path("/etc/luad"),
        timezone="Europe/London",
        log_format="json",
        log_level="debug",
        max_concurrent_runs=7,
        work_queues=("default", "gpu"),
        kill_grace_ms=1_000,
        drain_ms=MINUTE,
        retention=Retention(DAY, 5, 2 * DAY),
        rescan_ms=MINUTE,
        settle_ms=500,
        pass_env=("HOME", "A_*"),
        max_file_size=2 << 20,
        max_jobs=9,
        permit_insecure=True,
        output_limit=1_024,
        users=(Path("/etc/luad/u"),),
        listen=Address("::1", 5823),
        tls_certificate=Path("/etc/luad/c.pem"),
        tls_key=Path("/k.pem"),
        trusted_proxies=("10.0.0.0/8",),
        allowed_hosts=("luad.example.com",),
        dynamic=Dynamic(("m:f",), 3, 2),
        alert=AlertPolicy(("ops",), None, 4, recovery=False, also=(AlertCause.MISSED,)),
        webhooks_allow_private=True,
        web=Web(
            is_enabled=False,
            user_header="x-remote-user",
            proxy_secret_file=Path("/etc/luad/s"),
            proxy_socket=Path("/run/w/w.sock"),
            roles={"ann": "admin"},
            base_path="/luad",
        ),
        store=Target("postgresql://luad@db/luad"),
        store_password_file=Path("/etc/luad/p"),
        node="web-1",
        lost_after_ms=MINUTE,
    )


def test_a_process_starts_no_run_only_where_others_can() -> None:
    assert not load_settings({}, {}, file("work: false\nstore: postgresql://db/x\n")).does_work
    with pytest.raises(SettingsError, match="needs a PostgreSQL store") as caught:
        load_settings({}, {}, file("work: false\n"))
    assert "luad worker" in caught.value.hint
    with pytest.raises(SettingsError, match="needs a PostgreSQL store"):
        load_settings({}, {"LUAD_WORK": "no"}, None)


def test_a_job_may_name_any_queue_only_where_workers_can_be() -> None:
    assert load_settings({}, {}, None).served_queues == {"default"}
    assert load_settings({}, {}, file("store: postgresql://db/x\n")).served_queues is None


@pytest.mark.parametrize(
    "url",
    [
        "mysql://luad@db/luad",
        "luad.db",
        "postgresql://luad:hunter2@db/luad",
        "postgresql://db/luad?password=hunter2",
    ],
)
def test_a_store_is_a_postgresql_url_without_a_password(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({}, {}, file(f"store: '{url}'\n"))
    (problem,) = caught.value.problems
    assert "hunter2" not in f"{caught.value.message} {problem.message} {problem.excerpt}"


def test_a_store_is_shown_without_its_parameters_and_its_password() -> None:
    target = Target.parse("postgresql://luad@a:1,b:2/luad?sslmode=require", "hunter2")
    assert target.shown == "postgresql://luad@a:1,b:2/luad"
    assert target.has_several_hosts
    assert "hunter2" not in repr(target)


def test_the_schema_and_the_table_of_keys_agree() -> None:
    properties = load_schema("luad")["properties"]
    named = set()
    for key, each in properties.items():
        inner = each.get("properties")
        if "$ref" in each:
            inner = load_schema("luad")["$defs"][each["$ref"].rpartition("/")[2]].get("properties")
        named |= {f"{key}_{name}" for name in inner} if inner else {key}
        named |= {key} if "boolean" in each.get("type", ()) else set()
    assert named | {"watch", "strict"} == {key.name for key in KEYS}


def test_the_defaults_in_the_schema_are_those_of_the_model() -> None:
    properties = load_schema("luad")["properties"]
    text = "".join(
        f"{key}: {each['default']}\n"
        for key, each in properties.items()
        if key
        not in {"jobs", "users", "state_dir", "socket", "handlers_path", "log", "retention"}
        | {"pass_env", "listen", "working_directory", "shared_processes", "web"}
        | {"store", "store_password_file", "node"}
    ).replace("False", "false")
    kept = properties["retention"]["properties"]
    text += (
        "retention: {" + ", ".join(f"{key}: {each['default']}" for key, each in kept.items()) + "}"
    )
    assert load_settings({}, {}, file(text, "luad.yaml")) == load_settings({}, {}, None)


def test_an_empty_file_says_nothing() -> None:
    settings = load_settings({}, {}, file("# nothing yet\n", "luad.yaml"), uid=1000)
    assert settings == Settings()


def test_folders_beside_the_jobs_folder_follow_it() -> None:
    settings = load_settings({"jobs": ("/srv/a/jobs.d", "/srv/b")}, {}, None, uid=1000)
    assert settings.state_dir == Path("/srv/a/.luad")
    assert settings.handlers_path == Path("/srv/a/handlers")
    assert settings.users == (Path("/srv/a/users.d"),)
    assert settings.socket == Path("/srv/a/.luad/luad.sock")


@pytest.mark.parametrize(
    ("environ", "uid", "socket"),
    [
        ({}, 0, "/run/luad/luad.sock"),
        ({}, 1000, ".luad/luad.sock"),
        ({"XDG_RUNTIME_DIR": "/run/user/1000"}, 1000, "/run/user/1000/luad/luad.sock"),
        ({"RUNTIME_DIRECTORY": "/run/luad:/run/more"}, 1000, "/run/luad/luad.sock"),
        ({"LUAD_SOCKET": "/tmp/x.sock", "RUNTIME_DIRECTORY": "/run/luad"}, 0, "/tmp/x.sock"),
        ({"STATE_DIRECTORY": "/var/lib/luad:/x"}, 1000, "/var/lib/luad/luad.sock"),
    ],
)
def test_the_socket_is_where_the_user_may_create_it(
    environ: dict[str, str], uid: int, socket: str
) -> None:
    assert load_settings({}, environ, None, uid=uid).socket == Path(socket)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("LUAD_KILL_GRACE", "soon", "LUAD_KILL_GRACE: 'soon' is not a duration"),
        ("LUAD_MAX_JOBS", "many", "'many' is not a whole number"),
        ("LUAD_MAX_CONCURRENT_RUNS", "0", "0 is less than 1"),
        ("LUAD_LOG_FORMAT", "xml", "'xml' is not one of auto, console, json, journal"),
        ("LUAD_TIMEZONE", "Europe/Londn", "unknown time zone `Europe/Londn`"),
        ("LUAD_PERMIT_INSECURE", "maybe", "neither true nor false"),
        ("LUAD_MAX_FILE_SIZE", "big", "is not a size"),
        ("LUAD_JOBS", ":", "at least one folder"),
        ("LUAD_LISTEN", "5823", "'5823' is not an address; write 127.0.0.1:5823"),
        ("LUAD_LISTEN", "localhost:65536", "is not an address"),
        (
            "LUAD_TRUSTED_PROXIES",
            "proxy",
            "'proxy' is neither an address nor a network; write 10.0.0.5",
        ),
        ("LUAD_WEB_USER_HEADER", "Cookie", "'Cookie' cannot name a user; write X-Remote-User"),
        ("LUAD_WEB_USER_HEADER", "X Y", "'X Y' cannot name a user"),
        ("LUAD_WEB_ROLES", "ann=root", "ann=root is not a user and a role"),
        ("LUAD_WEB_ROLES", "admin", "=admin is not a user and a role"),
        ("LUAD_WEB_BASE_PATH", "luad", "'luad' is not a path in front of pages; write /luad"),
        ("LUAD_WEB_BASE_PATH", "/a/../b", "is not a path in front of pages"),
        ("LUAD_WEB_BASE_PATH", '/"x', "is not a path in front of pages"),
        ("LUAD_WORK_QUEUES", "default,GPU", "'GPU' is not the name of a queue"),
        ("LUAD_WORK_QUEUES", ",", "at least one queue is needed"),
        ("LUAD_ALERT_ALSO", "missed,late", "'late' is not one of timeout, delivery_failed, missed"),
    ],
)
def test_a_wrong_variable_is_named(name: str, text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words.replace("$", r"\$")) as caught:
        load_settings({}, {name: text}, None)
    assert f"${name}" in caught.value.message


def test_a_certificate_without_its_key_is_of_no_use() -> None:
    with pytest.raises(SettingsError, match="both a certificate and a key"):
        load_settings({}, {"LUAD_TLS_KEY": "key.pem"}, None)


@pytest.mark.parametrize(
    ("text", "listen"),
    [
        ("web: {}\n", "127.0.0.1:5823"),
        ("web: {}\nlisten: '[::1]:80'\n", "[::1]:80"),
        ("web: {base_path: /luad}\n", "127.0.0.1:5823"),
        ("web: {enabled: false}\n", "None"),
        ("web: {proxy_socket: w.sock}\n", "None"),
        ("timezone: UTC\n", "None"),
    ],
)
def test_web_alone_listens_on_loopback(text: str, listen: str) -> None:
    assert str(load_settings({}, {}, file(text)).listen) == listen


def test_a_header_with_a_user_needs_a_proof_of_the_proxy() -> None:
    text = "web: {user_header: X-Remote-User}\n"
    with pytest.raises(SettingsError, match="needs a proof"):
        load_settings({}, {}, file(text))
    environ = {"LUAD_WEB_PROXY_SOCKET": "/run/w.sock", "LUAD_WEB_ROLES": "ann=admin,*=viewer"}
    web = load_settings({}, environ, file(text)).web
    assert (web.user_header, web.roles) == ("x-remote-user", {"ann": "admin", "*": "viewer"})


def test_the_defaults_of_dynamic_jobs_are_those_of_the_schema() -> None:
    inner = load_schema("luad")["properties"]["dynamic"]["properties"]
    assert Dynamic() == Dynamic(
        tuple(inner["handlers"]["default"]),
        inner["max_jobs"]["default"],
        inner["max_jobs_per_user"]["default"],
    )


def test_nobody_is_alerted_until_somebody_is_named() -> None:
    assert load_settings({}, {"LUAD_ALERT_RECOVERY": "no"}, None).alert is None
    assert load_settings({}, {"LUAD_ALERT_TO": "ops,ann"}, None).alert == AlertPolicy(
        ("ops", "ann")
    )


def test_a_flag_takes_the_address_of_the_file_away() -> None:
    text = file("listen: 127.0.0.1:5823\n")
    assert load_settings({}, {}, text).listen == Address("127.0.0.1", 5823)
    assert load_settings({"listen": "none"}, {}, text).listen is None
    assert str(Address("::1", 80)) == "[::1]:80"


def test_lists_in_variables_use_the_separators_of_the_shell() -> None:
    settings = load_settings({}, {"LUAD_JOBS": "a:b", "LUAD_PASS_ENV": "HOME, TZ"}, None)
    assert settings.jobs == (Path("a"), Path("b"))
    assert settings.pass_env == ("HOME", "TZ")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("timezon: UTC\n", ["1:1 LU102"]),
        ("timezone: Mars\nkill_grace: 99999d\n", ["1:11 LU205", "2:13 LU104"]),
        ("kill_grace: ten\nlog: {format: xml}\n", ["1:13 LU104", "2:15 LU104"]),
        ("listen: 80\n", ["1:9 LU006"]),
        ("listen: here\ntls: {key: k}\n", ["1:9 LU104", "2:1 LU101"]),
        ("trusted_proxies: [me]\n", ["1:18 LU104"]),
        ("work: {queues: [GPU]}\n", ["1:17 LU104"]),
        ("work: {queues: []}\n", ["1:16 LU104"]),
        ("work: none\n", ["1:7 LU103"]),
        ("lost_after: 5s\n", ["1:13 LU104"]),
        ("alert: {to: [ops], also: [tiemout]}\n", ["1:27 LU104"]),
        ("- a\n", ["1:1 LU008"]),
        ("drain: 1s\ndrain: 2s\n", ["2:1 LU002"]),
        ("drain: 1s\n---\ndrain: 2s\n", ["3:1 LU007"]),
        ("name: job\nhandler: m:f\n", ["1:1 LU102", "2:1 LU102"]),
    ],
)
def test_a_wrong_file_has_problems_with_places(text: str, found: list[str]) -> None:
    document, problems = check_settings(file(text))
    assert document == {}
    assert [f"{each.line}:{each.column} {each.code}" for each in problems] == found
    with pytest.raises(SettingsError) as caught:
        load_settings({}, {}, file(text))
    assert caught.value.problems == problems
