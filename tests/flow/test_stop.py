"""The house ends in order, and what it was in the middle of goes on after the next start."""

import logging
import os
import signal
from pathlib import Path

import pytest
import trio

from agent.model.transfer import Status
from agent.runtime.runtime import Runtime
from tests.flow.running_agents import (
    LONG,
    PATIENCE_S,
    WINDOW_BYTES,
    Brake,
    Picture,
    contents,
    eventually,
    fill,
    lines,
    running,
    write_config,
)


async def test_a_copy_that_a_stop_interrupted_goes_on_from_its_checkpoint(
    tmp_path: Path, brake: Brake, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    write_config(tmp_path)
    fill(tmp_path / "source", {"clip.mxf": LONG})
    async with running(tmp_path) as house:
        await brake.until_checkpoint()
        assert await house.stop() == 0
    assert contents(tmp_path / "source") == {"clip.mxf": LONG}
    assert not lines(caplog, "copied")
    brake.release()
    async with running(tmp_path) as house:
        await house.until_file("clip.mxf", Status.COMPLETED)
    [copied] = lines(caplog, "copied")
    assert (copied["resumed_bytes"], copied["read_bytes"]) == (WINDOW_BYTES, 1)
    assert contents(tmp_path / "nas") == {"clip.mxf": LONG}
    assert contents(tmp_path / "source") == {}


async def test_what_was_half_done_and_has_lost_its_source_is_swept_away_at_the_next_start(
    tmp_path: Path, brake: Brake
) -> None:
    write_config(tmp_path)
    fill(tmp_path / "source", {"clip.mxf": LONG})
    async with running(tmp_path):
        await brake.until_checkpoint()
    [partial] = contents(tmp_path / "nas")
    assert partial.startswith(".clip.mxf.")
    assert partial.endswith(".partial")
    (tmp_path / "source/clip.mxf").unlink()
    async with running(tmp_path) as house:
        await house.until(Picture.is_scanned)
        await eventually(lambda: contents(tmp_path / "nas") == {})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_house_with_0_and_the_feeds_of_its_visitors(
    tmp_path: Path, number: signal.Signals
) -> None:
    write_config(tmp_path)
    async with running(tmp_path) as house:
        await house.until(Picture.is_scanned)
        async with house.control.feed() as feed:
            signal.raise_signal(number)
            with trio.fail_after(PATIENCE_S):
                async for _ in feed:
                    pass
        assert await house.end() == 0


async def test_a_second_interrupt_ends_the_process_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[int] = []
    stop = Runtime.stop

    def interrupted_again(runtime: Runtime) -> None:
        stop(runtime)
        if not ends:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(os, "_exit", ends.append)
    monkeypatch.setattr(Runtime, "stop", interrupted_again)
    write_config(tmp_path)
    async with running(tmp_path) as house:
        await house.until(Picture.is_scanned)
        signal.raise_signal(signal.SIGINT)
        await house.end()
    assert ends == [130]


async def test_a_hang_up_that_comes_too_late_is_no_matter(tmp_path: Path) -> None:
    write_config(tmp_path)
    async with running(tmp_path) as house:
        await house.until(Picture.is_scanned)
        house.runtime.stop()
        signal.raise_signal(signal.SIGHUP)
        assert await house.end() == 0


@pytest.mark.usefixtures("brake")
async def test_the_state_is_dumped_into_the_log_on_demand(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    write_config(tmp_path)
    fill(tmp_path / "source", {"clip.mxf": LONG})
    async with running(tmp_path) as house:
        await house.until_file("clip.mxf", Status.COPYING)
        signal.raise_signal(signal.SIGUSR1)
        await eventually(lambda: bool(lines(caplog, "state")))
    of_the_route, of_the_file = lines(caplog, "state")
    assert (of_the_route["route"], of_the_route["counts"]) == ("mxf", {"Copying": 1})
    assert (of_the_file["file"], of_the_file["status"]) == ("clip.mxf", "Copying")
