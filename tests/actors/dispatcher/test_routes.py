"""Which routes exist, and which of them may start copies."""

from attrs import evolve

from agent.actors.dispatcher.routes import RouteTable, SourceAvailability
from agent.messages.broadcaster import RouteState
from agent.messages.dispatcher import SourceState
from tests.samples import ROUTE


def scanned(began_s: float, error: str | None = None) -> SourceState:
    return SourceState("mxf", error, began_s, at=1.0)


def test_a_source_that_cannot_be_listed_closes_its_route_until_it_can() -> None:
    source = SourceAvailability()
    assert source.is_available
    assert source.scanned(scanned(1.0, "source: no answer"), now_s=2.0)
    assert (source.is_available, source.error) == (False, "source: no answer")
    assert not source.scanned(scanned(2.0, "source: no answer"), now_s=3.0)
    assert source.scanned(scanned(4.0), now_s=5.0)
    assert source.is_available


def test_a_scan_that_began_before_a_copy_met_the_outage_proves_nothing() -> None:
    source = SourceAvailability()
    source.failed("source: nothing moved for 30 s", now_s=10.0)
    assert not source.scanned(scanned(10.0), now_s=11.0)
    assert not source.is_available
    assert source.scanned(scanned(10.5), now_s=11.0)
    assert source.is_available


def test_a_route_is_closed_while_it_is_paused_unreadable_or_being_removed() -> None:
    table = RouteTable({"later"})
    assert table.add(ROUTE) == RouteState("mxf", paused=False)
    assert table.closed() == {"later"}
    assert table.add(evolve(ROUTE, name="later")) == RouteState("later", paused=True)
    assert (table.why_paused("mxf"), table.why_paused("later")) == ("", "paused by the operator")
    table.sources["mxf"].failed("source: no answer", now_s=1.0)
    assert table.why_paused("mxf") == "source: no answer"
    assert table.closed() == {"mxf", "later"}
    table.sources["mxf"].scanned(scanned(2.0), now_s=3.0)
    table.removing.add("mxf")
    assert table.closed() == {"mxf", "later"}


def test_a_route_that_is_being_removed_is_forgotten_once_it_is_no_longer_in_use() -> None:
    table = RouteTable({"mxf"})
    table.add(ROUTE)
    assert table.forget_removed([]) == []
    table.removing.add("mxf")
    assert table.forget_removed(["mxf"]) == []
    assert table.forget_removed(["wav"]) == ["mxf"]
    assert "mxf" not in table
    assert table.closed() == set()
