import gc
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import evolve

from agent.control.errors import Conflict, InvalidConfig, NotFound, Unavailable
from agent.model.transfer import Status
from agent.model.views import HistoryPage, HistoryQuery, RouteView
from tests.samples import shown_as
from tests.web.fake_control import (
    A_FILE,
    A_ROUTE,
    A_ROW,
    AN_OUTAGE,
    COMPLETED,
    GIB,
    NEW_YEAR_AT,
    FakeControl,
    client_of,
)
from web import file_list, serializers
from web.api import FILES_LIMIT


async def got(control: FakeControl, path: str) -> tuple[int, Any]:
    answer = await client_of(control).get(path)
    assert answer.content_type == "application/json"
    return answer.status_code, await answer.get_json()


async def refused(
    control: FakeControl, path: str, method: str = "GET", data: bytes | None = None
) -> dict[str, Any]:
    answer = await client_of(control).open(path, method=method, data=data)
    assert answer.content_type == "application/problem+json"
    body: dict[str, Any] = await answer.get_json()
    assert body["status"] == answer.status_code
    assert body["type"] == "about:blank"
    return body


async def test_status_has_the_contracts_shape() -> None:
    assert await got(FakeControl(), "/api/status") == (200, file_list.status_body([A_FILE, COMPLETED]))


@pytest.mark.parametrize(
    ("route", "code", "word"),
    [
        (A_ROUTE, 200, "OK"),
        (evolve(A_ROUTE, destination_free_bytes=GIB), 507, "WARNING"),
        (evolve(A_ROUTE, source_error="unreadable"), 507, "WARNING"),
        (evolve(A_ROUTE, outage=AN_OUTAGE), 503, "ERROR"),
        (evolve(A_ROUTE, checked=False), 503, "ERROR"),
    ],
)
async def test_the_storages_state_is_also_the_status_code(route: RouteView, code: int, word: str) -> None:
    answered, body = await got(FakeControl(routes=(route,)), "/api/storage")
    assert (answered, body["status"]) == (code, word)


async def test_routes_are_listed() -> None:
    assert await got(FakeControl(), "/api/routes") == (200, {"routes": [serializers.route_entry(A_ROUTE)]})


async def test_files_are_listed_in_the_order_of_discovery_with_no_cursor_at_the_end() -> None:
    first = shown_as(A_FILE, id="f2", discovered_at=NEW_YEAR_AT)
    code, body = await got(FakeControl(files=(A_FILE, first)), "/api/files")
    assert (code, body) == (200, {"files": [serializers.file_entry(first), serializers.file_entry(A_FILE)]})


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("status=Completed", ["f0"]),
        ("status=Held", []),
        ("route=mxf", ["f0", "f1"]),
        ("route=other", []),
        ("route=mxf&status=Copying", ["f1"]),
    ],
)
async def test_files_are_chosen_by_status_and_route(query: str, ids: list[str]) -> None:
    _, body = await got(FakeControl(), f"/api/files?{query}")
    assert [file["id"] for file in body["files"]] == ids


async def test_files_are_searched_for_and_listed_as_in_the_live_feed() -> None:
    _, body = await got(FakeControl(), "/api/files?search=DAY1&verbose")
    assert body == {"files": [serializers.live_file(A_FILE)]}


async def test_paging_through_the_files_shows_each_once() -> None:
    files = tuple(shown_as(A_FILE, id=f"f{number}") for number in (3, 1, 2, 5, 4))
    control, seen = FakeControl(files=files), list[str]()
    cursor: str | None = ""
    while cursor is not None:
        _, body = await got(control, f"/api/files?limit=2{cursor}")
        seen += [file["id"] for file in body["files"]]
        cursor = f"&cursor={body['next_cursor']}" if "next_cursor" in body else None
    assert seen == ["f1", "f2", "f3", "f4", "f5"]


async def test_an_answer_holds_a_thousand_files_at_most_and_says_where_it_goes_on() -> None:
    files = tuple(shown_as(A_FILE, id=f"f{number:04}") for number in range(FILES_LIMIT + 1))
    _, body = await got(FakeControl(files=files), "/api/files")
    assert [file["id"] for file in body["files"]] == [file.id for file in files[:FILES_LIMIT]]
    _, rest = await got(FakeControl(files=files), f"/api/files?cursor={body['next_cursor']}")
    assert [file["id"] for file in rest["files"]] == [files[-1].id]
    assert "next_cursor" not in rest


