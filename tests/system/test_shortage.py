"""An agent that is short of file descriptors waits, says so once, and goes on by itself."""

import os
import resource

from tests.system.agents import Agent

TOO_FEW = 18
FILES = 10


def allow(agent: Agent, files: int | None) -> None:
    """None: as many as possible. Only the soft limit is changed, so that it can be raised again."""
    _, hard = resource.prlimit(agent.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, (hard if files is None else files, hard))


def test_a_shortage_of_descriptors_costs_no_attempt_and_is_no_outage(agent: Agent) -> None:
    agent.configure(retry_delay="100ms", stable="100ms", low_space="1MiB", workers=4)
    agent.start()
    agent.wait_until(lambda: agent.status("/readyz") == 200)
    allow(agent, TOO_FEW)
    for number in range(FILES):
        (agent.source / f"take{number}.mov.txt").write_bytes(os.urandom(2 << 20))
    agent.wait_until(lambda: bool(agent.events("short of resources, copies wait")))
    allow(agent, None)
    agent.wait_until(lambda: len(list(agent.nas.glob("*.txt"))) == FILES)
    agent.wait_until(lambda: not any(agent.source.iterdir()))
    agent.wait_until(lambda: {file["status"] for file in agent.get("/api/files")["files"]} == {"Completed"})
    assert {file["retry_count"] for file in agent.get("/api/files")["files"]} == {0}
    for event in ("outage", "source cannot be read", "actor failed", "attempt failed", "failed"):
        assert agent.events(event) == []
    assert len(agent.events("short of resources, copies wait")) == 1
    assert "Traceback" not in agent.log()
    assert agent.stop() == 0
