"""Upload jobs of a real agent into a real bucket, asked for over HTTP."""

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve

from tests.flow.running_agents import write_files
from tests.s3 import quick_agent
from tests.s3.servers import PART_BYTES, TestBucket
from tests.system.agents import TIMEOUT_S, Agent

FOLDERS = ("", "day1", "day1/card a", "day2/deep/er", "caf\u00e9")
LONG = os.urandom(6 * PART_BYTES)
MANY_FILES_S = 300.0  # hundreds of them on a busy machine; only a test that fails waits as long


@define(eq=False)
class Uploader(Agent):
    """Its jobs may read below `media`."""

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", quick_agent.__name__, "-c", str(self.home / "agent.toml"), *words]

    def start(self, *options: str) -> None:
        super().start(*options)
        self.wait_until(lambda: self.status("/readyz") == 200)

    @property
    def media(self) -> Path:
        return self.home / "media"

    def set_up(self, bucket: TestBucket) -> None:
        self.media.mkdir()
        self.nas.mkdir()
        self.configure()
        settings = bucket.server.access()
        more = [
            "[uploads]",
            f"roots = {json.dumps([str(self.media)])}",
            "[s3]",
            f"endpoint_url = {json.dumps(settings.endpoint_url)}",
            f"region = {json.dumps(settings.region)}",
            "path_style = true",
            f"part_size = {settings.part_size_bytes}",
        ]
        path = self.home / "agent.toml"
        path.write_text("\n".join([path.read_text(), *more, ""]))

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def upload(self, bucket: TestBucket, **more: str) -> str:
        order = {"source_folder": str(self.media), "destination_bucket": bucket.name, **more}
        code, answer = self.ask("POST", "/uploads/", order)
        assert (code, answer.get("status")) == (201, "created"), answer
        return str(answer["upload_id"])

    def job(self, upload_id: str) -> dict[str, Any]:
        return dict(self.get(f"/uploads/{upload_id}"))

    def job_files(self, upload_id: str) -> dict[str, dict[str, Any]]:
        return {each["path"]: each for each in self.get(f"/uploads/{upload_id}/files")["files"]}

    def file_state(self, upload_id: str, path: str) -> str | None:
        file = self.job_files(upload_id).get(path)
        return None if file is None else str(file["state"])

    def wait_for_files(self, upload_id: str, count: int) -> None:
        self.wait_until(lambda: self.job(upload_id)["completed_files"] >= count, MANY_FILES_S)

    def wait_for_state(self, upload_id: str, state: str) -> dict[str, Any]:
        self.wait_until(lambda: self.job(upload_id)["state"] == state, MANY_FILES_S)
        return self.job(upload_id)


@pytest.fixture
def whole(rclone_bucket: TestBucket) -> TestBucket:
    """All of the bucket."""
    return evolve(rclone_bucket, prefix="")


@pytest.fixture
def uploader(tmp_path: Path, whole: TestBucket) -> Iterator[Uploader]:
    agent = Uploader(tmp_path)
    agent.set_up(whole)
    try:
        yield agent
    finally:
        agent.clean_up()


def open_uploads(bucket: TestBucket) -> list[tuple[str, str]]:
    try:
        return bucket.uploads()
    except bucket.client.exceptions.NoSuchUpload:  # what this server says where there never was one
        return []


def objects(bucket: TestBucket) -> dict[str, bytes]:
    return {name.removeprefix("/"): content for name, content in bucket.objects().items()}


def media_of(number: int) -> dict[str, bytes]:
    return {
        f"{FOLDERS[each % len(FOLDERS)]}/clip{each:03}.mxf".lstrip("/"): f"content {each}".encode() * 50
        for each in range(number)
    }


