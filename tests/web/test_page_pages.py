"""A page that gets some files in messages and fetches others: it shows what the agent has."""

import pytest
from playwright.sync_api import Page, expect

from tests.web.page_driver import (
    Agent,
    a_file,
    a_route,
    agent,
    browser,
    failed,
    needs_chromium,
    open_page,
    page,
)

__all__ = ["agent", "browser", "page"]
pytestmark = needs_chromium

# An agent changes files and sends updates, now and then a snapshot with some of them. Pages are requested,
# made by the agent and admitted at any time between. Messages arrive in order, but late.
PLAY = """
async ({ files, steps, first }) => {
  const { State, groupOf } = await import("./static/state.js");
  const WORDS = ["Discovered", "Growing", "Ready", "InQueue", "Copying", "Verifying", "Paused", "Held",
    "Completed", "Failed"];
  let seed = first;
  const draw = (n) => (seed = (seed * 48271) % 2147483647) % n;
  const time = () => `2026-01-01T00:00:0${draw(10)}.000Z`;
  const some = (list, n) => list.filter(() => !draw(n));
  const agent = new Map();
  let seq = 0;
  const file = (id, status) => ({ id, route: "mxf", path: `${id}.mxf`, status, file_size: 9,
    bytes_copied: draw(9), bytes_verified: 0, discovered_at: time(), completed_at: null,
    started_at: ["Copying", "Verifying"].includes(status) ? time() : null });
  const routes = () => {
    const counts = {};
    agent.forEach(({ status }) => (counts[status] = (counts[status] ?? 0) + 1));
    return [{ name: "mxf", counts }];
  };
  const whole = () => {
    const known = [...agent.values()];
    const sent = known.filter((f) => groupOf(f) === "active" || !draw(3));
    return { type: "snapshot", seq, files: sent, total: known.length + 1, routes: routes(), events: [] };
  };
  const update = () => {
    seq += 1;
    const removed = some([...agent.keys()], 20);
    removed.forEach((id) => agent.delete(id));
    const ids = new Set(Array.from({ length: draw(10) }, () => `f${draw(files)}`));
    const changed = [...ids].filter((id) => !removed.includes(id)).map((id) => file(id, WORDS[draw(10)]));
    changed.forEach((f) => agent.set(f.id, f));
    return draw(15) ? { type: "update", seq, changed, removed, routes: routes(), events: [] } : whole();
  };
  const state = new State();
  const wire = [whole()];
  let asked = null;
  let answer = null;
  let admitted = 0;
  for (let step = 1; step <= steps; step += 1) {
    wire.push(update());
    if (draw(2)) {
      if (!asked) asked = state.ask();
      else if (!answer) answer = some([...agent.values()], 2);
      else {
        admitted += state.admit(asked, answer, step) ? answer.length : 0;
        [asked, answer] = [null, null];
      }
    }
    for (let due = draw(4); due && wire.length; due -= 1) {
      if (!state.apply(wire.shift(), step)) return `a message was missed in step ${step}`;
    }
    if (wire.length) continue;
    for (const [id, f] of state.files) {
      if (JSON.stringify(agent.get(id)) !== JSON.stringify(f)) return `${id} is old in step ${step}`;
    }
    for (const group of ["active", "waiting", "failed", "completed"]) {
      const count = [...agent.values()].filter((f) => groupOf(f) === group).length;
      if (state.count(group) !== count) return `${group} is miscounted in step ${step}`;
      const lacks = count > state.list(group, "").length;
      if (lacks !== state.missing(group).length > 0) return `${group} is thought whole in step ${step}`;
    }
  }
  return `right: ${admitted > 100}`;
}
"""


@pytest.mark.parametrize("first", range(1, 4))
def test_whenever_pages_come_no_file_stays_old_and_all_are_counted(
    agent: Agent, page: Page, first: int
) -> None:
    agent.shows()
    open_page(page, agent)
    assert page.evaluate(PLAY, {"files": 60, "steps": 600, "first": first}) == "right: true"


def test_of_many_files_those_in_no_message_are_counted_fetched_and_found(agent: Agent, page: Page) -> None:
    waiting = [a_file(f"clip-{number:03}.mxf", "InQueue") for number in range(300)]
    route = a_route(counts={"InQueue": 300, "Failed": 1})
    agent.shows(*waiting[:40], failed("bad.mxf"), routes=(route,), total=301, files=waiting)
    open_page(page, agent)
    count = page.locator("#waiting-title + .count")
    lines = page.locator("#waiting .sizer .line")
    table = page.get_by_role("table")
    expect(count).to_have_text("300")
    expect(table).to_have_attribute("aria-rowcount", "301")
    assert agent.commands() == []  # nothing is fetched without need
    with page.expect_request("**/api/files**"):
        page.locator("#waiting").evaluate("node => node.scrollTo(0, node.scrollHeight)")
    expect(lines.last).not_to_have_attribute("aria-rowindex", "41")
    assert agent.commands()[0] == "files?verbose&limit=250&status=InQueue"
    page.get_by_label("Filter files").fill("CLIP-299")
    expect(lines).to_have_count(1)
    expect(count).to_have_text("1 of 300")
    agent.updates({**waiting[299], "status": "Held", "why": "container never closed"})
    expect(lines).to_contain_text("container never closed")