async def test_a_name_of_any_bytes_is_listed() -> None:
    odd = shown_as(A_FILE, path="caf\udce9\n.mxf")
    _, body = await got(FakeControl(files=(odd,)), "/api/files")
    assert body["files"][0]["file_path"] == "/src/caf\ufffd\n.mxf"


async def test_history_passes_its_query_to_control() -> None:
    control = FakeControl(page=HistoryPage((A_ROW,), 7))
    query = "since=2026-01-01T00:00:00Z&until=1767225601.5&route=mxf&limit=1&cursor=9"
    assert await got(control, f"/api/history?{query}") == (200, serializers.history_body(control.page))
    assert control.queries == [HistoryQuery(NEW_YEAR_AT, NEW_YEAR_AT + 1.5, "mxf", 1, 9)]


async def test_history_without_a_question_is_the_latest_100() -> None:
    control = FakeControl()
    await got(control, "/api/history")
    assert control.queries == [HistoryQuery(limit=100)]


HELD = shown_as(A_FILE, id="f7", status=Status.HELD, why="its container is open", until_at=NEW_YEAR_AT + 60)


@pytest.mark.parametrize("path", ["day1/a.mxf", "/src/day1/a.mxf"])
async def test_a_file_is_explained_by_either_path(path: str) -> None:
    code, body = await got(FakeControl(files=(HELD,)), f"/api/explain?path={path}")
    assert (code, body["status"], body["why"]) == (200, "Held", "its container is open")
    assert body["until"] == "2026-01-01T00:01:00.000Z"


async def test_of_several_files_of_a_name_the_newest_is_explained() -> None:
    old = shown_as(A_FILE, id="f8", discovered_at=0.0)
    _, body = await got(FakeControl(files=(old, HELD, old)), "/api/explain?path=day1/a.mxf")
    assert body["id"] == "f7"


@pytest.mark.parametrize("path", ["caf%E9.mxf", "caf%EF%BF%BD.mxf"])
async def test_a_name_of_any_bytes_is_explained(path: str) -> None:
    odd = shown_as(A_FILE, path="caf\udce9.mxf")
    code, _ = await got(FakeControl(files=(odd,)), f"/api/explain?path={path}")
    assert code == 200


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("/src/day1/clip.mov", 'no include matches it, of "*.mxf"'),
        ("day1/.nfs0001", 'the built-in exclude ".nfs*", which no include overrules'),
    ],
)
async def test_of_a_path_that_is_not_taken_the_rule_is_named(path: str, rule: str) -> None:
    code, body = await got(FakeControl(), f"/api/explain?path={path}")
    file_path = f"/src/{path.removeprefix('/src/')}"
    assert (code, body) == (200, {"excluded": [{"route": "mxf", "file_path": file_path, "rule": rule}]})


async def test_of_a_file_that_is_not_tracked_any_more_the_end_of_its_last_transfer_is_told() -> None:
    control = FakeControl(page=HistoryPage((A_ROW,), 7))
    code, body = await got(control, "/api/explain?path=/src/day1/gone.mxf")
    assert (code, body) == (200, {"ended": serializers.history_entry(A_ROW)})
    assert control.queries == [HistoryQuery(path="/src/day1/gone.mxf", limit=1)]


async def test_what_is_not_tracked_and_never_was_cannot_be_explained() -> None:
    problem = await refused(FakeControl(page=HistoryPage((), None)), "/api/explain?path=none.mxf")
    assert (problem["status"], problem["title"]) == (404, "Not Found")
    assert "none.mxf" in problem["detail"]


@pytest.mark.parametrize(
    ("path", "order"),
    [
        ("/api/routes/mxf/pause", ("pause", "mxf")),
        ("/api/routes/day%20one/resume", ("resume", "day one")),
        ("/api/files/f1/retry", ("retry", "f1")),
        ("/api/files/f1/cancel", ("cancel", "f1")),
        ("/api/retry", ("retry_all",)),
        ("/api/reload", ("reload",)),
    ],
)
async def test_commands_are_passed_to_control(path: str, order: tuple[str, ...]) -> None:
    control = FakeControl()
    answer = await client_of(control).post(path)
    body = await answer.get_json()
    assert (answer.status_code, control.commands) == (202, [order])
    assert body.pop("result") == " ".join(("done:", *order))
    assert body == {"accepted": order[0].removesuffix("_all")} | (
        {"subject": order[1]} if len(order) > 1 else {}
    )


