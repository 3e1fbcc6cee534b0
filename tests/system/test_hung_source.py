"""A source that hangs blocks its own route alone (promise S8)."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mounts.mounts import FaultMount
from tests.system.agents import Agent
from tests.system.outages import MIB, configure, outage, text
from tests.system.test_hung_destination import stays, visiting

SIZE_BYTES = 48 * MIB


@pytest.fixture
def mount(agent: Agent) -> Iterator[FaultMount]:
    with FaultMount.at(agent.home / "mount", agent.home / "backing") as mounted:
        yield mounted


def configure_source(agent: Agent, mount: FaultMount, **route: object) -> None:
    """Both routes lead to one destination, which is well."""
    configure(agent, agent.nas, "nas", source=str(mount.path), stall_timeout="2s", **route)


def is_reported(agent: Agent) -> bool:
    return "source: no answer" in str(agent.get("/api/storage")) + text(agent, "/api/routes")


def deliver_on_the_other_route(agent: Agent, name: str) -> None:
    (agent.home / "well-source" / name).write_bytes(b"other")
    agent.wait_for(name, "Completed")


def check_arrived(agent: Agent, mount: FaultMount, content: bytes) -> None:
    agent.wait_for("large.mxf", "Completed")
    assert (agent.nas / "large.mxf").read_bytes() == content
    assert sorted(path.name for path in agent.nas.iterdir()) == ["large.mxf", "other.mxf"]
    assert list(Path(mount.backing).iterdir()) == []


def test_a_source_that_hangs_in_mid_copy_blocks_its_own_route_alone(agent: Agent, mount: FaultMount) -> None:
    configure_source(agent, mount, bandwidth="16MiB", workers=1)
    agent.start()
    content = os.urandom(MIB) * (SIZE_BYTES // MIB)
    (mount.backing / "large.mxf").write_bytes(content)  # so that nothing of it is cached here
    agent.wait_until(lambda: (agent.file("large.mxf") or {}).get("bytes_verified", 0) > 0)
    mount.hang()
    with visiting(agent) as visitor:
        agent.wait_until(lambda: is_reported(agent))
        deliver_on_the_other_route(agent, "other.mxf")
        assert stays(lambda: outage(agent) is None, 2.5)  # nothing ails the destination
    visitor.check()
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
    assert agent.status("/readyz") == 200  # destinations are well
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
