"""The whole house delivers into buckets."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from agent.model.errors import OutageReason
from agent.model.transfer import Status
from tests.flow.running_agents import (
    Brake,
    Picture,
    contents,
    eventually,
    fill,
    lines,
    run_once,
    running,
    write_config,
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


def is_out(picture: Picture) -> bool:
    return "mxf" in picture.routes and picture.routes["mxf"].outage is not None


async def test_files_are_moved_into_a_bucket_and_read_back_there(
    tmp_path: Path, bucket: TestBucket, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    configure(tmp_path, bucket)
    files = {"clip.mxf": LARGE, "day/card a/clip.xml": SMALL, "day/caf\u00e9 1.mxf": LONG}
    fill(tmp_path / "source", files)
    async with running(tmp_path) as house:
        await house.until(lambda seen: len(seen.files) == len(files) and seen.are(Status.COMPLETED))
        snapshot = await house.control.snapshot()
    assert bucket.objects() == files
    assert contents(tmp_path / "source") == {}
    assert bucket.uploads() == []
    delivered = lines(caplog, "delivered")
    assert {line["verified"] for line in delivered} == {"read_back"}
    assert {line["to"] for line in delivered} == {f"{bucket.root}/{name}" for name in files}
    assert snapshot.routes[0].destination_free_bytes is None
    assert SECRET_KEY not in caplog.text


async def test_what_has_the_name_stays_and_what_is_the_same_counts(
    tmp_path: Path, bucket: TestBucket
) -> None:
    configure(tmp_path, bucket)
    before = {"clip.mxf": SMALL, "other.mxf": LARGE, "same.mxf": LONG}
    for name, content in before.items():
        bucket.put(name, content)
    fill(tmp_path / "source", {"clip.mxf": LARGE, "other.mxf": SMALL, "same.mxf": LONG})
    async with running(tmp_path) as house:
        await house.until(lambda seen: len(seen.files) == 3 and seen.are(Status.COMPLETED))
    assert bucket.objects() == before | {"clip_1.mxf": LARGE, "other_1.mxf": SMALL}
    assert contents(tmp_path / "source") == {}
    assert bucket.uploads() == []


async def test_run_once_delivers_and_a_second_one_has_nothing_to_do(
    tmp_path: Path, bucket: TestBucket
) -> None:
    configure(tmp_path, bucket)
    fill(tmp_path / "source", {"clip.mxf": LARGE})
    assert await run_once(tmp_path) == 0
    assert await run_once(tmp_path) == 0
    assert bucket.objects() == {"clip.mxf": LARGE}


async def test_a_bucket_that_is_missing_is_an_outage_until_somebody_makes_it(
    tmp_path: Path, bucket: TestBucket
) -> None:
    configure(tmp_path, bucket)
    bucket.client.delete_bucket(Bucket=bucket.name)
    fill(tmp_path / "source", {"clip.mxf": LARGE})
    async with running(tmp_path) as house:
        picture = await house.until(is_out)
        bucket.client.create_bucket(Bucket=bucket.name)
        file = await house.until_file("clip.mxf", Status.COMPLETED)
    outage = picture.routes["mxf"].outage
    assert outage is not None
    assert outage.reason is OutageReason.UNMOUNTED
    assert file.current.attempts == 0
    assert bucket.objects() == {"clip.mxf": LARGE}


async def test_a_marker_that_is_missing_is_an_outage(tmp_path: Path, bucket: TestBucket) -> None:
    configure(tmp_path, bucket, marker="is-here")
    async with running(tmp_path) as house:
        picture = await house.until(is_out)
        bucket.put("is-here", b"!")
        await house.until(lambda seen: "mxf" in seen.routes and not is_out(seen))
    outage = picture.routes["mxf"].outage
    assert outage is not None
    assert outage.reason is OutageReason.MARKER_MISSING


async def test_a_copy_that_is_stopped_in_the_middle_goes_on_with_what_had_arrived(
    tmp_path: Path, bucket: TestBucket, brake: Brake, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    configure(tmp_path, bucket)
    fill(tmp_path / "source", {"clip.mxf": LONG})
    async with running(tmp_path):
        await brake.until_checkpoint()
    assert len(bucket.uploads()) == 1
    brake.release()
    async with running(tmp_path) as house:
        await house.until_file("clip.mxf", Status.COMPLETED)
    assert bucket.objects() == {"clip.mxf": LONG}
    assert bucket.uploads() == []
    [copied] = lines(caplog, "copied")
    assert copied["resumed_bytes"] == 2 * PART_BYTES


async def test_a_file_that_is_shorter_after_a_stop_arrives_as_short_as_it_is(
    tmp_path: Path, bucket: TestBucket, brake: Brake
) -> None:
    configure(tmp_path, bucket)
    fill(tmp_path / "source", {"clip.mxf": LONG})
    async with running(tmp_path):
        await brake.until_checkpoint()
    with (tmp_path / "source/clip.mxf").open("r+b") as file:
        file.truncate(len(LARGE))
    brake.release()
    async with running(tmp_path) as house:
        await house.until_file("clip.mxf", Status.COMPLETED)
        await eventually(lambda: bucket.uploads() == [])
    assert bucket.objects() == {"clip.mxf": LONG[: len(LARGE)]}


async def test_a_file_that_vanishes_in_the_middle_leaves_no_upload_behind(
    tmp_path: Path, bucket: TestBucket, brake: Brake
) -> None:
    configure(tmp_path, bucket)
    fill(tmp_path / "source", {"clip.mxf": LONG})
    foreign = bucket.begin("clip.mxf")
    async with running(tmp_path):
        await brake.until_checkpoint()
    (tmp_path / "source/clip.mxf").unlink()
    brake.release()
    async with running(tmp_path):
        await eventually(lambda: len(bucket.uploads()) == 1)
    assert [upload_id for _, upload_id in bucket.uploads()] == [foreign]
    assert bucket.objects() == {}


async def test_the_house_starts_and_is_scanned_without_any_credentials(
    tmp_path: Path, rclone_bucket: TestBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(tmp_path, rclone_bucket)
    fill(tmp_path / "source", {"clip.mxf": SMALL})
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    async with running(tmp_path) as house:
        await house.until(Picture.is_scanned)
        picture = await house.until(is_out)
    outage = picture.routes["mxf"].outage
    assert outage is not None
    assert outage.reason is OutageReason.DENIED
    assert "credentials" in outage.detail
