import re
from datetime import datetime
from typing import Any

import pytest
from attrs import evolve

from agent.model.transfer import Status
from agent.model.views import HistoryPage, RouteView
from tests.samples import shown_as
from tests.web.fake_control import (
    A_FILE,
    A_ROUTE,
    A_ROW,
    AN_OUTAGE,
    AN_UPDATE,
    COMPLETED,
    GIB,
    FakeControl,
    client_of,
)
from web import openapi
from web.app import create_app
from web.auth import Access
from web.serializers import file_entry, update_message

DOCUMENT: Any = openapi.document()
TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
    "array": list,
    "object": dict,
}


def rich_control(route: RouteView = A_ROUTE) -> FakeControl:
    """Its answers have every optional member somewhere."""
    return FakeControl(
        files=(A_FILE, COMPLETED, shown_as(A_FILE, id="f3", status=Status.FAILED, error="unreadable")),
        routes=(route,),
        page=HistoryPage((A_ROW, evolve(A_ROW, result="failed", verified_level=None)), 7),
    )


def conforms(value: Any, schema: Any) -> bool:  # noqa: ANN401  JSON is of any type
    """Whether JSON fits a schema (the keywords that the description uses)."""
    if "$ref" in schema:
        return conforms(value, DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        return any(conforms(value, each) for each in schema["anyOf"])
    if "type" in schema and not isinstance(value, TYPES[schema["type"]]):
        return False
    if "properties" in schema:
        return members_conform(value, schema["properties"], schema["required"])
    if schema.get("format") == "date-time":
        return datetime.fromisoformat(value).tzinfo is not None
    every = value.values() if isinstance(value, dict) else value
    inner = schema.get("items", schema.get("additionalProperties"))
    return value in schema.get("enum", [value]) and (
        inner is None or all(conforms(each, inner) for each in every)
    )


def members_conform(value: dict[str, Any], properties: dict[str, Any], required: list[str]) -> bool:
    """An object has the members that are described and no others."""
    return set(required) <= value.keys() <= properties.keys() and all(
        conforms(each, properties[name]) for name, each in value.items()
    )


def test_every_request_is_described_and_nothing_else() -> None:
    rules = create_app(FakeControl(), Access(loopback=True)).url_map.iter_rules()
    served = {
        (method.lower(), re.sub(r"<(\w+)>", r"{\1}", rule.rule))
        for rule in rules
        for method in (rule.methods or {"GET"}) - {"HEAD", "OPTIONS"}
        if not rule.rule.startswith("/static/")
    }
    described = {(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert served == described


async def test_the_description_is_served() -> None:
    answer = await client_of(FakeControl()).get("/openapi.json")
    assert await answer.get_json() == DOCUMENT
    assert DOCUMENT["openapi"].startswith("3.1.")


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("get", "/api/status", ""),
        ("get", "/api/storage", ""),
        ("get", "/api/files", "?limit=1"),
        ("get", "/api/files", "?limit=0"),
        ("get", "/api/routes", ""),
        ("get", "/api/history", ""),
        ("get", "/api/explain", "?path=day1/a.mxf"),
        ("get", "/api/explain", "?path=none"),
        ("post", "/api/retry", ""),
        ("post", "/api/routes/{name}/pause", ""),
    ],
)
@pytest.mark.parametrize(
    "route", [A_ROUTE, evolve(A_ROUTE, outage=AN_OUTAGE), evolve(A_ROUTE, destination_free_bytes=GIB)]
)
async def test_what_is_answered_is_what_is_described(method: str, path: str, query: str, route: Any) -> None:  # noqa: ANN401
    answer = await client_of(rich_control(route)).open(path + query, method=method.upper())
    answers = DOCUMENT["paths"][path][method]["responses"]
    described = answers.get(str(answer.status_code), answers["default"])["content"]
    assert list(described) == [answer.content_type]
    assert conforms(await answer.get_json(), described[answer.content_type]["schema"])


async def test_the_live_feed_is_described() -> None:
    async with client_of(rich_control()).websocket("/ws") as client:
        snapshot = await client.receive_json()
    assert conforms(snapshot, {"$ref": "#/components/schemas/SnapshotMessage"})
    assert conforms(update_message(AN_UPDATE), {"$ref": "#/components/schemas/UpdateMessage"})


def test_every_shape_that_is_referred_to_is_described() -> None:
    named = set(re.findall(r"#/components/schemas/(\w+)", str(DOCUMENT)))
    assert named <= DOCUMENT["components"]["schemas"].keys()


def test_path_parameters_are_described() -> None:
    parameters = DOCUMENT["paths"]["/api/routes/{name}/pause"]["post"]["parameters"]
    assert [(each["name"], each["in"], each["required"]) for each in parameters] == [("name", "path", True)]


def test_a_required_question_is_marked_so() -> None:
    assert DOCUMENT["paths"]["/api/explain"]["get"]["parameters"][0]["required"] is True
    assert DOCUMENT["paths"]["/api/files"]["get"]["parameters"][0]["required"] is False


@pytest.mark.parametrize("change", [{"file_size": "300"}, {"status": "Lost"}, {"more": 1}, {"hash": 5}])
def test_a_body_of_another_shape_would_be_noticed(change: dict[str, object]) -> None:
    described = {"$ref": "#/components/schemas/FileEntry"}
    assert conforms(file_entry(A_FILE), described)
    assert not conforms(file_entry(A_FILE) | change, described)
