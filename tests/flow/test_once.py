"""`run --once` delivers what is there, and its exit code says how it went."""

import signal
from pathlib import Path

import pytest
import trio

from agent.journal.state_folder import StateLocked
from agent.runtime.supervisor import CannotStart
from tests.flow.running_agents import LONG, Brake, contents, fill, run_once, running, write_config

STILL = {"stable": "300ms", "scan": "300ms"}  # long enough for a busy machine to look twice


async def test_0_when_everything_has_arrived(tmp_path: Path) -> None:
    write_config(tmp_path, **STILL)
    fill(tmp_path / "source", {"a.mxf": b"one", "b/c.mxf": b"two"})
    assert await run_once(tmp_path) == 0
    assert contents(tmp_path / "nas") == {"a.mxf": b"one", "b/c.mxf": b"two"}


async def test_0_when_there_is_nothing_to_deliver(tmp_path: Path) -> None:
    write_config(tmp_path, **STILL)
    fill(tmp_path / "source", {"empty.mxf": b""})
    assert await run_once(tmp_path) == 0


async def test_1_when_a_file_was_given_up_and_the_rest_has_arrived(tmp_path: Path) -> None:
    write_config(tmp_path, conflict="fail", **STILL)
    fill(tmp_path / "nas", {"a.mxf": b"other"})
    fill(tmp_path / "source", {"a.mxf": b"ours!", "b.mxf": b"two"})
    assert await run_once(tmp_path) == 1
    assert contents(tmp_path / "nas") == {"a.mxf": b"other", "b.mxf": b"two"}


async def test_3_when_a_file_waits_for_its_destination(tmp_path: Path) -> None:
    write_config(tmp_path, **STILL)
    fill(tmp_path / "source", {"a.mxf": b"one"})
    (tmp_path / "nas").rmdir()
    assert await run_once(tmp_path) == 3
    assert not (tmp_path / "nas").exists()


async def test_3_when_a_signal_came_before_all_was_at_rest(tmp_path: Path, brake: Brake) -> None:
    write_config(tmp_path, **STILL)
    fill(tmp_path / "source", {"a.mxf": LONG})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(interrupt_at_checkpoint, brake)
        assert await run_once(tmp_path) == 3
    brake.release()
    assert await run_once(tmp_path) == 0
    assert contents(tmp_path / "nas") == {"a.mxf": LONG}


async def interrupt_at_checkpoint(brake: Brake) -> None:
    await brake.until_checkpoint()
    signal.raise_signal(signal.SIGTERM)


async def test_a_taken_port_is_said_in_a_line_before_anything_moves(tmp_path: Path) -> None:
    write_config(tmp_path)
    fill(tmp_path / "source", {"a.mxf": b"one"})
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
        with pytest.raises(StateLocked, match="in use by another agent"):
            await run_once(tmp_path)


async def test_the_running_agent_leaves_its_address_in_the_state_folder(tmp_path: Path) -> None:
    write_config(tmp_path, **STILL)
    assert await run_once(tmp_path) == 0
    assert contents(tmp_path / "state")["address"].startswith(b"http://127.0.0.1:")


async def test_an_address_that_cannot_be_left_there_is_said_in_a_line(tmp_path: Path) -> None:
    write_config(tmp_path)
    (tmp_path / "state/address").mkdir(parents=True)
    with pytest.raises(CannotStart, match="state/address cannot be written: Is a directory"):
        await run_once(tmp_path)
