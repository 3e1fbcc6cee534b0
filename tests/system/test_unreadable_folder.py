"""A folder in the source that cannot be read is reported once and shown; the rest is delivered."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import define

from tests.system.agents import Agent
from tests.system.conftest import prepared, required

FEW_RIGHTS = "-dac_override,-dac_read_search"


@define(eq=False)
class UnprivilegedAgent(Agent):
    """An agent without the capabilities that let root ignore permissions."""

    def command(self, *words: str) -> list[str]:
        command = super().command(*words)
        if os.geteuid() != 0:
            return command
        return [
            required("setpriv"),
            f"--bounding-set={FEW_RIGHTS}",
            f"--inh-caps={FEW_RIGHTS}",
            *command,
        ]


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[UnprivilegedAgent]:
    with prepared(UnprivilegedAgent(tmp_path), after="keep") as agent:
        yield agent


def folders(agent: Agent) -> list[dict[str, str]]:
    [route] = agent.get("/api/routes")["routes"]
    return list(route["unreadable_folders"])


def test_an_unreadable_folder_is_reported_once_and_the_rest_is_delivered(agent: UnprivilegedAgent) -> None:
    closed = agent.source / "closed"
    closed.mkdir()
    (closed / "inside.bin").write_bytes(b"inside")
    agent.start()
    agent.wait_for("inside.bin", "Completed")
    closed.chmod(0)
    try:
        agent.wait_until(lambda: folders(agent) == [{"folder": "closed", "reason": "Permission denied"}])
        for name in ("first.bin", "second.bin"):  # several scans pass
            (agent.source / name).write_bytes(b"content")
            agent.wait_for(name, "Completed")
        assert "cannot read folder closed: Permission denied" in agent.run_command("status").stdout
        assert agent.is_in("inside.bin", "Completed")
        [line] = agent.events("folder cannot be read")
        assert (line["level"], line["folder"], line["error"]) == ("warning", "closed", "Permission denied")
        assert agent.status("/readyz") == 200
    finally:
        closed.chmod(0o755)
    agent.wait_until(lambda: folders(agent) == [])
    (closed / "later.bin").write_bytes(b"later")
    agent.wait_for("later.bin", "Completed")
    assert len(agent.events("folder can be read again, or is gone")) == 1
    assert len(agent.events("folder cannot be read")) == 1
