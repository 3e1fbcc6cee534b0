"""The page in a real browser: what it shows, and what it asks for."""

from playwright.sync_api import Page, expect

from tests.web.page_driver import (
    GB,
    Agent,
    a_file,
    a_route,
    agent,
    browser,
    completed,
    copying,
    failed,
    needs_chromium,
    open_page,
    page,
)

__all__ = ["agent", "browser", "page"]
pytestmark = needs_chromium

HOSTILE = "<img src=x onerror=alert(1)>"
OUTAGE = {"reason": "unreachable", "since": "2026-01-01T12:03:00.000Z", "detail": "No route to host"}


def test_a_snapshot_shows_each_file_where_it_belongs(agent: Agent, page: Page) -> None:
    agent.shows(
        copying("news.mxf"),
        a_file("paused.mxf", "Paused", started_at="2026-01-01T12:00:02.000Z", why="paused by the operator"),
        a_file("open.mxf", "Held", why="container never closed"),
        a_file("next.mxf", "InQueue"),
        failed("bad.mxf"),
        completed("day1/good.mxf"),
        events=({"at": "2026-01-01T12:00:00.000Z", "level": "error", "text": "configuration rejected"},),
    )
    open_page(page, agent)
    transfers = page.locator("#transfers > li")
    expect(transfers).to_contain_text(["news.mxf", "paused.mxf"])
    expect(transfers.first).to_contain_text("2.50 GB of 4.00 GB")
    expect(transfers.first).to_contain_text("2.00 GB verified")
    expect(transfers.first.get_by_role("progressbar").first).to_have_attribute("value", "62.5")
    expect(transfers.last).to_contain_text("paused by the operator")
    expect(page.locator("#waiting .sizer .line")).to_contain_text(["open.mxf", "next.mxf"])
    expect(page.locator("#waiting .sizer .line").first).to_contain_text("container never closed")
    expect(page.locator("#failed .line")).to_contain_text("source: Permission denied")
    recent = page.locator("#recent .line")
    expect(recent).to_contain_text("Read back")
    expect(recent).to_contain_text("/nas/day1/good.mxf")
    expect(recent.locator(".hash")).to_have_attribute("title", "xxh128:0123456789abcdef0123456789abcdef")
    expect(page.locator("#events")).to_contain_text("configuration rejected")
    expect(page.locator("#overall")).to_have_text("All destinations usable")
    expect(page.locator("#routes")).to_contain_text("18.4 TB free of 64.0 TB")


def test_a_name_is_only_ever_text_and_hides_nothing(agent: Agent, page: Page) -> None:
    agent.shows(
        copying(HOSTILE, error_message=HOSTILE),
        a_file("two\nlines\u202egpj.mxf", "InQueue", why=HOSTILE),
        a_file("lost\ufffd.mxf", "InQueue"),
        a_file("bad", "Failed", error_message=HOSTILE),
        completed(f"{HOSTILE}/{HOSTILE}"),
        routes=(a_route(name=HOSTILE, outage={**OUTAGE, "detail": HOSTILE}),),
        events=({"at": "2026-01-01T12:00:00.000Z", "level": "warning", "text": HOSTILE},),
    )
    open_page(page, agent)
    expect(page.locator("#transfers .name")).to_have_text(HOSTILE)
    expect(page.locator("#waiting .name")).to_have_text(["lost\ufffd.mxf", "two␤lines[U+202E]gpj.mxf"])
    expect(page.locator("#routes h3")).to_have_text(HOSTILE)
    expect(page.locator("main img")).to_have_count(0)


def test_an_update_moves_a_file_from_the_transfers_to_the_recent_ones(agent: Agent, page: Page) -> None:
    agent.shows(copying("news.mxf"), a_file("gone.mxf", "Growing"))
    open_page(page, agent)
    expect(page.locator("#transfers")).to_contain_text("news.mxf")
    agent.updates(completed("news.mxf"), removed=("id-gone.mxf",))
    expect(page.locator("#recent")).to_contain_text("news.mxf")
    expect(page.locator("#transfers > li")).to_have_count(0)
    expect(page.get_by_text("Nothing is waiting.")).to_be_visible()


def test_speed_and_time_left_come_from_successive_figures(agent: Agent, page: Page) -> None:
    page.clock.install()
    agent.shows(copying("news.mxf"))
    open_page(page, agent)
    page.clock.pause_at(page.evaluate("Date.now() / 1000 + 4"))
    page.clock.run_for(50)
    agent.updates(copying("news.mxf", copy_progress=75.0, bytes_copied=3 * GB))
    expect(page.locator("#transfers .percent")).to_have_text("62 %")
    page.clock.run_for(50)
    expect(page.locator("#transfers .percent")).to_have_text("75 %")
    expect(page.locator("#transfers .figures")).to_contain_text("MB/s")
    expect(page.locator("#transfers .figures")).to_contain_text("s left")


def test_a_failed_file_is_retried_by_keyboard_alone(agent: Agent, page: Page) -> None:
    agent.shows(failed("bad.mxf"))
    open_page(page, agent)
    page.get_by_role("button", name="Retry all").focus()
    with page.expect_response("**/api/retry"):
        page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Retry bad.mxf")).to_be_focused()
    with page.expect_response("**/api/files/*/retry"):
        page.keyboard.press("Enter")
    assert agent.commands() == ["retry", "files/id-bad.mxf/retry"]
    agent.updates(a_file("bad.mxf", "InQueue"))
    expect(page.get_by_role("heading", name="Failed")).to_be_focused()


