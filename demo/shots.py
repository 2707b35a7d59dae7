"""Takes the pictures of the docs from a running demonstration (`make demo`).

    python -m demo.shots [--folder .luad-demo] [--all]

With --all, every page in both themes and two widths, into FOLDER/shots. It needs Playwright and chromium;
pngquant makes the files smaller where it is installed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from playwright.sync_api import sync_playwright

from demo.__main__ import luad

if TYPE_CHECKING:
    from playwright.sync_api import Browser

IMAGES: Final = Path(__file__).parents[1] / "docs" / "images"
HEIGHT: Final = 860
WIDE, NARROW = 1280, 360
THEMES: Final = ("light", "dark")
PICTURES: Final = (
    ("overview-light", "/", "light", WIDE),
    ("overview-dark", "/", "dark", WIDE),
    ("overview-phone", "/", "light", NARROW),
    ("job-dark", "/jobs/billing-sync", "dark", WIDE),
    ("run-light", "RUN", "light", WIDE),
    ("schedule-light", "/schedule", "light", WIDE),
)
PAGES: Final = (
    "/", "/jobs", "/jobs/billing-sync", "/jobs/weekly-report", "/jobs/billing-sync/run", "/runs", "RUN",
    "/schedule", "/schedule?view=week", "/users", "/users/bob", "/activity", "/system", "/help",
)  # fmt: skip


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(prog="python -m demo.shots")
    parser.add_argument("--folder", type=Path, default=Path(".luad-demo"))
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    folder = options.folder.resolve()
    run = json.loads(luad(folder, "--json", "history", "billing-sync", "--status", "failed"))
    place = f"/runs/{run['runs'][0]['id']}"
    wanted = PICTURES if not options.all else tuple(
        (f"{path.strip('/').replace('/', '-').replace('?', '-') or 'overview'}-{theme}-{width}", path, theme, width)
        for path in PAGES for theme in THEMES for width in (WIDE, NARROW)
    )  # fmt: skip
    goal = folder / "shots" if options.all else IMAGES
    goal.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as running:
        browser = running.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for theme in THEMES:
            for width in (WIDE, NARROW):
                mine = [(name, path) for name, path, *look in wanted if look == [theme, width]]
                if mine:
                    take(browser, folder, theme, width, goal, [(n, p.replace("RUN", place)) for n, p in mine])  # fmt: skip
        browser.close()
    if shutil.which("pngquant"):
        files = [str(goal / f"{each[0]}.png") for each in wanted]
        subprocess.run(["pngquant", "--force", "--ext", ".png", "--strip", *files], check=True)


def take(
    browser: Browser, folder: Path, theme: str, width: int, goal: Path, pages: list[tuple[str, str]]
) -> None:
    """Take pictures in one theme and one width."""
    context = browser.new_context(
        color_scheme=theme,  # type: ignore[arg-type]  # one of two words
        viewport={"width": width, "height": HEIGHT},
        timezone_id="Europe/London",
        reduced_motion="reduce",
    )
    page = context.new_page()
    link = json.loads(luad(folder, "--json", "web", "--role", "admin"))["url"]
    base = str(link).split("/login", maxsplit=1)[0]
    page.goto(link)
    page.click("button.main")
    page.wait_for_selector("h1")
    for name, path in pages:
        page.goto(base + path)
        page.wait_for_selector("h1")
        page.wait_for_timeout(400)
        page.screenshot(path=goal / f"{name}.png")
    context.close()


if __name__ == "__main__":
    main()
