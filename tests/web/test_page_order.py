"""Many files on the page: their order is the same, however they arrived."""

import pytest
from playwright.sync_api import Page

from tests.web.page_driver import Agent, agent, browser, needs_chromium, open_page, page

__all__ = ["agent", "browser", "page"]
pytestmark = needs_chromium

# Random updates to one State, and after each of them another State that gets all of it in one snapshot.
PLAY = """
async ({ files, updates, changes }) => {
  const { State } = await import("./static/state.js");
  const GROUPS = ["active", "waiting", "failed", "completed"];
  const WORDS = ["Discovered", "Growing", "Ready", "InQueue", "Copying", "Verifying", "Paused", "Held",
    "Completed", "Failed"];
  let seed = 1;
  const draw = (n) => (seed = (seed * 48271) % 2147483647) % n;
  const time = () => `2026-01-01T00:00:0${draw(10)}.000Z`;
  const file = () => ({ id: `f${draw(files)}`, route: "mxf", path: `take${draw(files)}.mxf`,
    status: WORDS[draw(WORDS.length)], file_size: 9, bytes_copied: draw(9), bytes_verified: 0,
    discovered_at: time(), started_at: draw(2) ? time() : null, completed_at: draw(2) ? time() : null });
  const shown = (state) => JSON.stringify([
    GROUPS.map((group) => [state.count(group), state.list(group, ""), state.list(group, "take1")]),
    state.countHeld(), [...state.rates.keys()].sort()]);
  const updated = new State();
  updated.apply({ type: "snapshot", seq: 0, files: [], routes: [], events: [] }, 0);
  const known = new Map();
  for (let seq = 1; seq <= updates; seq += 1) {
    const changed = [...new Map(Array.from({ length: draw(changes) }, file).map((f) => [f.id, f])).values()];
    const removed = Array.from({ length: draw(5) }, () => `g${draw(files)}`)
      .concat([...known.keys()].filter((id) => !draw(20) && !changed.some((f) => f.id === id)));
    updated.apply({ type: "update", seq, changed, removed, routes: [], events: [] }, seq);
    changed.forEach((f) => known.set(f.id, f));
    removed.forEach((id) => known.delete(id));
    const fresh = new State();
    fresh.apply({ type: "snapshot", seq, files: [...known.values()], routes: [], events: [] }, seq);
    if (shown(updated) !== shown(fresh)) return `not the same after update ${seq}`;
  }
  return `the same: ${updated.files.size > 0}`;
}
"""


@pytest.mark.parametrize(
    ("files", "updates", "changes"),
    [(30, 200, 20), (5000, 6, 3000)],  # a few at a time; so many that everything is sorted anew
)
def test_files_are_in_order_whatever_changed_when(
    agent: Agent, page: Page, files: int, updates: int, changes: int
) -> None:
    agent.shows()
    open_page(page, agent)
    play = {"files": files, "updates": updates, "changes": changes}
    assert page.evaluate(PLAY, play) == "the same: true"
