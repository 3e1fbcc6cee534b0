"""A stop, a kill, a pause or a cancel in mid-copy, and the resumed copy afterwards."""

import socket
from pathlib import Path

from tests.system.agents import Agent


def start_in_mid_copy(agent: Agent, bandwidth: str = "16MiB") -> bytes:
    """Start an agent with little bandwidth; a part of its large file is verified. Returns the content."""
    agent.configure(bandwidth=bandwidth, workers=1)
    agent.start()
    return agent.copy_large_file()


def test_a_stop_in_mid_copy_is_quick_and_the_next_start_goes_on_at_a_verified_block(agent: Agent) -> None:
    content = start_in_mid_copy(agent)
    assert agent.stop(timeout_s=5) == 0
    assert (agent.source / "large.mxf").exists()
    assert not (agent.nas / "large.mxf").exists()
    agent.configure()
    agent.start()
    agent.wait_for("large.mxf", "Completed")
    assert (agent.nas / "large.mxf").read_bytes() == content
    [copied] = agent.events("copied")
    assert copied["resumed_bytes"] > 0
    assert copied["read_bytes"] == len(content) - copied["resumed_bytes"]
    assert agent.partials() == []


def test_kill_9_in_mid_copy_loses_nothing(agent: Agent) -> None:
    content = start_in_mid_copy(agent)
    agent.kill()
    agent.configure()
    agent.start()
    agent.wait_for("large.mxf", "Completed")
    assert (agent.nas / "large.mxf").read_bytes() == content
    assert agent.events("copied")[0]["resumed_bytes"] > 0
    assert not (agent.source / "large.mxf").exists()


def test_kill_9_in_mid_copy_and_the_loss_of_the_journal_leave_no_partial(agent: Agent) -> None:
    foreign = agent.nas / ".large.mxf.0123456789abcdef.partial"
    foreign.write_bytes(b"of another program")
    content = start_in_mid_copy(agent)
    agent.kill()
    assert len(agent.partials()) == 2
    for part in (agent.home / "state").glob("journal.db*"):
        part.unlink()
    agent.configure()
    agent.start()
    agent.wait_for("large.mxf", "Completed")
    agent.wait_until(lambda: agent.partials() == [foreign])
    assert (agent.nas / "large.mxf").read_bytes() == content
    assert foreign.read_bytes() == b"of another program"
    agent.wait_until(lambda: [line["removed"] for line in agent.events("recovered")[-1:]] == [1])


def test_a_paused_route_stops_its_copy_and_goes_on_from_there(agent: Agent) -> None:
    content = start_in_mid_copy(agent)
    assert agent.run_command("pause", "mxf").returncode == 0
    agent.wait_for("large.mxf", "Paused")
    agent.configure()
    assert agent.run_command("reload").returncode == 0
    agent.wait_until(lambda: bool(agent.events("configuration reloaded")))
    agent.wait_for("large.mxf", "Paused")
    assert agent.run_command("resume", "mxf").returncode == 0
    agent.wait_for("large.mxf", "Completed")
    assert (agent.nas / "large.mxf").read_bytes() == content
    assert agent.events("copied")[0]["resumed_bytes"] > 0


def test_a_cancelled_file_leaves_no_partial_and_arrives_when_retried(agent: Agent) -> None:
    start_in_mid_copy(agent, "5MiB")  # the command line needs seconds to start on a busy machine
    path = str(agent.source / "large.mxf")
    assert agent.run_command("cancel", path).returncode == 0
    agent.wait_for("large.mxf", "Failed")
    agent.wait_until(lambda: agent.partials() == [])
    assert Path(path).exists()
    assert agent.run_command("retry", path).returncode == 0
    agent.wait_for("large.mxf", "Completed")


def test_a_client_that_never_reads_does_not_delay_the_stop(agent: Agent) -> None:
    agent.start()
    host, _, port = agent.url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(
            f"GET /ws HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert client.recv(12) == b"HTTP/1.1 101"
        for number in range(50):
            (agent.source / f"{number}.mxf").write_bytes(b"x")
        agent.wait_until(lambda: len(agent.events("delivered")) == 50)
        assert agent.stop(timeout_s=5) == 0


def test_once_delivers_what_is_there_and_exits(agent: Agent) -> None:
    (agent.source / "a.mxf").write_bytes(b"x" * 5)
    done = agent.run_command("run", "--once")
    assert done.returncode == 0, done.stderr
    assert (agent.nas / "a.mxf").read_bytes() == b"x" * 5
