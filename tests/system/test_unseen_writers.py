"""An agent that is neither the owner of the recordings nor has CAP_LEASE, and the recorder of another user.

The agent keeps the user of the tests without any capability of its own; the recorder is another user.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from agent.actors.stability_tracker.hold import GRANT
from tests.system.agents import Agent
from tests.system.conftest import prepared, required

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a recorder of another user")

RECORDER = 65534
NO_CAPABILITIES = ("--bounding-set=-all", "--inh-caps=-all")
ONLY_CAP_LEASE = ("--bounding-set=-all,+lease", "--inh-caps=-all")
CONTENT = b"a recording" * 1000


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    with prepared(Agent(tmp_path, (required("setpriv"), *NO_CAPABILITIES))) as agent:
        agent.source.chmod(0o777)
        yield agent


def start_watching(agent: Agent) -> None:
    """Start, and wait until the source is watched: what was closed before is not seen."""
    agent.start()
    watch = f"inotify wd:1 ino:{agent.source.stat().st_ino:x} "
    agent.wait_until(lambda: any(watch in info for info in open_files(children(agent.pid))))


def children(pid: int) -> list[str]:
    """The processes that any of its threads has started."""
    return [
        child for each in Path(f"/proc/{pid}/task").glob("*/children") for child in each.read_text().split()
    ]


def open_files(pids: list[str]) -> Iterator[str]:
    """What the system tells of each open file of these processes, proc_pid_fdinfo(5)."""
    for info in (info for pid in pids for info in Path("/proc", pid, "fdinfo").glob("*")):
        with suppress(OSError):  # closed meanwhile
            yield info.read_text()


@contextmanager
def recording(folder: Path, name: str = "clip.mxf") -> Iterator[None]:
    """A process of another user that has written CONTENT and holds the file open until the block ends."""
    command = ["sh", "-c", 'exec 3>>"$0" && cat >&3', name]
    with subprocess.Popen(
        command, cwd=folder, stdin=subprocess.PIPE, user=RECORDER, group=RECORDER, extra_groups=[]
    ) as recorder:
        assert recorder.stdin is not None
        recorder.stdin.write(CONTENT)
        recorder.stdin.flush()
        yield
        recorder.stdin.close()
        assert recorder.wait() == 0


def explained(agent: Agent) -> str:
    return str(agent.get(f"/api/explain?path={agent.source}/clip.mxf").get("why"))


def test_a_recording_that_another_user_still_writes_is_held_and_says_what_to_grant(agent: Agent) -> None:
    start_watching(agent)
    with recording(agent.source):
        agent.wait_for("clip.mxf", "Held")
        assert (agent.source / "clip.mxf").read_bytes() == CONTENT
        assert GRANT in explained(agent)
        [route] = agent.get("/api/routes")["routes"]
        [held] = route["held"]
        assert (held["files"], GRANT in held["why"]) == (1, True)
        health = agent.run_command("health")
        assert (health.returncode, GRANT in health.stdout) == (1, True)
        [warning] = agent.events("held, its writers cannot be seen")
        assert (warning["level"], warning["route"]) == ("warning", "mxf")
        assert GRANT in warning["why"]
    agent.wait_for("clip.mxf", "Completed")
    assert (agent.nas / "clip.mxf").read_bytes() == CONTENT
    assert not (agent.source / "clip.mxf").exists()


def test_a_recording_whose_close_was_seen_is_delivered(agent: Agent) -> None:
    start_watching(agent)
    with recording(agent.source):
        pass
    agent.wait_for("clip.mxf", "Completed")
    assert not (agent.source / "clip.mxf").exists()
    assert agent.run_command("health").returncode == 0


def test_a_recording_that_was_renamed_after_its_close_is_delivered(agent: Agent) -> None:
    start_watching(agent)
    with recording(agent.source, ".clip.mxf.part"):
        pass
    os.utime(agent.source / ".clip.mxf.part", (0, 0))  # as rsync does
    (agent.source / ".clip.mxf.part").rename(agent.source / "clip.mxf")
    agent.wait_for("clip.mxf", "Completed")


def test_a_recording_from_before_the_start_is_held_unless_the_route_says_otherwise(agent: Agent) -> None:
    with recording(agent.source):
        pass
    agent.start()
    agent.wait_for("clip.mxf", "Held")
    assert len(agent.events("held, its writers cannot be seen")) == 1
    assert agent.stop() == 0
    agent.configure(unseen_writers="deliver")
    agent.start()
    agent.wait_for("clip.mxf", "Completed")


def test_with_cap_lease_the_writer_of_another_user_is_seen_until_it_closes(agent: Agent) -> None:
    agent.started_by = (required("setpriv"), *ONLY_CAP_LEASE)
    agent.start()
    with recording(agent.source):
        agent.wait_until(lambda: "open for writing" in explained(agent))
        assert (agent.source / "clip.mxf").exists()
    agent.wait_for("clip.mxf", "Completed")
    assert not (agent.source / "clip.mxf").exists()
