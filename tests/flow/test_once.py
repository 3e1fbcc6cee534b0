"""`run --once` delivers what is there, and its exit code says how it went."""

import signal
from pathlib import Path

import pytest
import trio

from agent.runtime.supervisor import CannotStart
from tests.flow.running_agents import LONG, CopyHold, contents, run_once, running, write_config, write_files

STILL = {"stable": "300ms", "scan": "300ms"}  # long enough for a busy machine to look twice


async def test_0_when_everything_was_delivered(tmp_path: Path) -> None:
    write_config(tmp_path, **STILL)
    write_files(tmp_path / "source", {"a.mxf": b"one", "b/c.mxf": b"two"})
    assert await run_once(tmp_path) == 0
    assert contents(tmp_path / "nas") == {"a.mxf": b"one", "b/c.mxf": b"two"}


async def test_0_when_there_is_nothing_to_deliver(tmp_path: Path) -> None:
    write_config(tmp_path, **STILL)
    write_files(tmp_path / "source", {"empty.mxf": b""})
    assert await run_once(tmp_path) == 0


async def test_1_when_a_file_failed_and_the_rest_was_delivered(tmp_path: Path) -> None:
    write_config(tmp_path, conflict="fail", **STILL)
    write_files(tmp_path / "nas", {"a.mxf": b"other"})
    write_files(tmp_path / "source", {"a.mxf": b"ours!", "b.mxf": b"two"})
    assert await run_once(tmp_path) == 1
    assert contents(tmp_path / "nas") == {"a.mxf": b"other", "b.mxf": b"two"}


async def test_3_when_a_file_waits_for_its_destination(tmp_path: Path) -> None:
    write_config(tmp_path, **STILL)
    write_files(tmp_path / "source", {"a.mxf": b"one"})
    (tmp_path / "nas").rmdir()
    assert await run_once(tmp_path) == 3
    assert not (tmp_path / "nas").exists()


async def test_3_when_a_signal_interrupted_a_copy(tmp_path: Path, copy_hold: CopyHold) -> None:
    write_config(tmp_path, **STILL)
    write_files(tmp_path / "source", {"a.mxf": LONG})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(interrupt_at_checkpoint, copy_hold)
        assert await run_once(tmp_path) == 3
    copy_hold.release()
    assert await run_once(tmp_path) == 0
    assert contents(tmp_path / "nas") == {"a.mxf": LONG}


async def interrupt_at_checkpoint(copy_hold: CopyHold) -> None:
    await copy_hold.until_checkpoint()
    signal.raise_signal(signal.SIGTERM)


async def test_a_taken_port_is_one_clear_error_before_anything_moves(tmp_path: Path) -> None:
    write_config(tmp_path)
    write_files(tmp_path / "source", {"a.mxf": b"one"})
    listener = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener[0]:
        port = listener[0].socket.getsockname()[1]
        path = tmp_path / "agent.toml"
        path.write_text(path.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        with pytest.raises(CannotStart, match=f"cannot listen on 127.0.0.1:{port}"):
            await run_once(tmp_path)
    assert contents(tmp_path / "nas") == {}


async def test_a_second_agent_on_the_same_state_folder_does_not_start(tmp_path: Path) -> None:
    write_config(tmp_path)
    async with running(tmp_path):
        with pytest.raises(CannotStart, match="in use by another agent"):
            await run_once(tmp_path)


async def test_something_in_the_address_files_place_is_one_clear_error(tmp_path: Path) -> None:
    write_config(tmp_path)
    (tmp_path / "state/address").mkdir(parents=True)
    with pytest.raises(CannotStart, match="state/address' is no regular file"):
        await run_once(tmp_path)
