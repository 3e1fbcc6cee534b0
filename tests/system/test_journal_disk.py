"""The journal on a disk that is full or cannot be written, when the agent starts and while it runs.

The disk is a small tmpfs in a mount namespace of the agent's own, which ends with the agent. Tests access it
through /proc.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import define

from tests.system.agents import Agent
from tests.system.conftest import prepared, required

CONTENT = b"x" * 3_000_000
ROOMY = 'mount -t tmpfs -o size=1m none "$0" && exec "$@"'
READ_ONLY = 'mount -t tmpfs -o ro none "$0" && exec "$@"'
FULL = 'mount -t tmpfs -o size=16k none "$0" && head -c 16384 /dev/zero >"$0/filler" && exec "$@"'
SCANTY = 'mount -t tmpfs -o size=64k none "$0" && head -c 16384 /dev/zero >"$0/filler" && exec "$@"'


@define(eq=False)
class AgentOnSmallDisk(Agent):
    """An agent whose state folder is on a disk of its own, mounted by the `script`."""

    script: str = ROOMY

    def command(self, *words: str) -> list[str]:
        own = [required("unshare"), "--mount", "--propagation", "private"]
        if os.geteuid() != 0:
            own.append("--map-root-user")
        return [*own, "sh", "-c", self.script, str(self.home / "state"), *super().command(*words)]

    def start(self, *options: str) -> None:
        with (self.home / "log").open("ab") as log:
            command = self.command("run", *options)
            self._process = subprocess.Popen(command, stderr=log, start_new_session=True)
        self.wait_until((self.disk / "address").exists)
        self.wait_until(lambda: self.status("/livez") == 200)

    def start_without_address(self) -> None:
        """Start; the state folder cannot hold the address, so the log tells it."""
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(self.command("run"), stderr=log, start_new_session=True)
        self.wait_until(lambda: bool(self.events("listening")) and self.status("/livez") == 200)

    def make_usable(self) -> None:
        """As an operator would: with room, and writable."""
        namespace = [required("nsenter"), "--target", str(self.pid), "--mount", "--user"]
        remount = ["mount", "-o", "remount,rw,size=16m", str(self.home / "state")]
        subprocess.run([*namespace[: 4 if os.geteuid() == 0 else 5], *remount], check=True)

    @property
    def disk(self) -> Path:
        return Path(f"/proc/{self.pid}/root{self.home}/state")

    @property
    def url(self) -> str:
        return str(self.events("listening")[-1]["url"])

    def fill_up(self) -> None:
        with (self.disk / "filler").open("ab", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4096))
            except OSError:
                return

    def free_space(self) -> None:
        (self.disk / "filler").unlink()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentOnSmallDisk]:
    (tmp_path / "state").mkdir()
    with prepared(AgentOnSmallDisk(tmp_path)) as agent:
        yield agent


def test_a_full_disk_stops_deliveries_and_loses_nothing_until_there_is_room_again(
    agent: AgentOnSmallDisk,
) -> None:
    agent.start()
    agent.wait_until(lambda: agent.text("/readyz") == "ok")
    agent.fill_up()
    for number in range(3):
        (agent.source / f"{number}.bin").write_bytes(CONTENT)
    agent.wait_until(lambda: "disk is full" in agent.text("/readyz"))
    ready = agent.text("/readyz?verbose").splitlines()
    assert ready == ["not ready: journal: the journal cannot be used: database or disk is full", "mxf: ok"]
    assert agent.status("/api/health") == 503
    assert all((agent.source / f"{number}.bin").exists() for number in range(3))
    agent.free_space()
    for number in range(3):
        agent.wait_for(f"{number}.bin", "Completed")
        assert (agent.nas / f"{number}.bin").read_bytes() == CONTENT
    agent.wait_until(lambda: agent.text("/readyz") == "ok")
    assert not list(agent.source.iterdir())
    assert agent.partials() == []
    assert len(agent.events("nothing can be written down, copies wait")) == 1
    agent.wait_until(lambda: len(agent.events("the journal can be written again")) == 1)
    assert agent.events("interrupted") == agent.events("attempt failed") == agent.events("failed") == []
    assert agent.stop() == 0


@pytest.mark.parametrize(
    ("script", "reasons"),
    [
        (READ_ONLY, ["the state folder", "Read-only file system"]),
        (FULL, ["cannot be used: ", "No space left on device"]),
        (SCANTY, ["the journal cannot be used: "]),
    ],
)
def test_a_disk_that_takes_nothing_at_the_start_is_waited_for_with_the_page_up(
    agent: AgentOnSmallDisk, script: str, reasons: list[str]
) -> None:
    agent.script = script
    (agent.source / "clip.bin").write_bytes(CONTENT)
    agent.start_without_address()
    agent.wait_until(lambda: all(reason in agent.text("/readyz") for reason in reasons))
    assert (agent.status("/livez"), agent.status("/readyz"), agent.status("/api/files")) == (200, 503, 200)
    agent.make_usable()
    agent.wait_until(lambda: not list(agent.source.iterdir()))
    assert (agent.nas / "clip.bin").read_bytes() == CONTENT
    agent.wait_until(lambda: agent.text("/readyz") == "ok")
    assert len(agent.events("nothing is done until the state folder can be used")) == 1
    assert agent.stop() == 0


@pytest.mark.parametrize("script", [READ_ONLY, FULL, SCANTY])
def test_run_once_does_not_wait_for_such_a_disk(agent: AgentOnSmallDisk, script: str) -> None:
    agent.script = script
    assert agent.run_command("run", "--once").returncode == 3
