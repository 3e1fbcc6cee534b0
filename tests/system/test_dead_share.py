"""A source on a share that does not answer: the agent starts, reloads, checks its configuration and stops.

The share is a FUSE file system that nobody serves, in a mount namespace of the agent's own: it goes with it.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import define

from tests.system.agents import Agent
from tests.system.conftest import prepared, required

DEADLINE_S = 20.0  # whoever touches the share waits for ever
MOUNT_IT = """
import ctypes, os, sys
point, *command = sys.argv[1:]
fuse = os.open("/dev/fuse", os.O_RDWR)
os.set_inheritable(fuse, True)
options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0".encode()
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b"dead", os.fsencode(point), b"fuse", 0, options):
    sys.exit(os.strerror(ctypes.get_errno()))
os.execvp(command[0], command)
"""


@define(eq=False)
class AgentWithDeadSource(Agent):
    """An agent whose source is on a mount that does not answer."""

    def command(self, *words: str) -> list[str]:
        return self.inside(*super().command(*words))

    def inside(self, *command: str) -> list[str]:
        own = [required("unshare"), "--mount", "--propagation", "private"]
        if os.geteuid() != 0:
            own.append("--map-root-user")
        return [*own, sys.executable, "-c", MOUNT_IT, str(self.source), *command]


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentWithDeadSource]:
    assert Path("/dev/fuse").exists() or not os.environ.get("CI")
    with prepared(AgentWithDeadSource(tmp_path), source="source/day", stall_timeout="1s") as agent:
        yield agent


def test_the_test_share_does_not_answer(agent: AgentWithDeadSource) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(agent.inside("stat", str(agent.source / "day")), timeout=1, check=False)


def test_check_config_does_not_wait_for_a_dead_share(agent: AgentWithDeadSource) -> None:
    done = subprocess.run(
        agent.command("check-config"), capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f'source = "{agent.source}/day"' in done.stdout


def test_an_agent_with_a_dead_share_starts_reloads_and_stops(agent: AgentWithDeadSource) -> None:
    agent.start()
    agent.wait_until(
        lambda: any("no answer" in str(each["source_error"]) for each in agent.get("/api/routes")["routes"])
    )
    reload = subprocess.run(
        Agent.command(agent, "reload"), capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert (reload.returncode, reload.stderr) == (0, "")
    agent.wait_until(lambda: len(agent.events("configuration reloaded")) == 1)
    assert agent.stop(DEADLINE_S) == 0
