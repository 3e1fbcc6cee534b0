"""What happens to a recording that is copied while it grows when something goes wrong in the middle of it."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from attrs import define, field

from agent.simulate.manners import MANNERS
from tests.mounts.mounts import FaultMount
from tests.system.agents import Agent
from tests.system.writers import GROWING, Writers, copied, has_arrived_in_part, quick, sha256, wait_for_all

SOME = ("mxf-op1a", "mov", "gstreamer-matroska", "wav", "ts", "patch-every", "times-while-writing")
SHORT = GROWING | {"stable": "500ms"}
MIB = 1 << 20


@contextmanager
def recordings(agent: Agent) -> Iterator[Writers]:
    """Several at once, all of them followed from the middle on at the latest."""
    agent.start()
    runs = [quick(MANNERS[name]) for name in SOME]

    def is_followed(path: str) -> bool:
        return has_arrived_in_part(agent, path)

    with Writers.at_work(agent.source, runs, is_followed) as writers:
        agent.wait_until(lambda: len(writers.seen) == len(SOME) and all(map(is_followed, writers.seen)))
        yield writers


def check_all_stand_at_the_source(agent: Agent, writers: Writers) -> None:
    assert {path.name for path in agent.source.iterdir()} == writers.seen
    assert agent.events("delivered") == []


def test_kill_9_in_the_middle_of_recordings_costs_no_byte_of_them(agent: Agent) -> None:
    agent.configure(**GROWING)
    with recordings(agent) as writers:
        agent.signal(signal.SIGKILL)
        agent.wait()
        check_all_stand_at_the_source(agent, writers)
        agent.start()
        expected = writers.finish()
        wait_for_all(agent, expected)
    assert list(agent.source.iterdir()) == []
    assert agent.partials() == []
    assert all(copied(agent, path)["resumed_bytes"] for path in expected)


def test_kill_9_again_and_again_costs_no_byte_of_a_recording(agent: Agent) -> None:
    agent.configure(**SHORT)
    with recordings(agent) as writers:
        for _ in range(3):
            agent.signal(signal.SIGKILL)
            agent.wait()
            check_all_stand_at_the_source(agent, writers)
            agent.start()
            agent.wait_until(lambda: bool(agent.get("/api/files")["files"]))
        wait_for_all(agent, writers.finish())
    assert agent.partials() == []


def test_a_destination_that_is_gone_in_the_middle_of_recordings_costs_no_byte_of_them(agent: Agent) -> None:
    agent.configure(**GROWING | {"max_attempts": 1})
    away = agent.home / "away"
    with recordings(agent) as writers:
        agent.nas.rename(away)
        agent.wait_until(lambda: bool(agent.events("outage")))
        check_all_stand_at_the_source(agent, writers)
        away.rename(agent.nas)
        wait_for_all(agent, writers.finish())
    assert agent.events("failed") == []
    assert agent.partials() == []


def test_a_destination_that_fails_in_the_middle_of_recordings_costs_no_byte_of_them(agent: Agent) -> None:
    with FaultMount.at(agent.nas, agent.home / "backing") as share:
        agent.configure(**GROWING | {"max_attempts": 1})
        with recordings(agent) as writers:
            share.error("write", "fsync", "create", errno=errno.EIO)
            agent.wait_until(lambda: bool(agent.events("outage")))
            check_all_stand_at_the_source(agent, writers)
            share.clear()
            wait_for_all(agent, writers.finish())
        assert agent.events("failed") == []
        assert agent.partials() == []
        agent.stop()


# One recorder at a time


@define(eq=False)
class Recorder:
    """A process that writes what it is told to, and holds its file open until it is told to close it."""

    path: Path
    content: bytearray = field(factory=bytearray, init=False)
    _file: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT)

    @classmethod
    @contextmanager
    def on(cls, path: Path) -> Iterator["Recorder"]:
        recorder = cls(path)
        try:
            yield recorder
        finally:
            recorder.close()

    def write(self, size_bytes: int) -> None:
        data = os.urandom(size_bytes)
        os.pwrite(self._file, data, len(self.content))
        self.content += data

    def write_until(self, agent: Agent, holds: Callable[[], bool]) -> None:
        def wrote() -> bool:
            self.write(MIB)
            return holds()

        agent.wait_until(wrote)

    def write_until_followed(self, agent: Agent) -> None:
        self.write_until(agent, lambda: has_arrived_in_part(agent, self.path.name))

    def rewrite(self, offset: int, data: bytes) -> None:
        os.pwrite(self._file, data, offset)
        self.content[offset : offset + len(data)] = data

    def truncate(self, size_bytes: int) -> None:
        os.ftruncate(self._file, size_bytes)
        del self.content[size_bytes:]

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def hand_over(self) -> "subprocess.Popen[bytes]":
        """The file stays open in another process alone, which writes nothing and ends with its standard input."""
        command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[self._file])
        self.close()
        return holder


def has_arrived(agent: Agent, recorder: Recorder) -> None:
    """Under its own name, alone at the destination, and gone from the source."""
    agent.wait_until(lambda: not recorder.path.exists())
    agent.wait_until(lambda: {path.name for path in agent.nas.iterdir()} == {recorder.path.name})
    assert (agent.nas / recorder.path.name).read_bytes() == bytes(recorder.content)


def is_held_open(agent: Agent, name: str) -> Callable[[], bool]:
    return lambda: "holds it open" in str(agent.get(f"/api/explain?path={name}"))


def is_still_for_long(agent: Agent, name: str) -> None:
    """Seen unchanged and held open for three times `stable`, by as many looks as that takes."""
    agent.wait_until(is_held_open(agent, name))
    began = agent.scans()
    agent.wait_until(lambda: agent.scans() >= began + 8)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["by the recorder", "by another process"])
def test_a_silent_recorder_whose_file_is_held_open_keeps_it(agent: Agent, elsewhere: bool) -> None:
    agent.configure(**SHORT | {"stable_closed": "300ms"})
    agent.start()
    with Recorder.on(agent.source / "live.ts") as recorder:
        recorder.write_until_followed(agent)
        recorder.write(10 * MIB)
        recorder.rewrite(5, b"head")
        holder = recorder.hand_over() if elsewhere else None
        is_still_for_long(agent, "live.ts")
        assert sha256(recorder.path) == sha256_of(recorder.content)
        assert {path.suffix for path in agent.nas.iterdir()} == {".partial"}
        assert agent.events("copied") == []
        recorder.close()
        if holder is not None:
            holder.communicate()
        has_arrived(agent, recorder)
