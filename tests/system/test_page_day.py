"""A day on the page: two routes, a growing recording, a copy, a failed file, an outage.

PAGE_PICTURE=FILE keeps the picture that README shows; PAGE_HOME=FOLDER is where it says that the files are.
"""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.system.agents import Agent
from tests.system.test_moving import a_recording
from tests.web.page_driver import browser, needs_chromium

__all__ = ["browser"]
pytestmark = needs_chromium

MIB = 1024 * 1024
SHOWN_MS = 30_000


@contextmanager
def recorder(path: Path, rate_bytes_s: int) -> Iterator[None]:
    """Write to the file at this rate and keep it open, as a recorder does, until the block is left."""
    stopped = threading.Event()

    def record() -> None:
        with path.open("wb", buffering=0) as file:
            while not stopped.wait(0.1):
                file.write(os.urandom(rate_bytes_s // 10))

    thread = threading.Thread(target=record)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def configure(agent: Agent) -> Path:
    """A studio that records growing files, and a card reader whose NAS will go; the NAS of the latter."""
    cards = {
        "name": "camera-cards",
        "source": "cards",
        "destination": "nas-b",
        "stable": "1s",
        "scan": "200ms",
    }
    agent.configure(
        {**cards, "probe": "200ms", "low_space": "1MiB"},
        name="studio-a",
        growing=True,
        growing_min_size="1MiB",
        stable="1s",
        bandwidth="16MiB",
        conflict="fail",
    )
    for folder in ("cards", "nas-b"):
        (agent.home / folder).mkdir()
    return agent.home / "nas-b"


def deliver_the_morning(agent: Agent, scratch: Path) -> None:
    """Files that have arrived by the time the picture is taken, on both routes."""
    a_recording(scratch / "A001.mxf")
    for number in (1, 2, 3):
        shutil.copy(scratch / "A001.mxf", agent.source / f"breakfast-show-{number}.mxf")
        shutil.copy(scratch / "A001.mxf", agent.home / "cards" / f"A00{number}C001.mxf")
    for number in (1, 2, 3):
        agent.wait_for(f"breakfast-show-{number}.mxf", "Completed")
        agent.wait_for(f"A00{number}C001.mxf", "Completed")


def expect_the_day(page: Page) -> None:
    expect(page.locator("#routes")).to_contain_text("unmounted", timeout=SHOWN_MS)
    expect(page.locator("body")).to_contain_text("evening-news-live.mxf", timeout=SHOWN_MS)
    expect(page.locator("body")).to_contain_text(
        "exists at the destination with other content", timeout=SHOWN_MS
    )
    expect(page.locator("#transfers")).to_contain_text("interview", timeout=SHOWN_MS)
    expect(page.locator("#transfers .figures").first).to_contain_text("MB/s", timeout=SHOWN_MS)
    expect(page.locator("#waiting")).to_contain_text("A004C001.mxf", timeout=SHOWN_MS)
    expect(page.locator("#recent")).to_contain_text("breakfast-show-3.mxf")


def test_the_page_shows_a_day_as_it_is(agent: Agent, browser: Browser, tmp_path: Path) -> None:
    agent.home = Path(os.environ.get("PAGE_HOME") or agent.home)
    agent.source.mkdir(exist_ok=True)
    agent.nas.mkdir(exist_ok=True)
    nas_of_cards = configure(agent)
    agent.start()
    deliver_the_morning(agent, tmp_path)
    (agent.nas / "promo-final.mov").write_bytes(b"another promo of that name")
    (agent.source / "promo-final.mov").write_bytes(b"the promo")
    agent.wait_for("promo-final.mov", "Failed")
    nas_of_cards.rename(agent.home / "nas-b-unplugged")
    for number in (4, 5):
        (agent.home / "cards" / f"A00{number}C001.mxf").write_bytes((tmp_path / "A001.mxf").read_bytes())
    with (
        recorder(agent.source / "evening-news-live.mxf", 6 * MIB),
        browser.new_context(viewport={"width": 1400, "height": 860}, color_scheme="dark") as context,
    ):
        (agent.source / "interview-mayor.mov").write_bytes(os.urandom(MIB) * 200)
        page = context.new_page()
        page.goto(agent.url)
        expect_the_day(page)
        picture = page.screenshot()
    (Path(os.environ.get("PAGE_PICTURE") or tmp_path / "page.png")).write_bytes(picture)
    assert picture.startswith(b"\x89PNG")
