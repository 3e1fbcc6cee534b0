"""A source that hangs blocks its own route alone (promise S8)."""

import signal
from pathlib import Path

from tests.mounts.mounts import FaultMount
from tests.system.agents import Agent
from tests.system.outages import configure, outage
from tests.system.test_hung_destination import pages_answer, stays


def configure_source(agent: Agent, mount: FaultMount, **route: object) -> None:
    """Both routes lead to one destination, which works."""
    configure(agent, agent.nas, "nas", source=str(mount.path), stall_timeout="2s", **route)


def is_reported(agent: Agent) -> bool:
    return "source: no answer" in str(agent.get("/api/storage")) + agent.text("/api/routes")


def deliver_on_the_other_route(agent: Agent, name: str) -> None:
    (agent.home / "healthy-source" / name).write_bytes(b"other")
    agent.wait_for(name, "Completed")


def check_arrived(agent: Agent, mount: FaultMount, content: bytes) -> None:
    agent.wait_for("large.mxf", "Completed")
    assert (agent.nas / "large.mxf").read_bytes() == content
    assert sorted(path.name for path in agent.nas.iterdir()) == ["large.mxf", "other.mxf"]
    assert list(Path(mount.backing).iterdir()) == []


def test_a_source_that_hangs_in_mid_copy_blocks_its_own_route_alone(agent: Agent, mount: FaultMount) -> None:
    configure_source(agent, mount, bandwidth="16MiB", workers=1)
    agent.start()
    content = agent.copy_large_file(mount.backing)  # so that nothing of it is cached here
    mount.hang()
    with pages_answer(agent):
        agent.wait_until(lambda: is_reported(agent))
        deliver_on_the_other_route(agent, "other.mxf")
        assert stays(lambda: outage(agent) is None, 2.5)  # the destination has no outage
    mount.release()
    check_arrived(agent, mount, content)
    assert [line["resumed_bytes"] > 0 for line in agent.events("copied") if line["file"] == "large.mxf"] == [
        True
    ]
    assert agent.stop(5) == 0


def test_an_agent_stops_and_starts_while_its_source_hangs(agent: Agent, mount: FaultMount) -> None:
    configure_source(agent, mount)
    agent.start()
    mount.hang()
    agent.wait_until(lambda: is_reported(agent))
    assert agent.stop(5) == 0
    agent.start()
    deliver_on_the_other_route(agent, "other.mxf")
    assert agent.status("/readyz") == 200  # the destinations are usable
    mount.release()
    (mount.path / "large.mxf").write_bytes(b"content")
    check_arrived(agent, mount, b"content")
    mount.hang()
    assert agent.stop(5) == 0


def test_a_reload_while_the_source_hangs_holds_nothing_up(agent: Agent, mount: FaultMount) -> None:
    configure_source(agent, mount)
    agent.start()
    mount.hang()
    agent.wait_until(lambda: is_reported(agent))
    agent.signal(signal.SIGHUP)
    agent.wait_until(lambda: bool(agent.events("configuration reloaded")))
    deliver_on_the_other_route(agent, "other.mxf")
    assert agent.stop(5) == 0
