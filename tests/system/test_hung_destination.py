"""A destination that hangs in mid-copy blocks nobody, and the copy goes on from there (S6, S8)."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from attrs import define, field

from tests.mounts.mounts import FaultMount
from tests.system.agents import Agent
from tests.system.outages import IMPATIENT, MIB, configure, reason

SIZE_BYTES = 48 * MIB
PAGES = ("/", "/livez", "/metrics", "/api/status")
HANG_S = 2.0


@pytest.fixture
def mount(agent: Agent) -> Iterator[FaultMount]:
    with FaultMount.at(agent.home / "mount", agent.home / "backing") as mounted:
        yield mounted


@define
class Visitor:
    """Asks for every page again and again, and keeps the longest wait of each, in seconds."""

    agent: Agent
    slowest_s: dict[str, float] = field(factory=lambda: dict.fromkeys(PAGES, 0.0))
    refused: list[str] = field(factory=list)
    rounds: int = 0

    def visit(self) -> None:
        for page in PAGES:
            began_s = time.monotonic()
            if self.agent.status(page) != 200:
                self.refused.append(page)
            self.slowest_s[page] = max(self.slowest_s[page], time.monotonic() - began_s)
        self.rounds += 1

    def check(self) -> None:
        assert self.rounds > 3
        assert self.refused == []
        assert {page: wait_s for page, wait_s in self.slowest_s.items() if wait_s >= 1.0} == {}


@contextmanager
def visiting(agent: Agent) -> Iterator[Visitor]:
    visitor, over = Visitor(agent), threading.Event()

    def keep_visiting() -> None:
        while not over.is_set():
            visitor.visit()
            over.wait(0.05)

    thread = threading.Thread(target=keep_visiting)
    thread.start()
    try:
        yield visitor
    finally:
        over.set()
        thread.join()


def hang_in_mid_copy(agent: Agent, mount: FaultMount) -> bytes:
    """Start to copy a large file, and hang everything once some of it is verified; its content."""
    configure(agent, mount.path, bandwidth="16MiB", workers=1, **IMPATIENT)
    agent.start()
    content = os.urandom(MIB) * (SIZE_BYTES // MIB)
    (agent.source / "large.mxf").write_bytes(content)
    agent.wait_until(lambda: (agent.file("large.mxf") or {}).get("bytes_verified", 0) > 0)
    mount.hang()
    agent.wait_until(lambda: reason(agent) == "hung")
    return content


def check_arrived(agent: Agent, mount: FaultMount, content: bytes) -> None:
    """Resumed, complete, alone, and without an attempt counted."""
    done = agent.wait_for("large.mxf", "Completed")
    assert done["retry_count"] == 0
    [copied] = [line for line in agent.events("copied") if line["file"] == "large.mxf"]
    assert copied["resumed_bytes"] > 0
    assert (mount.backing / "large.mxf").read_bytes() == content
    assert not (agent.source / "large.mxf").exists()
    agent.wait_until(lambda: partials(mount.backing) == [])
    assert [path.name for path in mount.backing.iterdir()] == ["large.mxf"]


def partials(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.endswith(".partial")]


def stays(holds: Callable[[], bool], for_s: float) -> bool:
    until_s = time.monotonic() + for_s
    while time.monotonic() < until_s:
        if not holds():
            return False
        time.sleep(0.05)
    return True


def test_a_hang_in_mid_copy_blocks_nobody_and_the_file_is_resumed(agent: Agent, mount: FaultMount) -> None:
    content = hang_in_mid_copy(agent, mount)
    with visiting(agent) as visitor:
        (agent.home / "well-source" / "other.mxf").write_bytes(b"other")
        agent.wait_for("other.mxf", "Completed")
        configure(agent, mount.path, workers=1, **IMPATIENT)  # as fast as it goes
        agent.signal(signal.SIGHUP)
        agent.wait_until(lambda: bool(agent.events("configuration reloaded")))
        outages = len(agent.events("outage"))
        agent.wait_until(lambda: len(agent.events("outage")) > outages)
        assert stays(lambda: reason(agent) == "hung", HANG_S)
        assert not (mount.backing / "large.mxf").exists()
    visitor.check()
    mount.release()
    check_arrived(agent, mount, content)
    assert agent.stop(5) == 0


def test_an_agent_stops_and_starts_during_a_hang_and_the_file_is_resumed(
    agent: Agent, mount: FaultMount
) -> None:
    content = hang_in_mid_copy(agent, mount)
    assert agent.stop(5) == 0
    configure(agent, mount.path, workers=1, **IMPATIENT)
    agent.start()
    agent.wait_until(lambda: reason(agent) == "hung")
    with visiting(agent) as visitor:
        (agent.home / "well-source" / "other.mxf").write_bytes(b"other")
        agent.wait_for("other.mxf", "Completed")
        assert stays(lambda: reason(agent) == "hung", HANG_S)
    visitor.check()
    mount.release()
    check_arrived(agent, mount, content)
    assert agent.stop(5) == 0


def test_storage_that_crawls_counts_as_hung(agent: Agent, mount: FaultMount) -> None:
    configure(agent, mount.path, workers=1, **IMPATIENT)
    agent.start()
    mount.slow(16 * 1024)
    content = os.urandom(4 * MIB)
    (agent.source / "large.mxf").write_bytes(content)
    agent.wait_until(lambda: reason(agent) == "hung")
    (agent.home / "well-source" / "other.mxf").write_bytes(b"other")
    agent.wait_for("other.mxf", "Completed")
    mount.slow(None)
    done = agent.wait_for("large.mxf", "Completed")
    assert done["retry_count"] == 0
    assert (mount.backing / "large.mxf").read_bytes() == content
    assert agent.stop(5) == 0