def test_100_files_in_nested_folders_are_sent_and_one_that_changes_is_sent_again(
    uploader: Uploader, whole: TestBucket
) -> None:
    files = media_of(100)
    write_files(uploader.media, files | {"notes.txt": b"not asked for", "day1/.DS_Store": b"never"})
    uploader.start()
    job = uploader.upload(whole, pattern="*.mxf")
    changing = "day1/card a/clip002.mxf"
    uploader.wait_until(lambda: uploader.file_state(job, changing) == "UPLOADED", MANY_FILES_S)
    (uploader.media / changing).write_bytes(b"changed meanwhile")
    ended = uploader.wait_for_state(job, "COMPLETED")
    listed = uploader.get("/uploads/")["uploads"]
    assert uploader.stop() == 0
    assert objects(whole) == {f"{job}/{path}": content for path, content in files.items()} | {
        f"{job}/day1/card a/clip002_1.mxf": b"changed meanwhile"
    }
    assert (ended["progress"], ended["total_files"], ended["completed_files"]) == (1.0, 100, 100)
    assert [each["upload_id"] for each in listed] == [job]
    assert open_uploads(whole) == []
    assert {path.relative_to(uploader.media).as_posix() for path in uploader.media.rglob("*.mxf")} == set(
        files
    )


def test_a_job_whose_agent_is_killed_goes_on_and_sends_nothing_twice(
    uploader: Uploader, whole: TestBucket
) -> None:
    files = media_of(60) | {"long.mxf": LONG}
    write_files(uploader.media, files)
    uploader.start()
    job = uploader.upload(whole)
    for share in (0.2, 0.6):
        uploader.wait_for_files(job, int(share * len(files)))
        uploader.kill()
        uploader.start()
    ended = uploader.wait_for_state(job, "COMPLETED")
    states = {each["state"] for each in uploader.job_files(job).values()}
    assert uploader.stop() == 0
    # A second delivery of the same content would stand there as name_1.
    assert objects(whole) == {f"{job}/{path}": content for path, content in files.items()}
    assert (ended["completed_files"], ended["progress"], states) == (len(files), 1.0, {"UPLOADED"})
    assert open_uploads(whole) == []


def test_a_stopped_job_leaves_no_multipart_upload(uploader: Uploader, whole: TestBucket) -> None:
    write_files(uploader.media, {"long.mxf": LONG * 4, "short.mxf": b"short"})
    uploader.start()
    job = uploader.upload(whole)
    uploader.wait_until(lambda: bool(open_uploads(whole)))
    code, answer = uploader.ask("DELETE", f"/uploads/{job}")
    assert (code, answer) == (202, {"upload_id": job, "status": "stopped"})
    uploader.wait_until(lambda: bool(uploader.events("upload job closed")))
    assert open_uploads(whole) == []
    ended = uploader.job(job)
    assert (ended["state"], ended["error_message"]) == ("FAILED", "stopped by request")
    assert uploader.ask("DELETE", f"/uploads/{job}")[0] == 409
    assert f"{job}/long.mxf" not in objects(whole)
    assert uploader.status("/readyz") == 200
    assert uploader.stop() == 0


def test_what_cannot_be_done_is_refused_with_the_reason(uploader: Uploader, whole: TestBucket) -> None:
    uploader.start()
    bucket, folder = whole.name, str(uploader.media)
    for body, code, reason in (
        ({"source_folder": folder, "destination_bucket": "no-such-bucket"}, 422, "no-such-bucket"),
        ({"source_folder": f"{folder}/missing", "destination_bucket": bucket}, 422, "existing folder"),
        ({"source_folder": "/etc", "destination_bucket": bucket}, 422, "roots"),
        ({"source_folder": "media", "destination_bucket": bucket}, 422, "absolute path"),
        ({"source_folder": folder}, 422, "destination_bucket"),
        ({"source_folder": folder, "destination_bucket": bucket, "pattern": ""}, 422, "pattern"),
        ({"source_folder": folder, "destination_bucket": bucket, "glob": "*"}, 422, "glob: unknown"),
        (["not", "an", "object"], 400, "JSON object"),
    ):
        status, problem = uploader.ask("POST", "/uploads/", body)
        assert status == code, problem
        assert reason in problem["detail"]
    assert uploader.ask("GET", "/uploads/nobody")[0] == 404
    assert uploader.ask("GET", "/uploads/nobody/files")[0] == 404
    assert uploader.get("/uploads/") == {"uploads": []}
    assert uploader.stop() == 0
