"""A destination that hangs in mid-copy blocks nobody, and the copy goes on from there (S6, S8)."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import define, field

from tests.mounts.mounts import FaultMount
from tests.system.agents import MIB, Agent
from tests.system.outages import SHORT_TIMEOUTS, configure, reason
from tests.system.pulse import repeated

PAGES = ("/", "/livez", "/metrics", "/api/status")
HANG_S = 2.0


@define
class PagePoller:
    """Requests every page again and again, and keeps the longest wait for each, in seconds."""

    agent: Agent
    slowest_s: dict[str, float] = field(factory=lambda: dict.fromkeys(PAGES, 0.0))
    refused: list[str] = field(factory=list)
    rounds: int = 0

    def poll(self) -> None:
        for page in PAGES:
            began_s = time.monotonic()
            if self.agent.status(page) != 200:
                self.refused.append(page)
            self.slowest_s[page] = max(self.slowest_s[page], time.monotonic() - began_s)
        self.rounds += 1

    def check(self) -> None:
        assert self.rounds > 3
        assert self.refused == []
        assert {page: wait_s for page, wait_s in self.slowest_s.items() if wait_s >= HANG_S} == {}


@contextmanager
def pages_answer(agent: Agent) -> Iterator[None]:
    """No page waits for storage that hangs, for longer than `HANG_S`, during the block."""
    poller = PagePoller(agent)
    with repeated(poller.poll, 0.05):
        yield
    poller.check()


def hang_in_mid_copy(agent: Agent, mount: FaultMount) -> bytes:
    """Hang the mount in the middle of the copy of a large file; its content."""
    configure(agent, mount.path, bandwidth="16MiB", workers=1, **SHORT_TIMEOUTS)
    agent.start()
    content = agent.copy_large_file()
    mount.hang()
    agent.wait_until(lambda: reason(agent) == "hung")
    return content


def check_arrived(agent: Agent, mount: FaultMount, content: bytes) -> None:
    """The copy was resumed, is complete, the only file, and no attempt was counted."""
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
    with pages_answer(agent):
        (agent.home / "healthy-source" / "other.mxf").write_bytes(b"other")
        agent.wait_for("other.mxf", "Completed")
        configure(agent, mount.path, workers=1, **SHORT_TIMEOUTS)  # without a bandwidth limit
        agent.signal(signal.SIGHUP)
        agent.wait_until(lambda: bool(agent.events("configuration reloaded")))
        outages = len(agent.events("outage"))
        agent.wait_until(lambda: len(agent.events("outage")) > outages)
        assert stays(lambda: reason(agent) == "hung", HANG_S)
        assert not (mount.backing / "large.mxf").exists()
    mount.release()
    check_arrived(agent, mount, content)
    assert agent.stop(5) == 0


def test_an_agent_stops_and_starts_during_a_hang_and_the_file_is_resumed(
    agent: Agent, mount: FaultMount
) -> None:
    content = hang_in_mid_copy(agent, mount)
    assert agent.stop(5) == 0
    configure(agent, mount.path, workers=1, **SHORT_TIMEOUTS)
    agent.start()
    agent.wait_until(lambda: reason(agent) == "hung")
    with pages_answer(agent):
        (agent.home / "healthy-source" / "other.mxf").write_bytes(b"other")
        agent.wait_for("other.mxf", "Completed")
        assert stays(lambda: reason(agent) == "hung", HANG_S)
    mount.release()
    check_arrived(agent, mount, content)
    assert agent.stop(5) == 0


def test_storage_that_takes_longer_for_a_window_than_a_stall_may_last_is_slow_and_not_hung(
    agent: Agent, mount: FaultMount
) -> None:
    configure(agent, mount.path, workers=1, **SHORT_TIMEOUTS)
    agent.start()
    mount.slow(8 * MIB / 6, at_sync=True)
    content = os.urandom(10 * MIB)
    (agent.source / "large.mxf").write_bytes(content)
    done = agent.wait_for("large.mxf", "Completed")
    assert agent.events("outage") == []
    assert done["retry_count"] == 0
    assert (mount.backing / "large.mxf").read_bytes() == content
    assert agent.stop(5) == 0


def test_storage_that_crawls_counts_as_hung(agent: Agent, mount: FaultMount) -> None:
    configure(agent, mount.path, workers=1, **SHORT_TIMEOUTS)
    agent.start()
    mount.slow(16 * 1024)
    content = os.urandom(4 * MIB)
    (agent.source / "large.mxf").write_bytes(content)
    agent.wait_until(lambda: reason(agent) == "hung")
    (agent.home / "healthy-source" / "other.mxf").write_bytes(b"other")
    agent.wait_for("other.mxf", "Completed")
    mount.slow(None)
    done = agent.wait_for("large.mxf", "Completed")
    assert done["retry_count"] == 0
    assert (mount.backing / "large.mxf").read_bytes() == content
    assert agent.stop(5) == 0
