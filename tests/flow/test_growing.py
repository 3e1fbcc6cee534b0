"""A file is copied while it is still being written, and what stands at its end is what arrives."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from agent.model.transfer import Status
from agent.model.verification import BLOCK_BYTES
from agent.worker.copy.tail import HEADROOM_BYTES
from tests.flow.running_agents import (
    TIMEOUT_S,
    ClientView,
    contents,
    eventually,
    log_lines,
    running,
    write_config,
    write_files,
)

PIECE_BYTES = 2 * BLOCK_BYTES
EVERY_S = 0.05
GROWING: dict[str, Any] = {
    "growing": True,
    "growing_min_size": 1,
    "stable": "400ms",
    "scan": "40ms",
    "stall_timeout": "20s",
}


class Recorder:
    """Writes pieces that differ from each other, and holds the file open until it is closed."""

    def __init__(self, path: Path) -> None:
        self.content = bytearray()
        self._file = path.open("wb", buffering=0)

    def write(self, pieces: int = 1) -> None:
        for _ in range(pieces):
            piece = os.urandom(PIECE_BYTES)
            self._file.write(piece)
            self.content += piece

    async def write_until(self, is_so: Callable[[], bool]) -> None:
        """At a steady rate."""
        with trio.fail_after(TIMEOUT_S):
            while not is_so():
                self.write()
                await trio.sleep(EVERY_S)

    def rewrite(self, offset: int, data: bytes) -> None:
        os.pwrite(self._file.fileno(), data, offset)
        self.content[offset : offset + len(data)] = data

    def close(self) -> None:
        self._file.close()


def is_followed(folder: Path, beyond_bytes: int = 0) -> Callable[[], bool]:
    """Whether more than this of a growing file stands at the destination."""
    return lambda: followed_bytes(folder) > beyond_bytes


def followed_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / "nas").rglob(".live*.partial"))


async def test_a_recording_is_copied_while_it_grows_and_its_rewritten_head_at_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_config(tmp_path, **GROWING)
    async with running(tmp_path) as agent:
        await agent.until(ClientView.is_scanned)
        recorder = Recorder(tmp_path / "source/live.ts")
        await recorder.write_until(is_followed(tmp_path))
        recorder.write(20)
        settled = len(recorder.content) - HEADROOM_BYTES
        await eventually(is_followed(tmp_path, settled - 1))
        view = await agent.until(lambda view: view.status("live.ts") is Status.GROWING)
        assert "copied while it grows" in str(view.find("live.ts"))
        recorder.rewrite(4, b"the head that is written at close")
        recorder.write(2)
        recorder.close()
        file = await agent.until_file("live.ts", Status.COMPLETED)
    assert contents(tmp_path / "nas") == {"live.ts": bytes(recorder.content)}
    assert contents(tmp_path / "source") == {}
    assert file.size_bytes == len(recorder.content)
    [copied] = log_lines(caplog, "copied")
    assert copied["patched_blocks"] == 1
    assert int(str(copied["resumed_bytes"])) > 0


async def test_a_recorder_that_pauses_is_not_mistaken_for_one_that_has_ended(tmp_path: Path) -> None:
    write_config(tmp_path, **GROWING | {"stable": "100ms"})
    async with running(tmp_path) as agent:
        recorder = Recorder(tmp_path / "source/live.ts")
        await recorder.write_until(is_followed(tmp_path))
        view = await agent.until(lambda view: "holds it open" in str(view.find("live.ts")))
        assert view.status("live.ts") is Status.GROWING
        recorder.write(8)
        recorder.close()
        await agent.until_file("live.ts", Status.COMPLETED)
    assert contents(tmp_path / "nas") == {"live.ts": bytes(recorder.content)}


async def test_a_restart_in_the_middle_of_a_recording_resumes_its_copy(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_config(tmp_path, **GROWING)
    recorder = Recorder(tmp_path / "source/live.ts")
    async with running(tmp_path):
        await recorder.write_until(is_followed(tmp_path))
    followed = followed_bytes(tmp_path)
    async with running(tmp_path) as agent:
        await recorder.write_until(is_followed(tmp_path, followed))
        recorder.rewrite(0, b"head")
        recorder.close()
        await agent.until_file("live.ts", Status.COMPLETED)
    assert contents(tmp_path / "nas") == {"live.ts": bytes(recorder.content)}
    [copied] = log_lines(caplog, "copied")
    assert int(str(copied["resumed_bytes"])) > 0


async def test_an_outage_in_the_middle_of_a_recording_is_survived(tmp_path: Path) -> None:
    write_config(tmp_path, max_attempts=1, **GROWING)
    async with running(tmp_path) as agent:
        recorder = Recorder(tmp_path / "source/live.ts")
        await recorder.write_until(is_followed(tmp_path))
        followed = followed_bytes(tmp_path)
        (tmp_path / "nas").rename(tmp_path / "away")
        await agent.until(lambda view: view.routes["mxf"].outage is not None)
        recorder.write(5)
        (tmp_path / "away").rename(tmp_path / "nas")
        await recorder.write_until(is_followed(tmp_path, followed))
        recorder.close()
        file = await agent.until_file("live.ts", Status.COMPLETED)
    assert file.current.attempts == 0
    assert contents(tmp_path / "nas") == {"live.ts": bytes(recorder.content)}


async def test_a_recording_that_is_deleted_leaves_no_partial(tmp_path: Path) -> None:
    write_config(tmp_path, **GROWING)
    async with running(tmp_path) as agent:
        recorder = Recorder(tmp_path / "source/live.ts")
        await recorder.write_until(is_followed(tmp_path))
        (tmp_path / "source/live.ts").unlink()
        recorder.close()
        await agent.until(lambda view: not view.files)
        await eventually(lambda: contents(tmp_path / "nas") == {})


async def test_a_recording_that_is_replaced_by_another_arrives_as_the_other(tmp_path: Path) -> None:
    write_config(tmp_path, **GROWING)
    async with running(tmp_path) as agent:
        recorder = Recorder(tmp_path / "source/live.ts")
        await recorder.write_until(is_followed(tmp_path))
        recorder.close()
        write_files(tmp_path, {"other": b"another take"})
        (tmp_path / "other").rename(tmp_path / "source/live.ts")
        await agent.until_file("live.ts", Status.COMPLETED)
        await eventually(lambda: contents(tmp_path / "nas") == {"live.ts": b"another take"})


async def test_finished_files_pass_a_recording_that_goes_on(tmp_path: Path) -> None:
    write_config(tmp_path, workers=1, **GROWING)
    async with running(tmp_path) as agent:
        recorder = Recorder(tmp_path / "source/live.ts")
        await recorder.write_until(is_followed(tmp_path))
        write_files(tmp_path / "source", {"clip.mxf": b"finished"})
        await agent.until_file("clip.mxf", Status.COMPLETED)
        assert (await agent.control.snapshot()).routes[0].counts["Growing"] == 1
        recorder.close()
        await agent.until_file("live.ts", Status.COMPLETED)
    assert contents(tmp_path / "nas") == {"clip.mxf": b"finished", "live.ts": bytes(recorder.content)}
