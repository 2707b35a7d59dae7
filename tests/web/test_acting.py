"""Actions: one or many, asked first, once for two clicks, and undone."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from support.dashboard import SAME_ORIGIN, Answer, Visitor, dashboard
from support.live_daemon import LiveDaemon

NAMES = [f"herd-{number:02}" for number in range(60)]
HERD = "---\n".join(
    f"name: {name}\nhandler: shop:fails\ntags: [herd]\n"
    'schedule: {type: cron, expression: "0 0 1 1 *"}\n'
    for name in NAMES
)


@pytest.fixture(scope="module")
def herd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    """Return a daemon with sixty jobs of one tag."""
    daemon = dashboard(tmp_path_factory.mktemp("herd"))
    daemon.write_job("herd", HERD)
    with daemon:
        yield daemon


@pytest.fixture(scope="module")
def visitor(herd: LiveDaemon) -> Visitor:
    """Return a signed-in operator."""
    return Visitor.of(herd, "--role", "operator").sign_in()


def act(visitor: Visitor, action: str, **form: str | list[str]) -> Answer:
    return visitor.ask("POST", f"/act/{action}", {"back": "/jobs", **form}, SAME_ORIGIN)


def fields_of(page: str) -> dict[str, str | list[str]]:
    """Return the hidden fields of the form of a page that asks."""
    main = page[page.index("<main") :]
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', main):
        found.setdefault(name, []).append(value.replace("&amp;", "&"))
    return dict(found)


def paused(daemon: LiveDaemon) -> set[str]:
    return {each["name"] for each in daemon.json("list")["jobs"] if each["status"] == "paused"}


def test_a_few_ticked_jobs_are_one_action_of_an_operator(
    herd: LiveDaemon, visitor: Visitor
) -> None:
    answer = act(visitor, "pause", job=NAMES[:3])
    assert answer.status == 303, answer.text
    assert "done=pause&subject=3+jobs" in answer.location
    assert paused(herd) == set(NAMES[:3])
    page = visitor.ask("GET", answer.location).text
    assert "Paused 3 jobs." in page[: page.index("<main")]  # an update replaces only the main part
    undo = page[page.index('action="/act/resume"') :].partition("</form>")[0]
    assert [f'value="{name}"' in undo for name in NAMES[:4]] == [True, True, True, False]
    done = act(visitor, "resume", job=NAMES[:3], sure="1")
    assert "done=resume" in done.location
    assert paused(herd) == set()


def test_more_than_five_are_asked_first_without_scripts(herd: LiveDaemon, visitor: Visitor) -> None:
    asked = act(visitor, "pause", job=NAMES[:6], reason="moving")
    assert asked.status == 200
    assert "Pause 6 jobs?" in asked.text
    assert 'value="moving"' in asked.text
    assert paused(herd) == set()
    done = act(visitor, "pause", **fields_of(asked.text))
    assert "6+jobs" in done.location
    assert paused(herd) == set(NAMES[:6])
    act(visitor, "resume", job=NAMES[:6], sure="1")


def test_all_that_match_the_filter_are_shown_before_and_done_after(
    herd: LiveDaemon, visitor: Visitor
) -> None:
    asked = act(visitor, "pause", back="/jobs?tag=herd&cursor=x", all="1")
    assert "Pause 60 jobs?" in asked.text
    assert "herd-19" in asked.text
    assert "herd-20" not in asked.text
    assert "and 40 more" in asked.text
    done = act(visitor, "pause", **fields_of(asked.text))
    assert "60+jobs" in done.location
    assert paused(herd) == set(NAMES)
    asked = act(visitor, "resume", back="/jobs?status=paused", all="1")
    herd.luad("resume", NAMES[0])
    again = act(visitor, "resume", **fields_of(asked.text))  # the choice has changed meanwhile
    assert again.status == 200
    assert "The choice has changed" in again.text
    assert len(paused(herd)) == 59
    assert "59+jobs" in act(visitor, "resume", **fields_of(again.text)).location
    assert paused(herd) == set()


def test_two_clicks_start_each_job_once(herd: LiveDaemon, visitor: Visitor) -> None:
    form: dict[str, str | list[str]] = {"job": NAMES[:4], "key": "one-page"}
    assert [act(visitor, "run", **form).status for _ in range(2)] == [303, 303]
    single: dict[str, str | list[str]] = {"job": NAMES[5], "key": "another-page"}
    assert [act(visitor, "run", **single).status for _ in range(2)] == [303, 303]
    for name in (*NAMES[:4], NAMES[5]):
        assert len(herd.json("history", name)["runs"]) == 1
    act(visitor, "run", job=NAMES[5], key="a-third-page")
    assert len(herd.json("history", NAMES[5])["runs"]) == 2


def test_runs_that_match_are_tried_again(herd: LiveDaemon, visitor: Visitor) -> None:
    herd.luad("run", NAMES[10], "--wait", check=False)
    herd.luad("run", NAMES[11], "--wait", check=False)
    back = f"/runs?status=failed&job={NAMES[10]}"
    asked = act(visitor, "retry", back=back, all="1")
    assert "Retry 1 run?" in asked.text
    assert NAMES[10] in asked.text
    done = act(visitor, "retry", **fields_of(asked.text))
    assert done.location.startswith(f"/runs?status=failed&job={NAMES[10]}&done=batch")
    assert len(herd.json("history", NAMES[10])["runs"]) == 2
    assert len(herd.json("history", NAMES[11])["runs"]) == 1


def test_a_failing_job_is_acknowledged_on_its_own_page_or_its_runs(
    herd: LiveDaemon, visitor: Visitor
) -> None:
    name = NAMES[20]
    herd.luad("run", name, "--wait", check=False)
    run_id = herd.json("history", name)["runs"][0]["id"]
    pages = (f"/jobs/{name}", f"/runs/{run_id}")
    asked = (visitor.ask("GET", pages[0]).text for _ in range(1_000))
    text = next(each for each in asked if "/act/acknowledge" in each)  # a look is kept for a second
    assert "/act/acknowledge" in visitor.ask("GET", pages[1]).text
    found = re.search(r'name="id" value="(failing\.[^"]+)"', text)
    assert found is not None
    act(visitor, "acknowledge", id=found[1], note="<the bank> moves", until="1d", back=pages[0])
    for page in pages:
        text = visitor.ask("GET", page).text
        assert "/act/acknowledge" not in text
        assert "&lt;the bank&gt; moves" in text
    other = visitor.ask("GET", f"/jobs/{NAMES[21]}").text
    assert "Needs attention" not in other
    assert "the bank" in visitor.ask("GET", f"/jobs/{name}?tab=activity").text


def test_a_test_goes_to_one_channel_and_says_whether_it_arrived(
    herd: LiveDaemon, visitor: Visitor
) -> None:
    admin = Visitor.of(herd, "--role", "admin").sign_in()
    sent = act(admin, "test", user="ann", channel="inbox", back="/users/ann")
    assert "done=send&" in sent.location
    assert "Sent a test to inbox of ann." in admin.ask("GET", sent.location).text
    lost = act(admin, "test", user="ann", channel="pager", back="/users/ann")
    assert "The test did not arrive at pager of ann." in admin.ask("GET", lost.location).text
    page = admin.ask("GET", "/users/ann").text
    assert page.count('formaction="/act/test"') == 2
    assert act(visitor, "test", user="ann", channel="inbox").status == 403
    assert "/act/test" not in visitor.ask("GET", "/users/ann").text


def test_all_runs_without_a_filter_are_refused(visitor: Visitor) -> None:
    answer = act(visitor, "retry", back="/runs", all="1")
    assert answer.status == 400
    assert "no filter" in answer.text


def test_stopping_a_run_is_asked_first(herd: LiveDaemon, visitor: Visitor) -> None:
    started = act(visitor, "run", job="etl-load", follow="1")
    run_id = started.location.rpartition("/")[2].partition("#")[0]
    asked = act(visitor, "cancel", run=run_id, back=f"/runs/{run_id}")
    assert asked.status == 200
    assert "Stop 1 run?" in asked.text
    assert herd.json("show", run_id)["status"] in ("queued", "running")
    act(visitor, "cancel", **fields_of(asked.text))
    ended = (herd.json("show", run_id)["status"] for _ in range(100))
    assert next(each for each in ended if each not in ("queued", "running")) == "cancelled"


@pytest.mark.parametrize("action", ["run", "pause", "resume", "retry", "cancel"])
def test_a_viewer_can_act_on_nothing(herd: LiveDaemon, action: str) -> None:
    viewer = Visitor.of(herd, "--role", "viewer").sign_in()
    for form in ({"job": NAMES[:2]}, {"all": "1", "back": "/jobs?tag=herd"}, {"run": "run_x"}):
        assert act(viewer, action, **form).status == 403
    page = viewer.ask("GET", "/jobs").text
    assert "/act/pause" not in page
    assert 'name="all"' not in page


def test_an_operator_may_not_make_or_delete_many(herd: LiveDaemon) -> None:
    secret = herd.luad("token", "create", "op", "--role", "operator").stdout.split()[0]
    visitor = Visitor.of(herd)
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    for action, status in (("create", 403), ("delete", 403), ("resume", 200)):
        body = f'{{"action": "{action}", "jobs": []}}'
        assert visitor.send("POST", "/v1/jobs:batch", body, headers).status == status


@pytest.mark.parametrize(
    "back", ["//evil.example", "https://evil.example", "/\\evil.example", "/\n/x", "javascript:1"]
)
def test_the_way_back_stays_on_this_server(visitor: Visitor, back: str) -> None:
    answer = act(visitor, "resume", job="weekly-report", back=back)
    assert answer.location.startswith("/?done=resume")


def test_a_link_of_another_site_shows_no_words_of_its_own(visitor: Visitor) -> None:
    path = "/jobs?done=pause&subject=everything&undo=weekly-report"
    for site, is_shown in (("same-origin", True), ("cross-site", False), ("none", False)):
        text = visitor.ask("GET", path, None, {"Sec-Fetch-Site": site}).text
        assert ("Paused everything" in text) is is_shown
    assert "done=pause" not in text
