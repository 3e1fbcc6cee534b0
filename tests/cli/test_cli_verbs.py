"""Queries and commands: what they print for people and machines, and what they send."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.cli_agents import ROUTE, Scripted, configured, invoke, output_of, scripted

EVIL = "a\x1b]0;owned\x07\n\x9b31m\u202e\ufffd"
HARMLESS = "a\\x1b]0;owned\\x07\\n\\x9b31m\\u202e\ufffd"
AT = "2026-01-01T12:03:11.000Z"
OUTAGE = {"reason": "hung", "since": AT, "detail": f"no answer from {EVIL}"}
A_ROUTE: dict[str, Any] = {
    "name": "mxf",
    "source": "/src",
    "paused": False,
    "outage": None,
    "counts": {"Copying": 1, "Failed": 2},
    "unreadable_folders": [],
    "held": [],
}
A_FILE: dict[str, Any] = {
    "id": "f/1",
    "file_path": f"/src/{EVIL}",
    "status": "Copying",
    "file_size": 3 * 1024**2,
    "copy_progress": 66.7,
    "why": "copying",
    "until": None,
    "error_message": None,
    "kept_because": None,
}
MOVING = {"file": EVIL, "status": "Copying", "progressPercentage": 67}
STATUS: dict[str, Any] = {"inProgress": None, "failedFiles": [], "pendingFiles": []}


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Scripted]:
    with scripted(tmp_path) as made:
        yield made


@pytest.fixture
def config(tmp_path: Path) -> str:
    return configured(tmp_path)


@pytest.mark.parametrize(
    ("route", "said"),
    [
        (A_ROUTE, "mxf: ok; 1 Copying, 2 Failed"),
        (A_ROUTE | {"counts": {}}, "mxf: ok; no files"),
        (
            A_ROUTE | {"counts": {}, "unreadable_folders": [{"folder": EVIL, "reason": "denied"}]},
            f"mxf: ok; no files\n  cannot read folder {HARMLESS}: denied",
        ),
        (
            A_ROUTE | {"counts": {"Held": 2}, "held": [{"why": f"grant {EVIL}", "files": 2}]},
            f"mxf: ok; 2 Held\n  2 held: grant {HARMLESS}",
        ),
        (A_ROUTE | {"paused": True, "counts": {}}, "mxf: paused, ok; no files"),
        (
            A_ROUTE | {"outage": OUTAGE, "counts": {"Paused": 3}},
            f"mxf: outage: hung since {AT}: no answer from {HARMLESS}; 3 Paused",
        ),
    ],
)
def test_status_has_a_line_for_each_route(
    route: dict[str, Any], said: str, agent: Scripted, config: str
) -> None:
    agent.answers |= {"GET /api/status": (200, STATUS), "GET /api/routes": (200, {"routes": [route]})}
    assert output_of("-c", config, "status") == f"{said}\n"


@pytest.mark.parametrize(
    "moving",
    [
        {"inProgress": MOVING},
        {"inProgress": MOVING, "allInProgress": [MOVING, MOVING | {"progressPercentage": 2}]},
    ],
)
def test_status_tells_every_moving_and_every_failed_file(
    moving: dict[str, Any], agent: Scripted, config: str
) -> None:
    failed = {"file": EVIL, "error": f"cannot read {EVIL}"}
    body = STATUS | moving | {"failedFiles": [failed]}
    agent.answers |= {"GET /api/status": (200, body), "GET /api/routes": (200, {"routes": []})}
    both = [f"  Copying {HARMLESS} 67 %", f"  Copying {HARMLESS} 2 %"][
        : len(moving.get("allInProgress", "1"))
    ]
    assert output_of("-c", config, "status").splitlines() == [
        *both,
        f"  Failed {HARMLESS}: cannot read {HARMLESS}",
    ]


def test_status_for_machines_holds_the_routes_too(agent: Scripted, config: str) -> None:
    agent.answers |= {"GET /api/status": (200, STATUS), "GET /api/routes": (200, {"routes": [A_ROUTE]})}
    assert json.loads(output_of("-c", config, "status", "--json")) == STATUS | {"routes": [A_ROUTE]}


def test_files_are_listed_with_harmless_names(agent: Scripted, config: str) -> None:
    agent.answers["GET /api/files"] = (200, {"files": [A_FILE]})
    assert output_of("-c", config, "files") == f"Copying     66.7 %    3.0 MiB  /src/{HARMLESS}\n"
    assert json.loads(output_of("-c", config, "files", "--json")) == {"files": [A_FILE]}


def test_all_files_are_listed_however_many_answers_they_take(agent: Scripted, config: str) -> None:
    other = A_FILE | {"file_path": "/src/b.mxf"}
    agent.answers |= {
        "GET /api/files": (200, {"files": [A_FILE], "next_cursor": "1.5,f 1"}),
        "GET /api/files?cursor=1.5%2Cf+1": (200, {"files": [other]}),
    }
    assert len(output_of("-c", config, "files").splitlines()) == 2
    assert json.loads(output_of("-c", config, "files", "--json")) == {"files": [A_FILE, other]}


def test_json_cannot_drive_the_terminal_either(agent: Scripted, config: str) -> None:
    agent.answers["GET /api/files"] = (200, {"files": [A_FILE]})
    assert output_of("-c", config, "files", "--json").rstrip("\n").isprintable()


def test_history_tells_where_files_went_or_why_not(agent: Scripted, config: str) -> None:
    row = {
        "completed_at": AT,
        "result": "delivered",
        "file_path": EVIL,
        "destination_path": EVIL,
        "error_message": None,
    }
    failed = row | {"result": "failed", "error_message": EVIL, "destination_path": None}
    agent.answers["GET /api/history"] = (200, {"history": [row, failed]})
    assert output_of("-c", config, "history").splitlines() == [
        f"{AT} delivered {HARMLESS} -> {HARMLESS}",
        f"{AT} failed    {HARMLESS}: {HARMLESS}",
    ]
    assert json.loads(output_of("-c", config, "history", "--json")) == {"history": [row, failed]}


def test_history_passes_on_what_is_asked_for(agent: Scripted, config: str) -> None:
    agent.answers["GET /api/history"] = (200, {"history": []})
    output_of("-c", config, "history")
    output_of(
        "-c", config, "history", "--route", "a b", "--since", "2026-01-01T00:00:00+01:00", "--limit", "5"
    )
    assert [visit for visit, _ in agent.asked] == [
        "GET /api/history?limit=100",
        "GET /api/history?route=a+b&since=2026-01-01T00%3A00%3A00%2B01%3A00&limit=5",
    ]


def test_a_limit_is_a_number(config: str) -> None:
    assert invoke("-c", config, "history", "--limit", "many").exit_code == 2


def known(agent: Scripted, file: dict[str, Any]) -> None:
    """Whatever path is asked for, it is this file."""
    agent.answers |= {"GET /api/routes": (200, {"routes": []}), "GET /api/explain": (200, file)}


def test_explain_tells_what_a_file_waits_for(agent: Scripted, config: str) -> None:
    known(agent, A_FILE | {"status": "Discovered", "why": f"waits for {EVIL}", "until": AT})
    assert output_of("-c", config, "explain", "x") == (
        f"/src/{HARMLESS}: Discovered: waits for {HARMLESS} (until {AT})\n"
    )


def test_explain_tells_why_the_source_of_a_delivered_file_is_still_there(
    agent: Scripted, config: str
) -> None:
    known(agent, A_FILE | {"status": "Completed", "why": "delivered", "kept_because": EVIL})
    assert output_of("-c", config, "explain", "x") == (
        f"/src/{HARMLESS}: Completed: delivered\n  its source is still there: {HARMLESS}\n"
    )


def test_explain_tells_the_last_error(agent: Scripted, config: str) -> None:
    known(agent, A_FILE | {"error_message": EVIL})
    assert output_of("-c", config, "explain", "x") == (
        f"/src/{HARMLESS}: Copying: copying\n  last error: {HARMLESS}\n"
    )
    assert json.loads(output_of("-c", config, "explain", "x", "--json"))["error_message"] == EVIL


ENDED = {
    "file_path": f"/src/{EVIL}",
    "result": "delivered",
    "completed_at": AT,
    "destination_path": f"/nas/{EVIL}",
    "verified_level": "read_back",
    "hash": "xxh128:00",
    "error_message": None,
}
DELIVERED = f"/src/{HARMLESS}: delivered at {AT} to /nas/{HARMLESS}, verified by read_back, xxh128:00"


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ({}, DELIVERED),
        ({"result": "kept"}, f"{DELIVERED}; its source was kept"),
        (
            {"result": "kept", "error_message": EVIL},
            f"{DELIVERED}; its source was kept: {HARMLESS}",
        ),
        ({"result": "failed", "error_message": EVIL}, f"/src/{HARMLESS}: failed at {AT}: {HARMLESS}"),
    ],
)
def test_explain_tells_how_a_transfer_ended_and_no_command_takes_its_file(
    agent: Scripted, config: str, row: dict[str, str], line: str
) -> None:
    known(agent, {"ended": ENDED | row})
    assert output_of("-c", config, "explain", "x") == f"{line}\n"
    assert json.loads(output_of("-c", config, "explain", "x", "--json")) == {"ended": ENDED | row}
    assert "is not tracked" in invoke("-c", config, "retry", "x").stderr


EXCLUDED = {"excluded": [{"route": "mxf", "file_path": f"/src/{EVIL}", "rule": 'exclude "*.mov"'}]}


def test_explain_names_the_rule_that_excludes_a_file_and_no_command_takes_it(
    agent: Scripted, config: str
) -> None:
    known(agent, EXCLUDED)
    line = f'/src/{HARMLESS}: not taken by route mxf: exclude "*.mov"\n'
    assert output_of("-c", config, "explain", "x") == line
    assert json.loads(output_of("-c", config, "explain", "x", "--json")) == EXCLUDED
    result = invoke("-c", config, "retry", "x")
    assert (result.exit_code, result.stderr) == (1, "x is not tracked\n")


@pytest.mark.parametrize(
    ("words", "order"),
    [
        (["pause", "mxf"], "POST /api/routes/mxf/pause"),
        (["pause", "no such/\x1b"], "POST /api/routes/no%20such%2F%1B/pause"),
        (["resume", "mxf"], "POST /api/routes/mxf/resume"),
        (["retry", "--all"], "POST /api/retry"),
        (["retry", "a.mxf"], "POST /api/files/f%2F1/retry"),
        (["cancel", "a.mxf"], "POST /api/files/f%2F1/cancel"),
        (["reload"], "POST /api/reload"),
    ],
)
def test_a_command_is_passed_on_and_what_it_did_is_printed_harmlessly(
    words: list[str], order: str, agent: Scripted, config: str
) -> None:
    known(agent, A_FILE)
    agent.answers[order] = (202, {"accepted": words[0], "result": f"{EVIL} is done"})
    assert output_of("-c", config, *words) == f"{HARMLESS} is done\n"
    assert agent.asked[-1] == (order, None)


@pytest.mark.parametrize("words", [["retry"], ["retry", "--all", "a.mxf"]])
def test_retry_wants_one_path_or_all(words: list[str], agent: Scripted, config: str) -> None:
    result = invoke("-c", config, *words)
    assert result.exit_code == 2
    assert "name one PATH, or use --all" in result.stderr
    assert agent.asked == []


@pytest.mark.parametrize("verb", ["retry", "cancel", "explain"])
def test_a_file_that_is_not_tracked_is_reported_harmlessly(verb: str, agent: Scripted, config: str) -> None:
    agent.answers["GET /api/routes"] = (200, {"routes": []})
    result = invoke("-c", config, verb, "b\x1b.mxf")
    assert (result.exit_code, result.stderr) == (1, "b\\x1b.mxf is not tracked\n")


def test_reload_of_an_invalid_file_is_refused_with_its_reasons(agent: Scripted, tmp_path: Path) -> None:
    config = configured(tmp_path, ROUTE | {"scan": "soon", "verify": "no"})
    result = invoke("-c", config, "reload")
    assert result.exit_code == 1
    assert [line.split(": ")[2] for line in result.stderr.splitlines()] == ["scan", "verify"]
    assert agent.asked == []
