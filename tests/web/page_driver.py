"""Shared by the page's tests: a browser, a scripted agent behind it, and samples of its messages."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

HERE = Path(__file__).parent
CHROMIUM = Path("/usr/bin/chromium")
GB = 10**9
Said = dict[str, Any]

needs_chromium = pytest.mark.skipif(
    not CHROMIUM.exists() and "CI" not in os.environ, reason="no chromium on this machine"
)


@define
class Agent:
    """The acting agent of page_server.py, as its director sees it."""

    url: str
    seq: int = 1

    def shows(
        self,
        *files: Said,
        routes: tuple[Said, ...] = (),
        events: tuple[Said, ...] = (),
        total: int | None = None,
        **more: object,
    ) -> None:
        """New connections get this, of so many files in total; `more` as in page_server.Stage.script."""
        self.seq = 1
        snapshot = {
            "type": "snapshot",
            "seq": 1,
            **({} if total is None else {"total": total}),
            "files": files,
            "routes": routes or (a_route(),),
            "storage": None,
            "events": events,
        }
        self._tell("script", {"snapshot": snapshot, **more})

    def updates(self, *changed: Said, removed: tuple[str, ...] = (), routes: tuple[Said, ...] = ()) -> None:
        self.seq += 1
        update = {"type": "update", "seq": self.seq, "changed": changed, "removed": removed}
        self._tell("send", {**update, "routes": routes, "events": []})

    def drops_clients(self) -> None:
        self._tell("drop", {})

    def commands(self) -> list[str]:
        return list(self._tell("tell", {})["commands"])

    def _tell(self, act: str, what: Said) -> Said:
        connection = HTTPConnection(self.url.removeprefix("http://"))
        try:
            connection.request("POST", f"/test/{act}", json.dumps(what), {"Content-Type": "application/json"})
            answer: Said = json.load(connection.getresponse())
        finally:
            connection.close()
        return answer


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    paths = os.pathsep.join([str(HERE.parents[1]), *sys.path])
    command = [sys.executable, str(HERE / "page_server.py")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}
    ) as server:
        assert server.stdout is not None
        yield Agent(server.stdout.readline().strip())
        server.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, agent: Agent) -> Iterator[Page]:
    """A tab that must end without a script error, a breach of the content policy or a foreign request."""
    breaches: list[str] = []

    def note_console(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            breaches.append(message.text)

    def note_request(request: Request) -> None:
        if not request.url.startswith(agent.url):
            breaches.append(request.url)

    with browser.new_context(viewport={"width": 1400, "height": 900}) as context:
        page = context.new_page()
        page.on("console", note_console)
        page.on("pageerror", lambda error: breaches.append(str(error)))
        page.on("request", note_request)
        yield page
    assert breaches == []


def open_page(page: Page, agent: Agent) -> None:
    page.goto(agent.url)
    expect(page.locator("#link")).to_have_attribute("data-state", "live")


def a_file(name: str, status: str, **more: object) -> Said:
    return {
        "id": f"id-{name}",
        "route": "mxf",
        "path": name,
        "file_path": f"/src/{name}",
        "status": status,
        "file_size": 4 * GB,
        "last_write_time": "2026-01-01T12:00:00.000Z",
        "copy_progress": 0.0,
        "bytes_copied": 0,
        "bytes_verified": 0,
        "retry_count": 0,
        "error_message": None,
        "destination_path": None,
        "verified_level": None,
        "hash": None,
        "discovered_at": "2026-01-01T12:00:01.000Z",
        "started_at": None,
        "completed_at": None,
        "why": "",
        "until": None,
        **more,
    }


def copying(name: str, **more: object) -> Said:
    figures = {
        "copy_progress": 62.5,
        "bytes_copied": 5 * GB // 2,
        "bytes_verified": 2 * GB,
        "started_at": "2026-01-01T12:00:02.000Z",
    }
    return a_file(name, "Copying", **{**figures, **more})


def failed(name: str, at: str = "2026-01-01T12:00:09.000Z") -> Said:
    return a_file(name, "Failed", error_message="source: Permission denied", retry_count=3, completed_at=at)


def completed(name: str) -> Said:
    return a_file(
        name,
        "Completed",
        copy_progress=100.0,
        bytes_copied=4 * GB,
        completed_at="2026-01-01T12:00:09.000Z",
        destination_path=f"/nas/{name}",
        verified_level="read_back",
        hash="xxh128:0123456789abcdef0123456789abcdef",
    )


def a_route(**more: object) -> Said:
    return {
        "name": "mxf",
        "source": "/src",
        "destination": "/nas",
        "rules": {},
        "paused": False,
        "counts": {"Copying": 1, "InQueue": 12},
        "queue_bytes": 52 * GB,
        "rate_bytes_s": 110e6,
        "outage": None,
        "checked": True,
        "source_error": None,
        "source_free_bytes": 512 * GB,
        "destination_free_bytes": 18_400 * GB,
        "destination_total_bytes": 64_000 * GB,
        "low_space_bytes": 10 * GB,
        "unreadable_folders": [],
        "held": [],
        **more,
    }
