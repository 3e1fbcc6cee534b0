"""`health`: the report for a Nagios-compatible monitor, and its exit code."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli.nagios import NagiosReport, NagiosState, nagios_report
from tests.cli.cli_agents import configured, invoke, running, scripted, wait_until

OK, WARNING, CRITICAL, UNKNOWN = range(4)
WELL = {"name": "mxf", "status": "OK", "message": ""}
LOW = {"name": "mxf", "status": "WARNING", "message": "destination has 1.0 GiB free, less than 10.0 GiB"}
HUNG = {"name": "mxf", "status": "ERROR", "message": "hung: no answer in 10 s"}
NEW = {"name": "mxf", "status": "ERROR", "message": "not yet checked"}
OUTAGE = {"reason": "hung", "since": "2026-01-01T12:00:00.000Z", "detail": "no answer in 10 s"}
DATA = "mxf_free=5000B;;;0;9000 mxf_queue=3;;;0; mxf_failed=0;;;0;"
NO_DATA = "mxf_free=U;;;0; mxf_queue=0;;;0; mxf_failed=2;;;0;"
PERFORMANCE = re.compile(r"[^ =']+=(U|-?[0-9.]+B?);;;0;[0-9]*")


def route(**changes: object) -> dict[str, Any]:
    return {
        "name": "mxf",
        "paused": False,
        "outage": None,
        "counts": {"Copying": 1, "InQueue": 2, "Completed": 7},
        "held": [],
        "destination_free_bytes": 5000,
        "destination_total_bytes": 9000,
        **changes,
    }


@pytest.mark.parametrize(
    ("storage", "routes", "line"),
    [
        (WELL, route(), f"OK - 1 route, 3 files waiting | {DATA}"),
        (WELL, route(paused=True), f"OK - 1 route, 3 files waiting, mxf paused | {DATA}"),
        (LOW, route(), f"WARNING - mxf: destination has 1.0 GiB free, less than 10.0 GiB | {DATA}"),
        (
            WELL,
            route(counts={"Failed": 1, "Held": 1}),
            "WARNING - mxf: 1 failed file | mxf_free=5000B;;;0;9000 mxf_queue=1;;;0; mxf_failed=1;;;0;",
        ),
        (
            WELL,
            route(counts={"Held": 2}, held=[{"why": "grant CAP_LEASE", "files": 2}]),
            f"WARNING - mxf: 2 held files: grant CAP_LEASE | {DATA.replace('queue=3', 'queue=2')}",
        ),
        (
            HUNG,
            route(
                outage=OUTAGE, counts={"Failed": 2}, destination_free_bytes=None, destination_total_bytes=None
            ),
            f"CRITICAL - mxf: hung: no answer in 10 s; 2 failed files | {NO_DATA}",
        ),
        (NEW, route(), f"UNKNOWN - mxf: not yet checked | {DATA}"),
        ({"name": "other"}, route(), f"UNKNOWN - mxf: nothing is known of its storage | {DATA}"),
    ],
)
def test_the_state_and_the_reason_are_on_one_line(
    storage: dict[str, Any], routes: dict[str, Any], line: str
) -> None:
    readiness = "not ready" if line.startswith(("CRITICAL", "UNKNOWN")) else "ok"
    assert str(nagios_report(readiness, [storage], [routes])) == line


def test_the_worst_route_decides_and_comes_first() -> None:
    storage = [LOW | {"name": "low"}, NEW | {"name": "new"}, HUNG | {"name": "hung"}, WELL | {"name": "well"}]
    routes = [route(name="low"), route(name="new"), route(name="hung", outage=OUTAGE), route(name="well")]
    report = nagios_report("not ready", storage, routes)
    assert report.state is NagiosState.CRITICAL
    assert [part.partition(":")[0] for part in report.text.split("; ")] == ["hung", "low", "new"]
    assert nagios_report("not ready", storage[1:2], routes[1:2]).state is NagiosState.UNKNOWN


def test_not_being_ready_is_critical_even_if_no_route_says_why() -> None:
    report = nagios_report("not ready: the agent is busy\nand more", [WELL], [route()])
    assert (report.state, report.text) == (NagiosState.CRITICAL, "not ready: the agent is busy")


def test_upload_jobs_are_not_judged() -> None:
    job = route(name="upload:j1", upload_id="j1", outage=OUTAGE)
    assert str(nagios_report("ok", [WELL], [route(), job])) == f"OK - 1 route, 3 files waiting | {DATA}"


def test_no_route_is_unknown() -> None:
    assert str(nagios_report("not ready", [], [])) == "UNKNOWN - no route is running"


@given(st.text(), st.sampled_from(NagiosState))
def test_nothing_in_a_reason_can_end_the_line_or_begin_the_data(reason: str, state: NagiosState) -> None:
    text, bar, data = str(NagiosReport(state, reason, ("mxf_free=1B;;;0;",))).partition(" | ")
    assert text.startswith(f"{state.name} - ")
    assert text.isprintable()
    assert "|" not in text
    assert (bar, data) == (" | ", "mxf_free=1B;;;0;")


def checked(config: str) -> tuple[int, str]:
    """Exit code and line of the plugin."""
    result = invoke("-c", config, "health")
    assert result.stderr == ""
    assert result.stdout.count("\n") == 1
    return result.exit_code, result.stdout.rstrip("\n")


def test_an_agent_that_is_not_running_is_critical(tmp_path: Path) -> None:
    code, line = checked(configured(tmp_path))
    assert code == CRITICAL
    assert line.startswith("CRITICAL - no agent answers at http://127.0.0.1:0 (Connection refused)")


def test_a_configuration_error_is_unknown(tmp_path: Path) -> None:
    route = {"name": "mxf", "source": "in", "destination": "out", "scan": "soon", "verify": "no"}
    code, line = checked(configured(tmp_path, route))
    assert code == UNKNOWN
    assert line.startswith(f'UNKNOWN - {tmp_path}/agent.toml: route "mxf": scan: ')
    assert f'; {tmp_path}/agent.toml: route "mxf": verify: ' in line


@pytest.mark.parametrize(("status", "code"), [(503, CRITICAL), (401, UNKNOWN)])
def test_an_agent_that_refuses_is_critical_if_it_is_to_blame_and_else_unknown(
    status: int, code: int, tmp_path: Path
) -> None:
    with scripted(tmp_path, {"GET /api/routes": (status, {"detail": "no"})}):
        assert checked(configured(tmp_path)) == (code, f"{NagiosState(code).name} - no")


@pytest.mark.parametrize(
    ("status", "storage", "code"),
    [
        (200, {"routes": [WELL]}, OK),
        (507, {"routes": [LOW]}, WARNING),
        (503, {"routes": [NEW]}, UNKNOWN),
        (503, {"detail": "busy"}, UNKNOWN),
    ],
)
def test_the_storage_counts_whatever_its_status(
    status: int, storage: dict[str, Any], code: int, tmp_path: Path
) -> None:
    answers: dict[str, tuple[int, object]] = {
        "GET /api/routes": (200, {"routes": [route()]}),
        "GET /api/storage": (status, storage),
        "GET /readyz": (200, "ok"),
    }
    with scripted(tmp_path, answers):
        assert checked(configured(tmp_path))[0] == code


def test_a_real_agent_is_ok_until_its_destination_is_gone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    route = {"name": "mxf", "source": "in", "destination": "out", "probe": "100ms", "low_space": "1KiB"}
    config = configured(tmp_path, route)
    with running(config):
        wait_until(lambda: checked(config)[0] == OK)
        line = checked(config)[1]
        text, _, data = line.partition(" | ")
        assert text == "OK - 1 route, 0 files waiting"
        assert all(PERFORMANCE.fullmatch(item) for item in data.split(" "))
        (tmp_path / "out").rmdir()
        wait_until(lambda: checked(config)[0] == CRITICAL)
        assert checked(config)[1].startswith("CRITICAL - mxf: unmounted: ")
