"""A file is copied while it is still being written, and what stands at its end is what arrives."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from agent.model.transfer import BLOCK_BYTES, Status
from agent.worker.copy.tail import HEADROOM_BYTES
from tests.flow.running_agents import (
    PATIENCE_S,
    Picture,
    contents,
    eventually,
    fill,
    lines,
    running,
    write_config,
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
        with trio.fail_after(PATIENCE_S):
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
    caplog.set_level(logging.INFO)
    write_config(tmp_path, **GROWING)
    async with running(tmp_path) as house:
        await house.until(Picture.is_scanned)
        recorder = Recorder(tmp_path / "source/live.ts")
        await recorder.write_until(is_followed(tmp_path))
        recorder.write(20)
        settled = len(recorder.content) - HEADROOM_BYTES
        await eventually(is_followed(tmp_path, settled - 1))
        picture = await house.until(lambda seen: seen.status("live.ts") is Status.GROWING)
        assert "copied while it grows" in str(picture.find("live.ts"))
        recorder.rewrite(4, b"the head that is written at close")
        recorder.write(2)
        recorder.close()
        file = await house.until_file("live.ts", Status.COMPLETED)
    assert contents(tmp_path / "nas") == {"live.ts": bytes(recorder.content)}
    assert contents(tmp_path / "source") == {}
    assert file.size_bytes == len(recorder.content)
    [copied] = lines(caplog, "copied")
    assert copied["patched_blocks"] == 1
    assert int(str(copied["resumed_bytes"])) > 0


async def test_a_recorder_that_pauses_is_not_mistaken_for_one_that_has_ended(tmp_path: Path) -> None:
    write_config(tmp_path, **GROWING | {"stable": "100ms"})
    async with running(tmp_path) as house:
        recorder = Recorder(tmp_path / "source/live.ts")
        await recorder.write_until(is_followed(tmp_path))
        picture = await house.until(lambda seen: "holds it open" in str(seen.find("live.ts")))
        assert picture.status("live.ts") is Status.GROWING
        recorder.write(8)
        recorder.close()
        await house.until_file("live.ts", Status.COMPLETED)
    assert contents(tmp_path / "nas") == {"live.ts": bytes(recorder.content)}


async def test_a_restart_in_the_middle_of_a_recording_goes_on_behind_what_was_followed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    write_config(tmp_path, **GROWING)
    recorder = Recorder(tmp_path / "source/live.ts")
    async with running(tmp_path):
        await recorder.write_until(is_followed(tmp_path))
    followed = followed_bytes(tmp_path)
    async with running(tmp_path) as house:
        await recorder.write_until(is_followed(tmp_path, followed))
        recorder.rewrite(0, b"head")
        recorder.close()
        await house.until_file("live.ts", Status.COMPLETED)
    assert contents(tmp_path / "nas") == {"live.ts": bytes(recorder.content)}
    [copied] = lines(caplog, "copied")
    assert int(str(copied["resumed_bytes"])) > 0


async def test_an_outage_in_the_middle_of_a_recording_is_survived(tmp_path: Path) -> None:
    write_config(tmp_path, max_attempts=1, **GROWING)
    async with running(tmp_path) as house:
        recorder = Recorder(tmp_path / "source/live.ts")
        await recorder.write_until(is_followed(tmp_path))
        followed = followed_bytes(tmp_path)
        (tmp_path / "nas").rename(tmp_path / "away")
        await house.until(lambda seen: seen.routes["mxf"].outage is not None)
        recorder.write(5)
        (tmp_path / "away").rename(tmp_path / "nas")
        await recorder.write_until(is_followed(tmp_path, followed))
        recorder.close()
        file = await house.until_file("live.ts", Status.COMPLETED)
    assert file.current.attempts == 0
    assert contents(tmp_path / "nas") == {"live.ts": bytes(recorder.content)}


async def test_a_recording_that_is_given_up_leaves_nothing_behind(tmp_path: Path) -> None:
    write_config(tmp_path, **GROWING)
    async with running(tmp_path) as house:
        recorder = Recorder(tmp_path / "source/live.ts")
        await recorder.write_until(is_followed(tmp_path))
        (tmp_path / "source/live.ts").unlink()
        recorder.close()
        await house.until(lambda seen: not seen.files)
        await eventually(lambda: contents(tmp_path / "nas") == {})


async def test_a_recording_that_is_replaced_by_another_arrives_as_the_other(tmp_path: Path) -> None:
    write_config(tmp_path, **GROWING)
    async with running(tmp_path) as house:
        recorder = Recorder(tmp_path / "source/live.ts")
        await recorder.write_until(is_followed(tmp_path))
        recorder.close()
        fill(tmp_path, {"other": b"another take"})
        (tmp_path / "other").rename(tmp_path / "source/live.ts")
        await house.until_file("live.ts", Status.COMPLETED)
        await eventually(lambda: contents(tmp_path / "nas") == {"live.ts": b"another take"})


async def test_finished_files_pass_a_recording_that_goes_on(tmp_path: Path) -> None:
    write_config(tmp_path, workers=1, **GROWING)
    async with running(tmp_path) as house:
        recorder = Recorder(tmp_path / "source/live.ts")
        await recorder.write_until(is_followed(tmp_path))
        fill(tmp_path / "source", {"clip.mxf": b"finished"})
        await house.until_file("clip.mxf", Status.COMPLETED)
        assert (await house.control.snapshot()).routes[0].counts["Growing"] == 1
        recorder.close()
        await house.until_file("live.ts", Status.COMPLETED)
    assert contents(tmp_path / "nas") == {"clip.mxf": b"finished", "live.ts": bytes(recorder.content)}