def test_a_button_under_the_fingers_stays_with_its_file(agent: Agent, page: Page) -> None:
    agent.shows(failed("mine.mxf"))
    open_page(page, agent)
    mine = page.get_by_role("button", name="Retry mine.mxf")
    mine.focus()
    agent.updates(*(failed(f"later-{n}.mxf", "2026-01-01T13:00:00.000Z") for n in range(50)))
    expect(page.locator("#failed .name").first).to_have_text("later-0.mxf")
    expect(mine).to_be_focused()
    expect(page.locator("#announcer")).to_have_text("51 files have failed")


def test_an_outage_stands_out_and_ends_by_itself(agent: Agent, page: Page) -> None:
    agent.shows(routes=(a_route(), a_route(name="nas", outage=OUTAGE, destination_free_bytes=None)))
    open_page(page, agent)
    banner = page.locator("#routes .card").nth(1).locator(".banner").first
    expect(banner).to_contain_text("Outage: unreachable since")
    expect(banner).to_contain_text("No route to host")
    expect(page.locator("#overall")).to_contain_text("nas: outage unreachable since")
    agent.updates(routes=(a_route(name="nas"),))
    expect(banner).to_be_hidden()
    expect(page.locator("#overall")).to_have_text("All destinations usable")


def test_folders_that_cannot_be_read_are_named_until_they_can(agent: Agent, page: Page) -> None:
    closed = {"folder": "day\n1", "reason": "Permission denied"}
    agent.shows(routes=(a_route(unreadable_folders=[closed, closed]),))
    open_page(page, agent)
    banner = page.locator("#routes .card .banner").nth(2)
    expect(banner).to_contain_text("Folders that cannot be read")
    expect(banner).to_contain_text("day\u24241 (Permission denied); day\u24241 (Permission denied)")
    agent.updates(routes=(a_route(),))
    expect(banner).to_be_hidden()


def test_a_route_says_why_files_are_held(agent: Agent, page: Page) -> None:
    agent.shows(routes=(a_route(held=[{"why": "grant CAP_LEASE", "files": 2}]),))
    open_page(page, agent)
    banner = page.locator("#routes .card .banner").nth(3)
    expect(banner).to_contain_text("Files are held")
    expect(banner).to_contain_text("2: grant CAP_LEASE")
    agent.updates(routes=(a_route(),))
    expect(banner).to_be_hidden()


def test_a_route_is_paused_and_resumed(agent: Agent, page: Page) -> None:
    agent.shows(routes=(a_route(name="a/b"),))
    open_page(page, agent)
    with page.expect_response("**/pause"):
        page.get_by_role("button", name="Pause route a/b").click()
    agent.updates(routes=(a_route(name="a/b", paused=True),))
    expect(page.locator("#overall")).to_have_text("All destinations usable; paused: a/b")
    with page.expect_response("**/resume"):
        page.get_by_role("button", name="Resume route a/b").click()
    assert agent.commands() == ["routes/a/b/pause", "routes/a/b/resume"]


def test_a_transfer_is_cancelled_only_after_a_confirmation(agent: Agent, page: Page) -> None:
    agent.shows(copying("news.mxf"))
    open_page(page, agent)
    cancel = page.get_by_role("button", name="Cancel news.mxf")
    cancel.click()
    page.keyboard.press("Escape")
    cancel.click()
    with page.expect_response("**/cancel"):
        page.get_by_role("dialog").get_by_role("button", name="Cancel transfer").click()
    assert agent.commands() == ["files/id-news.mxf/cancel"]


def test_a_refused_command_says_why(agent: Agent, page: Page) -> None:
    agent.shows(failed("bad.mxf"), status=409, detail="bad.mxf is Copying")
    open_page(page, agent)
    page.get_by_role("button", name="Retry bad.mxf").click()
    alert = page.get_by_role("alert")
    expect(alert).to_have_text("bad.mxf is Copying")
    alert.get_by_role("button", name="Dismiss").click()
    expect(alert).to_be_empty()


def test_ten_thousand_waiting_files_draw_as_a_few_dozen_lines(agent: Agent, page: Page) -> None:
    names = [f"clip-{number:05}.mxf" for number in range(10_000)]
    agent.shows(*(a_file(name, "InQueue", file_size=number * GB) for number, name in enumerate(names)))
    open_page(page, agent)
    lines = page.locator("#waiting .sizer .line")
    table = page.get_by_role("table")
    expect(table).to_have_attribute("aria-rowcount", "10001")
    expect(lines.first).to_contain_text(names[0])
    page.locator("#waiting").evaluate("node => node.scrollTo(0, node.scrollHeight)")
    expect(lines.last).to_contain_text(names[-1])
    expect(lines.last).to_have_attribute("aria-rowindex", "10001")
    assert lines.count() <= 40
    assert page.evaluate("document.querySelectorAll('*').length") < 1500
    page.get_by_label("Filter files").fill("CLIP-0123")
    expect(table).to_have_attribute("aria-rowcount", "11")
    expect(lines).to_have_count(10)
