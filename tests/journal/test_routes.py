"""Paused routes in the journal."""

from pathlib import Path

from agent.journal import routes
from agent.journal.journal import Journal


def test_paused_routes_are_remembered(tmp_path: Path) -> None:
    journal = Journal.open(str(tmp_path))
    for route, paused in (("a", True), ("a", True), ("b", True), ("b", False), ("c", False)):
        journal.write(routes.set_paused, route, paused)
    journal.close()
    journal = Journal.open(str(tmp_path))
    assert journal.write(routes.paused) == {"a"}
    journal.close()
