"""The page of a real agent in a real browser; PAGE_PICTURE=FILE keeps the picture that README shows."""

import os
import shutil
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.system.agents import Agent
from tests.system.test_moving import a_recording
from tests.web.page_driver import browser, needs_chromium

__all__ = ["browser"]
pytestmark = needs_chromium

MIB = 1024 * 1024


def test_the_page_shows_recordings_travel_and_arrive(agent: Agent, browser: Browser, tmp_path: Path) -> None:
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
        picture = page.screenshot()
    (Path(os.environ.get("PAGE_PICTURE") or tmp_path / "page.png")).write_bytes(picture)
    assert picture.startswith(b"\x89PNG")
