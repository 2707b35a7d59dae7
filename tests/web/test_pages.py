"""Every page, without a browser: what it holds, and what it must not hold."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from support.dashboard import SAME_ORIGIN, Visitor
from support.live_daemon import LiveDaemon

from luad.store.trouble import Kind
from luad.web.filters import RUN_FILTERS
from luad.web.icons import icon
from luad.web.render import HERE, environment
from luad.web.site import ROWS
from luad.web.troubles import ICONS, UNKNOWN, WORDS

PAGES = [
    "/",
    "/jobs",
    "/jobs?health=failing",
    "/jobs?q=nothing-like-it",
    "/jobs/billing-sync",
    "/jobs/billing-sync?tab=revisions",
    "/jobs/billing-sync?tab=metadata",
    "/jobs/billing-sync?tab=alerts",
    "/jobs/weekly-report",
    "/jobs/billing-sync/run",
    "/runs",
    "/runs?status=failed",
    "/schedule",
    "/schedule?day=2030-01-01",
    "/schedule?view=week",
    "/schedule?view=week&day=2030-01-01&tag=ops",
    "/jobs/export/run",
    "/users",
    "/users/ann",
    "/activity",
    "/system",
    "/help",
]
FILTERED = {
    "status": "failed", "reason": "overlap", "trigger": "resume", "job": "attacker", "user": "ann", "tag": "ops",
    "delivery": "ok", "since": "36h", "until": "2026-11-22T12:00:00Z", "min_duration": "10m", "not": "noisy", "q": "x",
}  # fmt: skip
WANTED = {
    "content-security-policy": "default-src 'none'",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


@pytest.fixture(scope="module")
def visitor(site: LiveDaemon) -> Visitor:
    """Return a signed-in admin."""
    return Visitor.of(site, "--role", "admin").sign_in()


@pytest.mark.parametrize("path", PAGES)
def test_a_page_answers_with_its_headers(visitor: Visitor, path: str) -> None:
    answer = visitor.ask("GET", path)
    assert answer.status == 200, answer.text
    for name, value in WANTED.items():
        assert answer.headers[name].startswith(value), name
    assert "<h1>" in answer.text
    assert "style=" not in answer.text
    assert not re.search(r"<script(?![^>]*src=)", answer.text)


def test_each_page_of_the_table_is_tried() -> None:
    patterns = {re.sub(r"\{\w+\}", "[^/?]+", row.path) for row in ROWS if row.method == "GET"}
    tried = [*PAGES, "/login", "/static/style.css", "/runs/run_1"]
    assert {
        each
        for each in patterns
        if not any(re.fullmatch(each, path.split("?")[0]) for path in tried)
    } == set()


def test_the_overview_puts_failures_first(visitor: Visitor) -> None:
    text = visitor.ask("GET", "/").text
    assert "Needs attention" in text
    assert text.index('id="job-billing-sync"') < text.index('id="job-weekly-report"')
    assert "unknown key" in text


def test_a_run_shows_its_error_its_own_frames_and_its_log(
    site: LiveDaemon, visitor: Visitor
) -> None:
    run_id = site.json("history", "billing-sync")["runs"][0]["id"]
    text = visitor.ask("GET", f"/runs/{run_id}").text
    assert "RuntimeError" in text
    assert "502 Bad Gateway" in text
    assert "shop.py" in text
    assert 'id="L1"' in text
    assert "answer 502" in text


def test_text_of_a_handler_is_never_markup(site: LiveDaemon, visitor: Visitor) -> None:
    run_id = site.json("history", "attacker")["runs"][0]["id"]
    for path in (f"/runs/{run_id}", "/jobs/attacker", "/", "/runs", "/jobs"):
        text = visitor.ask("GET", path).text
        assert "<script>document" not in text, path
        assert "<img src=x" not in text, path
        assert "<b>bold" not in text, path
        assert "\u202e" not in text, path


def test_a_part_is_the_content_without_the_frame(visitor: Visitor) -> None:
    part = visitor.ask("GET", "/jobs", None, {"Luad-Part": "1"}).text
    whole = visitor.ask("GET", "/jobs").text
    assert '<main class="page" id="main"' in part
    assert '<nav class="nav"' not in part
    assert len(part) < len(whole)


def test_an_action_comes_back_and_says_what_was_done(visitor: Visitor) -> None:
    form = {"job": "weekly-report", "reason": "holiday", "until": "1d", "back": "/jobs?q=week"}
    answer = visitor.ask("POST", "/act/pause", form, SAME_ORIGIN)
    assert answer.location == "/jobs?q=week&done=pause&subject=weekly-report&undo=weekly-report"
    text = visitor.ask("GET", answer.location).text
    assert "Paused weekly-report." in text
    assert "holiday" in text
    visitor.ask("POST", "/act/resume", {"job": "weekly-report"}, SAME_ORIGIN)


def test_words_of_an_address_from_elsewhere_are_never_shown(visitor: Visitor) -> None:
    path = "/jobs?done=run&subject=eve-was-here&undo=weekly-report"
    asked: list[dict[str, str]] = [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Luad-Part": "1"},  # the live update of such a page
    ]
    for headers in asked:
        text = visitor.ask("GET", path, None, headers).text
        assert 'class="toast"' not in text, headers
    assert "Started eve-was-here." in visitor.ask("GET", path, None, SAME_ORIGIN).text


def test_each_kind_of_trouble_has_an_icon() -> None:
    for kind in Kind:
        assert icon(ICONS.get(kind, UNKNOWN)[0])
    assert set(WORDS) == set(Kind)


def test_the_runs_have_a_field_for_each_filter_and_keep_what_is_chosen(visitor: Visitor) -> None:
    query = "&".join(f"{name}={text}" for name, text in FILTERED.items())
    text = visitor.ask("GET", f"/runs?{query}").text
    form = text[text.index('<div class="acts filters">') :].partition("</form>")[0]
    assert set(FILTERED) == set(RUN_FILTERS)
    for name, value in FILTERED.items():
        field = re.search(
            rf'<input[^>]* name="{name}"[^>]*>|<select name="{name}".*?</select>', form
        )
        assert field, name
        assert re.search(rf'value="{value}"(?: selected| placeholder| maxlength)', field[0]), name
    assert ">More <b>8</b>" in form
    assert "No run matches" in text


def test_the_alerts_of_a_job_are_said_in_words(visitor: Visitor) -> None:
    text = visitor.ask("GET", "/jobs/weekly-report?tab=alerts").text
    assert "2 failed runs in a row" in text
    assert "<dd>ann</dd>" in text
    assert "No alert is open." in text
    assert "that of luad.yaml counts" in visitor.ask("GET", "/jobs/billing-sync?tab=alerts").text


def test_the_calendar_file_has_the_filter_of_the_page_and_nothing_else(visitor: Visitor) -> None:
    text = visitor.ask("GET", "/schedule?job=a%26format%3Djson").text
    assert 'href="/v1/schedule?format=ics&amp;job=a%26format%3Djson"' in text
    assert "No job has the name a&amp;format=json." in text
    later = visitor.ask("GET", "/schedule?day=2030-01-01&job=none-like-it").text
    assert "No job has the name none-like-it." in later


def test_a_form_has_the_parameters_of_the_handler(visitor: Visitor) -> None:
    text = visitor.ask("GET", "/jobs/export/run").text
    assert 'name="m.json.region"' in text
    assert '<input class="field" type="number"' in text
    assert "where it is sold" in text
    assert "&#34;more&#34;: &#34;kept&#34;" in text
    wrong = visitor.ask("POST", "/act/run", {"job": "export", "m.number.days": "x"}, SAME_ORIGIN)
    assert wrong.status == 422


def test_a_filter_is_kept_under_a_name(visitor: Visitor) -> None:
    form = {"back": "/runs?status=failed&cursor=x", "name": "bad <b>"}
    answer = visitor.ask("POST", "/act/view", form, SAME_ORIGIN)
    kept = answer.headers["set-cookie"].partition(";")[0]
    cookies = {"Cookie": f"{visitor.cookie}; {kept}"}
    text = visitor.ask("GET", "/runs", None, cookies).text
    assert 'href="/runs?status=failed"' in text
    assert "bad &lt;b&gt;" in text
    assert "bad &lt;" not in visitor.ask("GET", "/jobs", None, cookies).text
    form |= {"forget": "1", "back": "/runs", "name": "bad <b>"}
    gone = visitor.ask("POST", "/act/view", form, {**SAME_ORIGIN, **cookies})
    kept = gone.headers["set-cookie"].partition(";")[0]
    text = visitor.ask("GET", "/runs", None, {"Cookie": f"{visitor.cookie}; {kept}"}).text
    assert "bad &lt;b&gt;" not in text


def test_the_files_are_a_table_that_begins_with_problems(visitor: Visitor) -> None:
    text = visitor.ask("GET", "/system").text
    table = text[text.index('aria-label="Files"') :].partition("</table>")[0]
    assert "2 files" in text
    assert table.index("report.yaml") < table.index("jobs.yaml")
    assert "1 error" in table
    assert '<a href="/jobs/attacker">attacker</a>' in table
    assert "and 3 more" in table


def test_the_last_filter_of_a_page_is_offered_again(visitor: Visitor) -> None:
    used = visitor.ask("GET", "/runs?status=failed&q=<b>&cursor=", None, SAME_ORIGIN)
    kept = used.headers["set-cookie"].partition(";")[0]
    cookies = {**SAME_ORIGIN, "Cookie": f"{visitor.cookie}; {kept}"}
    again = visitor.ask("GET", "/runs", None, cookies)
    assert 'href="/runs?status=failed&amp;q=%3Cb%3E"' in again.text
    assert "set-cookie" not in again.headers
    assert "Last filter" not in visitor.ask("GET", "/runs?job=tidy", None, cookies).text
    assert "Last filter" not in visitor.ask("GET", "/jobs", None, cookies).text
    for site in ("cross-site", "same-site", "none"):
        other = visitor.ask("GET", "/runs?q=bait", None, {"Sec-Fetch-Site": site})
        assert "set-cookie" not in other.headers, site


def test_the_zone_is_chosen_without_scripts(visitor: Visitor) -> None:
    form = {"zone": "Asia/Tokyo", "back": "/jobs/weekly-report?tab=alerts&zone=UTC"}
    answer = visitor.ask("POST", "/act/zone", form, SAME_ORIGIN)
    assert (answer.status, answer.location) == (303, "/jobs/weekly-report?tab=alerts")
    kept = answer.headers["set-cookie"].partition(";")[0]
    text = visitor.ask("GET", answer.location, None, {"Cookie": f"{visitor.cookie}; {kept}"}).text
    assert "times in Asia/Tokyo" in text
    assert '<option value="Europe/London">' in text, "the zone of the job"
    wrong = visitor.ask("POST", "/act/zone", {"zone": "x\n", "back": "//evil"}, SAME_ORIGIN)
    assert (wrong.location, "luad-zone=UTC" in wrong.headers["set-cookie"]) == ("/", True)
    other = {"Sec-Fetch-Site": "cross-site"}
    assert visitor.ask("POST", "/act/zone", form, other).status == 403


def test_the_system_page_names_the_last_changes_and_shows_the_broken_line(
    site: LiveDaemon, visitor: Visitor
) -> None:
    site.write_job(
        "late", "name: late\nhandler: shop:works\nschedule: {type: interval, every: 9h}\n"
    )
    site.wait_for("config.installed", added=1)
    text = visitor.ask("GET", "/system").text
    assert re.search(r"<dt>Added</dt><dd>late</dd>", text)
    assert "<b>schedule: {type: cron, expresion:" in text
    page = visitor.ask("GET", "/jobs/late").text
    assert "It has not run yet" in page


def test_a_user_has_the_last_delivery_of_each_channel(visitor: Visitor) -> None:
    text = visitor.ask("GET", "/users/ann").text
    inbox, pager = re.findall(r'<td class="name">(?:inbox|pager)</td>.*?</tr>', text)
    assert "#i-ok" in inbox
    assert "#i-failed" in pager
    assert "Connection refused" in pager
    assert "Send again" in text
    assert "<b>title" not in text


def test_the_list_of_users_has_the_last_outcome_of_each_channel(visitor: Visitor) -> None:
    text = visitor.ask("GET", "/users").text
    row = text[text.index('href="/users/ann"') :].partition("</tr>")[0]
    assert re.search(r'class="status calm".*?inbox<span class="sr">: delivered', row)
    assert re.search(r'class="status bad".*?pager<span class="sr">: failed', row)
    assert "1 user on this page" in text


def test_revisions_show_what_differs_from_the_one_in_force(
    site: LiveDaemon, visitor: Visitor
) -> None:
    for hours in (7, 8):
        text = f"name: moved\nhandler: shop:works\nschedule: {{type: interval, every: {hours}h}}\n"
        site.write_job("moved", text)
        site.wait_for("config.installed", **{"added" if hours == 7 else "replaced": 1})
    text = visitor.ask("GET", "/jobs/moved?tab=revisions").text
    assert re.search(r"<del>- schedule: .*7h.*</del><ins>\+ schedule: .*8h.*</ins>", text)
    assert text.count("in force</span>") == 1


def test_a_paused_job_says_once_that_it_is_paused(visitor: Visitor) -> None:
    visitor.ask("POST", "/act/pause", {"job": "etl-load", "reason": "holiday"}, SAME_ORIGIN)
    text = visitor.ask("GET", "/jobs/etl-load").text
    sentence = re.search(r"<h1>etl-load</h1>\s*<p>(.*?)</p>", text, re.DOTALL)
    assert sentence
    words = re.sub(r"<[^>]+>", "", sentence[1])
    assert words.startswith("Paused: “holiday”, ")
    assert words.lower().count("paused") == 1
    visitor.ask("POST", "/act/resume", {"job": "etl-load"}, SAME_ORIGIN)


def test_the_first_page_is_small(visitor: Visitor) -> None:
    page = visitor.ask("GET", "/").text
    size = len(gzip.compress(page.encode()))
    for name in set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page)):
        size += len(gzip.compress(visitor.ask("GET", name).text.encode()))
    assert size < 60_000


def test_a_wrong_address_is_a_page_for_browsers_and_a_problem_for_programs(
    visitor: Visitor,
) -> None:
    page = visitor.ask("GET", "/jobs/no-such-job")
    assert page.status == 404
    assert "no job named" in page.text
    assert page.headers["content-type"].startswith("text/html")
    other = visitor.ask("GET", "/v1/jobs/no-such-job", None, {"Accept": "application/json"})
    assert other.headers["content-type"] == "application/problem+json"


def test_assets_are_cached_for_ever_and_named_by_their_content(visitor: Visitor) -> None:
    names = re.findall(r'(?:href|src)="(/static/[^"]+)"', visitor.ask("GET", "/").text)
    assert len(names) >= 4
    for name in names:
        answer = visitor.ask("GET", name, None, {"Cookie": ""})
        assert answer.status == 200
        assert "immutable" in answer.headers["cache-control"]
    assert visitor.ask("GET", "/static/../site.py").status == 404


@pytest.mark.parametrize("path", sorted(HERE.glob("templates/*.html")), ids=lambda path: path.name)
def test_no_template_has_a_style_a_script_or_another_host(path: Path) -> None:
    text = path.read_text()
    assert "style=" not in text
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=", text)
    assert not re.search(r"(?:href|src|action)=\"(?:https?:)?//", text)
    assert "|safe" not in text
    environment().get_template(path.name)


def test_the_script_is_small_and_the_style_sheet_names_no_host() -> None:
    assert len((HERE / "static" / "luad.js").read_text().splitlines()) <= 500
    for path in (HERE / "static").iterdir():
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", path.read_text()), path.name
