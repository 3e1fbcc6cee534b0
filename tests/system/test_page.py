"""The page of a real agent in a real browser."""

import os
import re
import shutil
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.system.agents import Agent
from tests.system.test_moving import a_recording
from tests.web.page_driver import browser, needs_chromium

__all__ = ["browser"]
pytestmark = needs_chromium

MIB = 1024 * 1024
MANY = 5000


def test_the_page_shows_recordings_copied_and_delivered(
    agent: Agent, browser: Browser, tmp_path: Path
) -> None:
    agent.configure(bandwidth="12MiB", stable="1s", name="studio-a", destination=str(agent.nas))
    agent.start()
    a_recording(tmp_path / "A001.mxf")
    with browser.new_context(viewport={"width": 1400, "height": 900}, color_scheme="dark") as context:
        page = context.new_page()
        page.goto(agent.url)
        expect(page.locator("#routes h3")).to_have_text("studio-a")
        shutil.copy(tmp_path / "A001.mxf", agent.source / "A001.mxf")
        expect(page.locator("#recent")).to_contain_text("A001.mxf", timeout=20_000)
        expect(page.locator("#recent")).to_contain_text("Read back")
        shutil.copy(tmp_path / "A001.mxf", agent.source / "again.mxf")
        for number in range(3):
            content = os.urandom(MIB) * 64
            (agent.source / f"interview-{number}.mov").write_bytes(content)
        expect(page.locator("#transfers .percent")).to_have_count(2, timeout=20_000)
        expect(page.locator("#transfers .figures").first).to_contain_text("MB/s", timeout=20_000)
        expect(page.locator("#waiting")).to_contain_text("interview-")


def scrolled_to(page: Page) -> int:
    """The last line drawn after scrolling to the end of what is there."""
    page.locator("#waiting").evaluate("node => node.scrollTo(0, node.scrollHeight)")
    return int(page.locator("#waiting .sizer .line").last.get_attribute("aria-rowindex") or 0)


def test_the_page_over_thousands_of_files_counts_them_all_finds_any_and_shows_what_moves(
    agent: Agent, browser: Browser, tmp_path: Path
) -> None:
    agent.configure(stable="1h", stable_closed="100ms")  # only what is visibly finished moves
    for number in range(MANY):
        (agent.source / f"take-{number:04}.txt").write_bytes(b"news")
    a_recording(tmp_path / "A001.mxf")
    agent.start()
    with browser.new_context(viewport={"width": 1400, "height": 900}) as context:
        page = context.new_page()
        page.goto(agent.url)
        count = page.locator("#waiting-title + .count")
        table = page.get_by_role("table")
        lines = page.locator("#waiting .sizer .line")
        expect(count).to_have_text("5,000", timeout=20_000)
        expect(page.locator("#summary [data-what=waiting]")).to_contain_text("5,000")
        expect(table).to_have_attribute("aria-rowcount", str(MANY + 1))
        page.get_by_label("Filter files").fill("TAKE-4")
        expect(count).to_have_text(re.compile(r"^[0-9,]+\+ of 5,000$"))
        page.get_by_label("Filter files").fill("TAKE-4321")
        expect(lines).to_have_count(1)
        expect(count).to_have_text("1 of 5,000")
        page.get_by_label("Filter files").fill("")
        agent.wait_until(lambda: scrolled_to(page) > MANY // 5)  # further than what the feed has told of
        assert page.evaluate("document.querySelectorAll('*').length") < 1500
        (agent.source / "take-4999.txt").unlink()
        expect(count).to_have_text("4,999")
        shutil.copy(tmp_path / "A001.mxf", agent.source / "A001.mxf")
        expect(page.locator("#recent")).to_contain_text("A001.mxf", timeout=20_000)
        expect(count).to_have_text("4,999")
