"""/uploads/: the calls of UploadControl, and the answers."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quart_trio.testing import TrioClient
from werkzeug.exceptions import BadRequest, UnprocessableEntity

from agent.control.errors import Conflict, InvalidRequest, NotFound, StorageTimeout, Unavailable
from agent.model.upload import CreateUpload, UploadFileState
from agent.model.views import UploadFilesPage, UploadFilesQuery, UploadsPage, UploadsQuery
from tests.web.fake_control import A_JOB, A_JOB_FILE, FOREIGN_PEER, FakeControl, client_of
from web.auth import Access
from web.uploads import read_create_upload

TOKEN = "the-only-secret"  # noqa: S105  of this test
ORDER = {"source_folder": "/media/day1", "destination_bucket": "archive"}
JOB_BODY = {
    "upload_id": A_JOB.id,
    "progress": 0.25,
    "state": "IN_PROGRESS",
    "total_files": 4,
    "completed_files": 1,
    "source_folder": "/media/day1",
    "destination_bucket": "archive",
    "pattern": "*.mxf",
    "error_message": "outage: hung: no answer",
    "created_at": "2026-01-01T00:00:00.000Z",
    "updated_at": "2026-01-01T00:00:02.000Z",
}


async def post(client: TrioClient, body: object, **more: Any) -> Any:  # noqa: ANN401  as Quart has it
    return await client.post("/uploads/", data=json.dumps(body), **more)


async def test_a_job_is_created_and_named() -> None:
    control = FakeControl()
    client = client_of(control)
    for body in (ORDER, ORDER | {"pattern": "*.mxf"}, ORDER | {"pattern": None}):
        answer = await post(client, body)
        assert answer.status_code == 201
        assert await answer.get_json() == {"upload_id": A_JOB.id, "status": "created"}
        assert answer.headers["Location"] == f"/uploads/{A_JOB.id}"
        assert answer.headers["Cache-Control"] == "no-store"
    assert [order.pattern for order in control.uploads.created] == [None, "*.mxf", None]
    assert control.uploads.created[0] == CreateUpload("/media/day1", "archive")
    assert (await client.post("/uploads", data=json.dumps(ORDER))).status_code == 201


async def test_the_state_of_a_job() -> None:
    answer = await client_of(FakeControl()).get(f"/uploads/{A_JOB.id}")
    assert (answer.status_code, await answer.get_json()) == (200, JOB_BODY)


async def test_jobs_are_listed_page_by_page() -> None:
    control = FakeControl()
    client = client_of(control)
    assert await (await client.get("/uploads/")).get_json() == {"uploads": [JOB_BODY]}
    control.uploads.jobs = UploadsPage((A_JOB,), 17)
    page = await (await client.get("/uploads/?limit=1&cursor=20")).get_json()
    assert page["next_cursor"] == "17"
    assert control.uploads.queries == [UploadsQuery(100), UploadsQuery(1, 20)]


async def test_the_files_of_a_job_are_listed_page_by_page() -> None:
    control = FakeControl()
    client = client_of(control)
    body = await (await client.get(f"/uploads/{A_JOB.id}/files")).get_json()
    assert body == {
        "files": [
            {
                "path": "card/a.mxf",
                "state": "UPLOADED",
                "file_size": 300,
                "last_write_time": "2026-01-01T00:00:00.000Z",
                "key": f"{A_JOB.id}/card/a.mxf",
                "error_message": None,
                "created_at": "2026-01-01T00:00:00.000Z",
                "updated_at": "2026-01-01T00:00:01.000Z",
            }
        ]
    }
    control.uploads.job_files = UploadFilesPage((A_JOB_FILE,), 5)
    page = await (await client.get(f"/uploads/{A_JOB.id}/files?state=FAILED&limit=1&cursor=4")).get_json()
    assert page["next_cursor"] == "5"
    assert control.uploads.queries == [
        UploadFilesQuery(A_JOB.id),
        UploadFilesQuery(A_JOB.id, UploadFileState.FAILED, 1, 4),
    ]
    assert (await client.get(f"/uploads/{A_JOB.id}/files?state=Failed")).status_code == 400


async def test_a_job_is_stopped() -> None:
    control = FakeControl()
    answer = await client_of(control).delete(f"/uploads/{A_JOB.id}")
    assert (answer.status_code, await answer.get_json()) == (
        202,
        {"upload_id": A_JOB.id, "status": "stopped"},
    )
    assert control.uploads.stopped == [A_JOB.id]


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (NotFound("no job"), 404),
        (Conflict("ended"), 409),
        (InvalidRequest("no folder"), 422),
        (Unavailable(), 503),
    ],
)
async def test_a_refusal_of_control_is_a_problem(refusal: Exception, code: int) -> None:
    control = FakeControl()
    control.uploads.refusal = refusal
    client = client_of(control)
    answers = [
        await post(client, ORDER),
        await client.get("/uploads/"),
        await client.get("/uploads/x"),
        await client.get("/uploads/x/files"),
        await client.delete("/uploads/x"),
    ]
    for answer in answers:
        problem = await answer.get_json(force=True)
        assert (answer.status_code, problem["status"]) == (code, code)
        assert answer.content_type == "application/problem+json"
        assert str(refusal) in problem["detail"]


async def test_a_storage_that_does_not_answer_is_to_be_asked_again_later() -> None:
    control = FakeControl()
    control.uploads.refusal = StorageTimeout("destination_bucket: no answer within 10 s")
    answer = await post(client_of(control), ORDER)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert "try again" in (await answer.get_json(force=True))["detail"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "source_folder"),
        (ORDER | {"source_folder": 7}, "source_folder"),
        (ORDER | {"source_folder": "day1"}, "absolute"),
        (ORDER | {"source_folder": "/a\0b"}, "source_folder"),
        (ORDER | {"source_folder": "/" + "a" * 5000}, "source_folder"),
        (ORDER | {"destination_bucket": "s3://archive"}, "bucket alone"),
        (ORDER | {"destination_bucket": "archive/day1"}, "bucket alone"),
        (ORDER | {"destination_bucket": "UPPER"}, "bucket alone"),
        (ORDER | {"pattern": ""}, "pattern"),
        (ORDER | {"pattern": "/day1/*"}, "pattern: a glob"),
        (ORDER | {"pattern": ["*"]}, "pattern"),
        (ORDER | {"pattern": "\ud800"}, "pattern"),
        (ORDER | {"patern": "*"}, "patern: unknown; known are source_folder"),
    ],
)
async def test_what_is_wrong_in_the_body_is_named(body: object, reason: str) -> None:
    control = FakeControl()
    answer = await post(client_of(control), body)
    assert answer.status_code == 422
    assert reason in (await answer.get_json(force=True))["detail"]
    assert control.uploads.created == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"\xff", b"[" * 60_000])
async def test_a_body_that_is_no_object_is_a_bad_request(body: bytes) -> None:
    control = FakeControl()
    answer = await client_of(control).post("/uploads/", data=body)
    assert answer.status_code == 400
    assert control.uploads.created == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
MEMBERS = st.sampled_from(["source_folder", "destination_bucket", "pattern", "other"])


@given(
    st.binary(max_size=40)
    | (st.dictionaries(MEMBERS, JSON) | JSON).map(lambda body: json.dumps(body).encode())
)
def test_no_body_leads_to_anything_but_a_job_or_a_refusal(body: bytes) -> None:
    try:
        order = read_create_upload(body)
    except (BadRequest, UnprocessableEntity):
        return
    assert order.source_folder.startswith("/")


async def test_jobs_are_commands_and_need_the_token_and_our_own_page() -> None:
    control = FakeControl()
    client = client_of(control, Access(loopback=True, token=TOKEN))
    foreign = {"Origin": "http://evil.example", "Authorization": "Bearer " + TOKEN}
    mine = {"Authorization": "Bearer " + TOKEN}
    for headers, code in (({}, 401), (foreign, 403)):
        assert (await post(client, ORDER, headers=headers)).status_code == code
        assert (await client.delete("/uploads/x", headers=headers)).status_code == code
    assert (control.uploads.created, control.uploads.stopped) == ([], [])
    assert (await client.get("/uploads/")).status_code == 200
    assert (await post(client, ORDER, headers=mine)).status_code == 201
    outside = client_of(control, Access(loopback=False, token=TOKEN))
    assert (await outside.get("/uploads/", scope_base=FOREIGN_PEER)).status_code == 401
