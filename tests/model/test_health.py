from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from agent.model.errors import OutageReason
from agent.model.health import (
    GIB_BYTES,
    HealthLevel,
    RouteHealth,
    healthy,
    ready,
    route_health,
    unusable,
    worst,
)
from agent.model.views import Outage, RouteView

WELL = RouteView(
    name="mxf",
    source="/src",
    destination="/nas",
    rules={},
    paused=False,
    counts={},
    queue_bytes=0,
    rate_bytes_s=0.0,
    outage=None,
    checked=True,
    recovered=True,
    scanned=True,
    source_error=None,
    source_free_bytes=20 * GIB_BYTES,
    destination_free_bytes=30 * GIB_BYTES,
    destination_total_bytes=40 * GIB_BYTES,
    low_space_bytes=10 * GIB_BYTES,
)
HUNG = evolve(WELL, outage=Outage(OutageReason.HUNG, 5.0, "no answer in 10 s"))
UNCHECKED = evolve(WELL, checked=False)


def test_a_route_with_space_on_both_sides_is_ok() -> None:
    assert route_health(WELL) == RouteHealth("mxf", HealthLevel.OK, "", 20 * GIB_BYTES, 30 * GIB_BYTES)


def test_an_outage_is_an_error_whatever_was_last_known_of_the_space() -> None:
    assert route_health(HUNG) == RouteHealth(
        "mxf", HealthLevel.ERROR, "hung: no answer in 10 s", 20 * GIB_BYTES, None
    )


def test_a_destination_that_was_never_probed_is_an_error() -> None:
    assert route_health(UNCHECKED) == RouteHealth(
        "mxf", HealthLevel.ERROR, "not yet checked", 20 * GIB_BYTES, None
    )


def test_low_space_at_the_destination_is_a_warning() -> None:
    verdict = route_health(evolve(WELL, destination_free_bytes=GIB_BYTES))
    assert verdict.level is HealthLevel.WARNING
    assert verdict.message == "destination has 1.0 GiB free, less than 10.0 GiB"


def test_low_space_at_the_source_is_a_warning() -> None:
    verdict = route_health(evolve(WELL, source_free_bytes=GIB_BYTES))
    assert (verdict.level, verdict.message) == (
        HealthLevel.WARNING,
        "source has 1.0 GiB free, less than 10.0 GiB",
    )


def test_space_exactly_at_the_warning_level_is_ok() -> None:
    assert route_health(evolve(WELL, destination_free_bytes=WELL.low_space_bytes)).level is HealthLevel.OK


def test_space_that_a_destination_does_not_tell_is_no_concern() -> None:
    assert (
        route_health(evolve(WELL, destination_free_bytes=None, source_free_bytes=None)).level
        is HealthLevel.OK
    )


def test_an_unreadable_source_is_a_warning_beside_others() -> None:
    verdict = route_health(evolve(WELL, source_error="permission denied", destination_free_bytes=0))
    assert verdict.level is HealthLevel.WARNING
    assert verdict.message == ("destination has 0.0 GiB free, less than 10.0 GiB; source: permission denied")


def test_no_route_at_all_is_an_error() -> None:
    assert worst([]) == RouteHealth("", HealthLevel.ERROR, "no route is running", None, None)


def test_among_equals_the_one_with_the_least_free_space_decides() -> None:
    tight = evolve(WELL, name="tight", destination_free_bytes=11 * GIB_BYTES)
    untold = evolve(WELL, name="untold", destination_free_bytes=None)
    assert worst([route_health(WELL), route_health(tight), route_health(untold)]).name == "tight"


@given(
    st.lists(
        st.sampled_from([WELL, HUNG, UNCHECKED, evolve(WELL, source_error="gone")]), min_size=1, max_size=5
    )
)
def test_the_worst_route_decides(routes: list[RouteView]) -> None:
    levels = [route_health(route).level for route in routes]
    gravest = next(
        level for level in (HealthLevel.ERROR, HealthLevel.WARNING, HealthLevel.OK) if level in levels
    )
    assert worst([route_health(route) for route in routes]).level is gravest


def test_only_an_outage_makes_the_agent_unhealthy() -> None:
    assert healthy([])
    assert healthy([WELL, UNCHECKED])
    assert not healthy([WELL, HUNG])


def test_ready_means_that_every_destination_is_known_to_be_usable() -> None:
    assert ready([WELL])
    assert not ready([])
    assert not ready([WELL, UNCHECKED])
    assert not ready([WELL, HUNG])


def test_the_reason_why_a_destination_is_unusable_is_one_line() -> None:
    assert [unusable(route) for route in (WELL, UNCHECKED, HUNG)] == [
        None,
        "not yet checked",
        "hung: no answer in 10 s",
    ]


def test_upload_jobs_neither_help_nor_harm() -> None:
    job = evolve(HUNG, upload_id="j1")
    assert healthy([WELL, job])
    assert ready([WELL, job])
    assert not ready([evolve(WELL, upload_id="j1")])
