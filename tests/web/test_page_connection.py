"""The page in a real browser: its connection, access and appearance."""

import pytest
from playwright.sync_api import Page, expect

from tests.web.page_driver import (
    Agent,
    a_file,
    agent,
    browser,
    copying,
    failed,
    needs_chromium,
    open_page,
    page,
)

__all__ = ["agent", "browser", "page"]
pytestmark = needs_chromium

TOKEN = "s3cret"  # noqa: S105  a sample
READABLE = 4.5  # contrast of text: WCAG 2.2, success criterion 1.4.3
INKS = ("text", "dim", "blue", "green", "amber", "red", "violet")
GROUNDS = ("ground", "panel", "raised")


def test_a_lost_connection_keeps_the_old_figures_under_a_notice_and_comes_back(
    agent: Agent, page: Page
) -> None:
    agent.shows(copying("old.mxf"))
    open_page(page, agent)
    agent.shows(copying("new.mxf"), feed=503)
    agent.drops_clients()
    expect(page.locator("#notice")).to_contain_text("No connection to the agent: this is the state at")
    expect(page.locator("#link")).to_contain_text("Reconnecting in")
    expect(page.locator("#transfers")).to_contain_text("old.mxf")
    agent.shows(copying("new.mxf"))
    expect(page.locator("#transfers")).to_contain_text("new.mxf")
    expect(page.locator("#transfers")).not_to_contain_text("old.mxf")
    expect(page.locator("#notice")).to_be_hidden()


def test_a_missed_number_brings_a_fresh_snapshot(agent: Agent, page: Page) -> None:
    agent.shows(a_file("kept.mxf", "InQueue"))
    open_page(page, agent)
    agent.seq += 1
    agent.updates(a_file("after the gap.mxf", "InQueue"))
    expect(page.locator("#link")).to_have_attribute("data-state", "waiting")
    expect(page.locator("#link")).to_have_attribute("data-state", "live")
    expect(page.locator("#waiting .name")).to_have_text(["kept.mxf"])


def test_a_silent_connection_is_probed(agent: Agent, page: Page) -> None:
    page.clock.install()
    agent.shows()
    open_page(page, agent)
    with page.expect_response("**/livez"):
        page.clock.fast_forward("00:25")
    expect(page.locator("#link")).to_have_attribute("data-state", "live")
    agent.shows(livez=503)
    page.clock.fast_forward("00:25")
    expect(page.locator("#link")).to_have_attribute("data-state", "waiting")


def test_the_token_is_asked_for_once_and_used_for_the_feed_and_commands(agent: Agent, page: Page) -> None:
    agent.shows(failed("bad.mxf"), token=TOKEN)
    page.goto(agent.url)
    field = page.get_by_label("Token", exact=True)
    field.fill("no blanks allowed")
    page.keyboard.press("Enter")
    expect(field).to_be_visible()
    field.fill(TOKEN)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Retry bad.mxf").click()
    page.reload()
    expect(page.locator("#failed")).to_contain_text("bad.mxf")
    assert agent.commands() == ["files/id-bad.mxf/retry"]


def test_who_may_read_without_a_token_is_asked_before_a_command(agent: Agent, page: Page) -> None:
    agent.shows(failed("bad.mxf"))
    open_page(page, agent)
    agent.shows(failed("bad.mxf"), token=TOKEN)
    page.get_by_role("button", name="Retry bad.mxf").click()
    page.get_by_label("Token", exact=True).fill(TOKEN)
    with page.expect_response(lambda response: response.status == 202):
        page.keyboard.press("Enter")
    assert agent.commands() == ["files/id-bad.mxf/retry"]


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_every_ink_is_readable(agent: Agent, page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
    agent.shows()
    open_page(page, agent)
    read = "names => names.map(n => getComputedStyle(document.documentElement).getPropertyValue('--' + n))"
    grounds = [_luminance(colour) for colour in page.evaluate(read, GROUNDS)]
    inks = dict(zip(INKS, map(_luminance, page.evaluate(read, INKS)), strict=True))
    assert (min(grounds) > 0.5) == (scheme == "light")
    for name, ink in inks.items():
        contrasts = [(max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) for ground in grounds]
        assert min(contrasts) >= READABLE, name


def test_a_narrow_window_needs_no_sideways_scrolling(agent: Agent, page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    long_name = "long" * 60
    agent.shows(copying(long_name), a_file(long_name + "2", "Held", why=long_name), failed(long_name + "3"))
    open_page(page, agent)
    expect(page.locator("#failed")).to_contain_text(long_name)
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_figures_read_well(agent: Agent, page: Page) -> None:
    agent.shows()
    open_page(page, agent)
    shown = page.evaluate(
        """async () => {
          const { bytes, countdown, duration, shortHash } = await import("/static/format.js");
          const now = Date.parse("2026-01-01T12:00:00Z");
          return [
            ...[null, 0, 999, 1000, 12_345_678, 999_999, 64e12].map(bytes),
            ...[0, 59.4, 245, 7500, 273_600].map(duration),
            ...[null, "2026-01-01T12:01:30Z", "2026-01-01T11:00:00Z"].map((until) => countdown(until, now)),
            shortHash("xxh128:0123456789"), shortHash("etag"),
          ];
        }"""
    )
    assert shown == [
        *("\u2013", "0 B", "999 B", "1.00 kB", "12.3 MB", "1.00 MB", "64.0 TB"),
        *("0 s", "59 s", "4 min 05 s", "2 h 05 min", "3 d 4 h"),
        *("", "1 min 30 s", "any moment"),
        *("xxh128:01234567…", "etag"),
    ]


def test_speed_is_smoothed_starts_afresh_and_dies_away(agent: Agent, page: Page) -> None:
    agent.shows()
    open_page(page, agent)
    shown = page.evaluate(
        """async () => {
          const { Rate } = await import("/static/rate.js");
          const rate = new Rate();
          const seen = [rate.perSecond(0)];
          for (let s = 0; s <= 20; s += 1) rate.add(s * 100, s * 1000);
          seen.push(rate.perSecond(20_000), rate.perSecond(24_000), rate.perSecond(40_000));
          rate.add(5, 41_000);
          seen.push(rate.perSecond(41_500));
          return seen;
        }"""
    )
    assert shown == [None, 100, 50, 0, None]


def test_waits_between_attempts_double_up_to_ten_seconds(agent: Agent, page: Page) -> None:
    agent.shows()
    open_page(page, agent)
    waits = page.evaluate(
        """async () => {
          const { backOff } = await import("/static/live.js");
          return [backOff(0, 1), backOff(1, 1), backOff(1, 0), backOff(4, 1), backOff(99, 1)];
        }"""
    )
    assert waits == [500, 1000, 500, 8000, 10_000]


def _luminance(colour: str) -> float:
    """Of "#rgb" or "#rrggbb": relative luminance as in WCAG 2.2."""
    digits = colour.removeprefix("#")
    pairs = [digit * 2 for digit in digits] if len(digits) == 3 else [digits[at : at + 2] for at in (0, 2, 4)]
    channels = [int(pair, 16) / 255 for pair in pairs]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    return sum(weight * each for weight, each in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
