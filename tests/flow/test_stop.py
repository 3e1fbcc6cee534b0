"""The agent ends in order, and what it was in the middle of goes on after the next start."""

import os
import signal
from pathlib import Path

import pytest
import trio

from agent.model.transfer import Status
from agent.runtime.runtime import Runtime
from tests.flow.running_agents import (
    LONG,
    TIMEOUT_S,
    WINDOW_BYTES,
    ClientView,
    CopyHold,
    contents,
    eventually,
    log_lines,
    running,
    running_with_clip,
    write_config,
)


async def test_a_copy_that_a_stop_interrupted_goes_on_from_its_checkpoint(
    tmp_path: Path, copy_hold: CopyHold, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_with_clip(tmp_path, LONG) as agent:
        await copy_hold.until_checkpoint()
        assert await agent.stop() == 0
    assert contents(tmp_path / "source") == {"clip.mxf": LONG}
    assert not log_lines(caplog, "copied")
    copy_hold.release()
    async with running(tmp_path) as agent:
        await agent.until_file("clip.mxf", Status.COMPLETED)
    [copied] = log_lines(caplog, "copied")
    assert (copied["resumed_bytes"], copied["read_bytes"]) == (WINDOW_BYTES, 1)
    assert contents(tmp_path / "nas") == {"clip.mxf": LONG}
    assert contents(tmp_path / "source") == {}


async def test_the_partial_of_a_vanished_source_is_removed_at_the_next_start(
    tmp_path: Path, copy_hold: CopyHold
) -> None:
    async with running_with_clip(tmp_path, LONG):
        await copy_hold.until_checkpoint()
    [partial] = contents(tmp_path / "nas")
    assert partial.startswith(".clip.mxf.")
    assert partial.endswith(".partial")
    (tmp_path / "source/clip.mxf").unlink()
    async with running(tmp_path) as agent:
        await agent.until(ClientView.is_scanned)
        await eventually(lambda: contents(tmp_path / "nas") == {})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_agent_with_0_and_closes_the_feeds_of_its_clients(
    tmp_path: Path, number: signal.Signals
) -> None:
    write_config(tmp_path)
    async with running(tmp_path) as agent:
        await agent.until(ClientView.is_scanned)
        async with agent.control.feed() as feed:
            signal.raise_signal(number)
            with trio.fail_after(TIMEOUT_S):
                async for _ in feed:
                    pass
        assert await agent.end() == 0


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
    async with running(tmp_path) as agent:
        await agent.until(ClientView.is_scanned)
        signal.raise_signal(signal.SIGINT)
        await agent.end()
    assert ends == [130]


async def test_a_hang_up_signal_during_the_stop_is_ignored(tmp_path: Path) -> None:
    write_config(tmp_path)
    async with running(tmp_path) as agent:
        await agent.until(ClientView.is_scanned)
        agent.runtime.stop()
        signal.raise_signal(signal.SIGHUP)
        assert await agent.end() == 0


@pytest.mark.usefixtures("copy_hold")
async def test_the_state_is_dumped_into_the_log_on_demand(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_with_clip(tmp_path, LONG) as agent:
        await agent.until_file("clip.mxf", Status.COPYING)
        signal.raise_signal(signal.SIGUSR1)
        await eventually(lambda: bool(log_lines(caplog, "state")))
    of_the_route, of_the_file = log_lines(caplog, "state")
    assert (of_the_route["route"], of_the_route["counts"]) == ("mxf", {"Copying": 1})
    assert (of_the_file["file"], of_the_file["status"]) == ("clip.mxf", "Copying")


async def test_the_address_is_removed_at_the_stop(tmp_path: Path) -> None:
    """Another program may listen there next, and must not be taken for the agent."""
    write_config(tmp_path)
    address = tmp_path / "state" / "address"
    async with running(tmp_path) as agent:
        await eventually(address.exists)
        assert await agent.stop() == 0
    assert not address.exists()
