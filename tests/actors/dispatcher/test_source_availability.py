from agent.actors.dispatcher.source_availability import SourceAvailability
from agent.messages.dispatcher import SourceState


def scanned(began_s: float, error: str | None = None) -> SourceState:
    return SourceState("mxf", error, began_s, at=1.0)


def test_a_source_that_cannot_be_listed_shuts_its_route_until_it_can() -> None:
    gate = SourceAvailability()
    assert not gate.is_closed
    assert gate.scanned(scanned(1.0, "source: no answer"), now_s=2.0)
    assert (gate.is_closed, gate.why) == (True, "source: no answer")
    assert not gate.scanned(scanned(2.0, "source: no answer"), now_s=3.0)
    assert gate.scanned(scanned(4.0), now_s=5.0)
    assert not gate.is_closed


def test_a_scan_that_began_before_a_copy_met_the_outage_proves_nothing() -> None:
    gate = SourceAvailability()
    gate.close("source: nothing moved for 30 s", now_s=10.0)
    assert not gate.scanned(scanned(10.0), now_s=11.0)
    assert gate.is_closed
    assert gate.scanned(scanned(10.5), now_s=11.0)
    assert not gate.is_closed
