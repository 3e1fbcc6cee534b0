"""A source far away is slow and not unreadable; one of its files that hangs holds up no other."""

from tests.mounts.mounts import FaultMount
from tests.system.agents import MIB, Agent

FILES = 30  # with 25 ms a call, examining them takes 8 s: four times `stall_timeout`
LATENCY_S = 0.025


def test_many_files_over_a_long_line_are_all_delivered_and_the_source_is_never_unreadable(
    agent: Agent, mount: FaultMount
) -> None:
    names = [f"{number}.mxf" for number in range(FILES)]
    for name in names:
        (mount.backing / name).write_bytes(name.encode())
    mount.latency(LATENCY_S)
    agent.configure(source=str(mount.path), stall_timeout="2s", stable="300ms")
    agent.start()
    for name in names:
        agent.wait_for(name, "Completed")
    assert sorted(path.name for path in agent.nas.iterdir()) == sorted(names)
    assert agent.events("source cannot be read") == []
    assert agent.events("attempt failed") == []
    mount.latency(0.0)
    assert agent.stop(5) == 0


def start_with_a_file_that_hangs(agent: Agent, mount: FaultMount) -> None:
    """Another one that does not is delivered."""
    (mount.backing / "before.mxf").write_bytes(b"content")
    mount.hang("read", glob="/bad.mxf")
    agent.configure(source=str(mount.path), stall_timeout="2s", stable="300ms", max_attempts=2)
    agent.start()
    agent.wait_for("before.mxf", "Completed")


def test_a_small_file_that_hangs_when_it_is_read_fails_in_the_end_and_the_others_go_on(
    agent: Agent, mount: FaultMount
) -> None:
    (mount.backing / "bad.mxf").write_bytes(b"content")
    start_with_a_file_that_hangs(agent, mount)
    failed = agent.wait_for("bad.mxf", "Failed")
    assert "the file does not answer" in str(failed["error_message"])
    (mount.path / "after.mxf").write_bytes(b"content")
    agent.wait_for("after.mxf", "Completed")
    assert agent.events("source cannot be read") == []
    mount.release()
    assert agent.stop(5) == 0


def test_a_file_that_hangs_when_it_is_read_is_named_and_held_and_the_others_go_on(
    agent: Agent, mount: FaultMount
) -> None:
    (mount.backing / "bad.mxf").write_bytes(bytes(2 * MIB))
    start_with_a_file_that_hangs(agent, mount)
    held = agent.wait_for("bad.mxf", "Held")
    assert "it does not answer" in str(agent.get("/api/explain?path=bad.mxf"))
    assert held["retry_count"] == 0
    (mount.path / "after.mxf").write_bytes(b"content")
    agent.wait_for("after.mxf", "Completed")
    assert {line["file"] for line in agent.events("file does not answer, set aside")} == {"bad.mxf"}
    assert agent.events("source cannot be read") == []
    mount.release()
    assert agent.stop(5) == 0
