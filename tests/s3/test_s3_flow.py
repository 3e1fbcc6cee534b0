"""The whole agent delivers into buckets."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from agent.model.errors import OutageReason
from agent.model.transfer import Status
from tests.flow.running_agents import (
    ClientView,
    CopyHold,
    contents,
    eventually,
    log_lines,
    run_once,
    running,
    write_config,
    write_files,
)
from tests.s3.servers import PART_BYTES, SECRET_KEY, TestBucket

SMALL = b"small"
LARGE = os.urandom(PART_BYTES + PART_BYTES // 2)
LONG = os.urandom(3 * PART_BYTES + 1)


def configure(folder: Path, bucket: TestBucket, more: str = "", **keys: Any) -> None:  # noqa: ANN401  as in TOML
    settings = bucket.server.access()
    section = (
        f"[s3]\nendpoint_url = {json.dumps(settings.endpoint_url)}\nregion = {json.dumps(settings.region)}\n"
        f"path_style = true\npart_size = {settings.part_size_bytes}\n"
    )
    keys = {"probe": "400ms", **keys}  # each is a request
    write_config(folder, section + more, destination=bucket.root, **keys)


def is_out(view: ClientView) -> bool:
    return "mxf" in view.routes and view.routes["mxf"].outage is not None


async def test_files_are_moved_into_a_bucket_and_read_back_there(
    tmp_path: Path, bucket: TestBucket, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    configure(tmp_path, bucket)
    files = {"clip.mxf": LARGE, "day/card a/clip.xml": SMALL, "day/caf\u00e9 1.mxf": LONG}
    write_files(tmp_path / "source", files)
    async with running(tmp_path) as agent:
        await agent.until(lambda view: len(view.files) == len(files) and view.all_have(Status.COMPLETED))
        snapshot = await agent.control.snapshot()
    assert bucket.objects() == files
    assert contents(tmp_path / "source") == {}
    assert bucket.uploads() == []
    delivered = log_lines(caplog, "delivered")
    assert {line["verified"] for line in delivered} == {"read_back"}
    assert {line["to"] for line in delivered} == {f"{bucket.root}/{name}" for name in files}
    assert snapshot.routes[0].destination_free_bytes is None
    assert SECRET_KEY not in caplog.text


async def test_existing_objects_stay_and_the_same_content_counts_as_delivered(
    tmp_path: Path, bucket: TestBucket
) -> None:
    configure(tmp_path, bucket)
    before = {"clip.mxf": SMALL, "other.mxf": LARGE, "same.mxf": LONG}
    for name, content in before.items():
        bucket.put(name, content)
    write_files(tmp_path / "source", {"clip.mxf": LARGE, "other.mxf": SMALL, "same.mxf": LONG})
    async with running(tmp_path) as agent:
        await agent.until(lambda view: len(view.files) == 3 and view.all_have(Status.COMPLETED))
    assert bucket.objects() == before | {"clip_1.mxf": LARGE, "other_1.mxf": SMALL}
    assert contents(tmp_path / "source") == {}
    assert bucket.uploads() == []


async def test_run_once_delivers_and_a_second_one_has_nothing_to_do(
    tmp_path: Path, bucket: TestBucket
) -> None:
    configure(tmp_path, bucket)
    write_files(tmp_path / "source", {"clip.mxf": LARGE})
    assert await run_once(tmp_path) == 0
    assert await run_once(tmp_path) == 0
    assert bucket.objects() == {"clip.mxf": LARGE}


async def test_a_missing_bucket_is_an_outage_until_it_is_created(tmp_path: Path, bucket: TestBucket) -> None:
    configure(tmp_path, bucket)
    bucket.client.delete_bucket(Bucket=bucket.name)
    write_files(tmp_path / "source", {"clip.mxf": LARGE})
    async with running(tmp_path) as agent:
        view = await agent.until(is_out)
        bucket.client.create_bucket(Bucket=bucket.name)
        file = await agent.until_file("clip.mxf", Status.COMPLETED)
    outage = view.routes["mxf"].outage
    assert outage is not None
    assert outage.reason is OutageReason.UNMOUNTED
    assert file.current.attempts == 0
    assert bucket.objects() == {"clip.mxf": LARGE}


async def test_a_marker_that_is_missing_is_an_outage(tmp_path: Path, bucket: TestBucket) -> None:
    configure(tmp_path, bucket, marker="is-here")
    async with running(tmp_path) as agent:
        view = await agent.until(is_out)
        bucket.put("is-here", b"!")
        await agent.until(lambda view: "mxf" in view.routes and not is_out(view))
    outage = view.routes["mxf"].outage
    assert outage is not None
    assert outage.reason is OutageReason.MARKER_MISSING


async def test_a_stopped_copy_resumes_with_the_parts_that_were_uploaded(
    tmp_path: Path, bucket: TestBucket, copy_hold: CopyHold, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    configure(tmp_path, bucket)
    write_files(tmp_path / "source", {"clip.mxf": LONG})
    async with running(tmp_path):
        await copy_hold.until_checkpoint()
    assert len(bucket.uploads()) == 1
    copy_hold.release()
    async with running(tmp_path) as agent:
        await agent.until_file("clip.mxf", Status.COMPLETED)
    assert bucket.objects() == {"clip.mxf": LONG}
    assert bucket.uploads() == []
    [copied] = log_lines(caplog, "copied")
    assert copied["resumed_bytes"] == 2 * PART_BYTES


async def test_a_file_truncated_while_the_agent_was_stopped_is_delivered_truncated(
    tmp_path: Path, bucket: TestBucket, copy_hold: CopyHold
) -> None:
    configure(tmp_path, bucket)
    write_files(tmp_path / "source", {"clip.mxf": LONG})
    async with running(tmp_path):
        await copy_hold.until_checkpoint()
    with (tmp_path / "source/clip.mxf").open("r+b") as file:
        file.truncate(len(LARGE))
    copy_hold.release()
    async with running(tmp_path) as agent:
        await agent.until_file("clip.mxf", Status.COMPLETED)
        await eventually(lambda: bucket.uploads() == [])
    assert bucket.objects() == {"clip.mxf": LONG[: len(LARGE)]}


async def test_a_file_that_vanishes_in_the_middle_leaves_no_upload_behind(
    tmp_path: Path, bucket: TestBucket, copy_hold: CopyHold
) -> None:
    configure(tmp_path, bucket)
    write_files(tmp_path / "source", {"clip.mxf": LONG})
    foreign = bucket.begin("clip.mxf")
    async with running(tmp_path):
        await copy_hold.until_checkpoint()
    (tmp_path / "source/clip.mxf").unlink()
    copy_hold.release()
    async with running(tmp_path):
        await eventually(lambda: len(bucket.uploads()) == 1)
    assert [upload_id for _, upload_id in bucket.uploads()] == [foreign]
    assert bucket.objects() == {}


async def test_an_agent_without_credentials_starts_and_scans(
    tmp_path: Path, rclone_bucket: TestBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(tmp_path, rclone_bucket)
    write_files(tmp_path / "source", {"clip.mxf": SMALL})
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    async with running(tmp_path) as agent:
        await agent.until(ClientView.is_scanned)
        view = await agent.until(is_out)
    outage = view.routes["mxf"].outage
    assert outage is not None
    assert outage.reason is OutageReason.DENIED
    assert "credentials" in outage.detail