@pytest.mark.parametrize(
    ("refusal", "code", "detail"),
    [
        (Unavailable(), 503, "the agent is busy, try again soon"),
        (NotFound("no tracked file has the id 'f1'"), 404, "no tracked file has the id 'f1'"),
        (Conflict("a.mxf is Copying"), 409, "a.mxf is Copying"),
        (InvalidConfig(("one", "two")), 422, "one; two"),
    ],
)
async def test_a_refusal_of_control_is_a_problem(refusal: Exception, code: int, detail: str) -> None:
    problem = await refused(FakeControl(refusal=refusal), "/api/files/f1/retry", "POST")
    assert (problem["status"], problem["detail"]) == (code, detail)
    assert problem.get("reasons", []) == list(getattr(refusal, "reasons", []))


async def test_an_unavailable_agent_sends_retry_after() -> None:
    assert (await client_of(FakeControl(refusal=Unavailable())).get("/api/status")).headers[
        "Retry-After"
    ] == "1"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/files?limit=0", "limit"),
        ("/api/files?status=copying", "status"),
        ("/api/files?cursor=x", "cursor"),
        ("/api/history?since=yesterday", "since"),
        ("/api/history?until=2026-01-01", "until"),
        ("/api/history?cursor=x", "cursor"),
        ("/api/explain", "path"),
    ],
)
async def test_a_malformed_parameter_is_refused_by_name(path: str, name: str) -> None:
    problem = await refused(FakeControl(), path)
    assert problem["status"] == 400
    assert problem["detail"].startswith(f"{name}: must be ")


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/api/retry", 405),
        ("DELETE", "/api/status", 405),
        ("GET", "/static/../app.py", 404),
    ],
)
async def test_what_does_not_exist_is_a_problem(method: str, path: str, code: int) -> None:
    assert (await refused(FakeControl(), path, method))["status"] == code


async def test_a_wrong_method_is_answered_with_the_right_one() -> None:
    assert "POST" in (await client_of(FakeControl()).get("/api/retry")).headers["Allow"]


async def test_a_body_that_is_too_large_is_refused_before_the_command_is_executed() -> None:
    control = FakeControl()
    assert (await refused(control, "/api/retry", "POST", b"x" * 70_000))["status"] == 413
    assert control.commands == []


async def test_an_unexpected_error_is_a_problem_without_internal_details(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.CRITICAL):
        problem = await refused(FakeControl(refusal=ZeroDivisionError("secret")), "/api/status")
    assert problem["status"] == 500
    assert "secret" not in problem["detail"]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text("<!doctype html>")
    return tmp_path


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "text/html; charset=utf-8"),
        ("*/*", "text/html; charset=utf-8"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html; charset=utf-8"),
        ("image/png", "text/html; charset=utf-8"),
        ("application/json", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
        ("text/html;q=0.5, application/json", "application/json"),
    ],
)
async def test_the_way_in_is_the_page_unless_json_is_preferred(
    page: Path, accept: str | None, kind: str
) -> None:
    client = client_of(FakeControl())
    client.app.static_folder = page
    answer = await client.get("/", headers={"Accept": accept} if accept else {})
    assert (answer.status_code, answer.content_type) == (200, kind)
    if kind == "application/json":
        assert await answer.get_json() == {"status": "ok"}


async def test_after_an_upgrade_no_browser_goes_on_with_the_old_page(page: Path) -> None:
    client = client_of(FakeControl())
    client.app.static_folder = page
    first = await client.get("/static/index.html")
    again = await client.get("/static/index.html", headers={"If-None-Match": first.headers["ETag"]})
    assert "max-age=0" in first.headers["Cache-Control"]
    assert again.status_code == 304


async def test_a_client_that_disconnects_before_the_page_is_sent_leaves_no_open_file(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_open: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", left_open.append)
    client = client_of(FakeControl())
    client.app.static_folder = page
    connection: Any = client.request("/")
    app: Any = client.app
    leave, leaving = trio.open_memory_channel[dict[str, Any]](2)
    await leave.send({"type": "http.request", "body": b"", "more_body": False})

    async def hear(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            await leave.send({"type": "http.disconnect"})

    await app(connection.scope, leaving.receive, hear)
    gc.collect()
    assert left_open == []
