"""Faults, kills and outages in the middle of a recording that is copied while it grows."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from attrs import define, field

from agent.simulate.profiles import PROFILES
from tests.mounts.mounts import FaultMount
from tests.system.agents import MIB, Agent
from tests.system.writers import GROWING, Writers, copied, has_arrived_in_part, quick, wait_for_all

SOME = ("mxf-op1a", "mov", "gstreamer-matroska", "wav", "ts", "patch-every", "times-while-writing")
STABLE_S = 0.5
SHORT = GROWING | {"stable": f"{STABLE_S}s", "stable_closed": "300ms"}


@contextmanager
def recordings(agent: Agent) -> Iterator[Writers]:
    """Several recordings at once; all of them are being copied while they grow."""
    agent.start()
    runs = [quick(PROFILES[name]) for name in SOME]

    def is_followed(path: str) -> bool:
        return has_arrived_in_part(agent, path)

    with Writers.at_work(agent.source, runs, is_followed) as writers:
        agent.wait_until(lambda: len(writers.seen) == len(SOME) and all(map(is_followed, writers.seen)))
        yield writers


def check_all_are_at_the_source(agent: Agent, writers: Writers) -> None:
    assert {path.name for path in agent.source.iterdir()} == writers.seen
    assert agent.events("delivered") == []


def test_kill_9_in_the_middle_of_recordings_costs_no_byte_of_them(agent: Agent) -> None:
    agent.configure(**GROWING)
    with recordings(agent) as writers:
        agent.kill()
        check_all_are_at_the_source(agent, writers)
        agent.start()
        expected = writers.finish()
        wait_for_all(agent, expected)
    assert list(agent.source.iterdir()) == []
    assert agent.partials() == []
    assert any(copied(agent, path)["resumed_bytes"] for path in expected)


def test_kill_9_again_and_again_costs_no_byte_of_a_recording(agent: Agent) -> None:
    agent.configure(**SHORT)
    with recordings(agent) as writers:
        for _ in range(3):
            agent.kill()
            check_all_are_at_the_source(agent, writers)
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
        check_all_are_at_the_source(agent, writers)
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
            check_all_are_at_the_source(agent, writers)
            share.clear()
            wait_for_all(agent, writers.finish())
        assert agent.events("failed") == []
        assert agent.partials() == []
        agent.stop()


# One recorder at a time


@define(eq=False)
class Recorder:
    """Writes a recording on command, and holds it open until `close`."""

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

    def reopen(self) -> None:
        self._file = os.open(self.path, os.O_RDWR)

    def allocate(self, size_bytes: int) -> None:
        os.posix_fallocate(self._file, 0, size_bytes)
        self.content += bytes(size_bytes)

    def hand_over(self) -> "subprocess.Popen[bytes]":
        """Keep the file open in another process only, which ends with its standard input."""
        command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[self._file])
        self.close()
        return holder


def has_arrived(agent: Agent, recorder: Recorder) -> None:
    """It is delivered under its own name as the only file, and removed from the source."""
    agent.wait_until(lambda: not recorder.path.exists())
    agent.wait_until(lambda: {path.name for path in agent.nas.iterdir()} == {recorder.path.name})
    assert (agent.nas / recorder.path.name).read_bytes() == bytes(recorder.content)


def check_untouched(agent: Agent, recorder: Recorder) -> None:
    """For three times `stable` after the agent has found the file open: it is not removed or published."""
    name = recorder.path.name
    agent.wait_until(lambda: "holds it open" in str(agent.get(f"/api/explain?path={name}")))
    until_s = time.monotonic() + 3 * STABLE_S
    while time.monotonic() < until_s:
        assert recorder.path.read_bytes() == bytes(recorder.content)
        assert {path.suffix for path in agent.nas.iterdir()} == {".partial"}
        assert agent.events("copied") == []


@pytest.mark.parametrize("elsewhere", [False, True], ids=["by the recorder", "by another process"])
def test_a_silent_recorder_whose_file_is_held_open_keeps_it(agent: Agent, elsewhere: bool) -> None:
    agent.configure(**SHORT)
    agent.start()
    with Recorder.on(agent.source / "live.ts") as recorder:
        recorder.write_until_followed(agent)
        recorder.write(10 * MIB)
        recorder.rewrite(5, b"head")
        holder = recorder.hand_over() if elsewhere else None
        check_untouched(agent, recorder)
        recorder.close()
        if holder is not None:
            holder.communicate()
        has_arrived(agent, recorder)


@pytest.mark.parametrize("suffix", [".part", ".writing"], ids=["excluded", "wanted"])
def test_a_recording_renamed_at_its_close_arrives_under_its_last_name_alone(
    agent: Agent, suffix: str
) -> None:
    agent.configure(**SHORT)
    agent.start()
    with Recorder.on(agent.source / f"live.mxf{suffix}") as recorder:
        if suffix == ".part":
            recorder.write(20 * MIB)
        else:
            recorder.write_until_followed(agent)
        recorder.close()
        recorder.path = recorder.path.rename(agent.source / "live.mxf")
        has_arrived(agent, recorder)


@pytest.mark.parametrize("goes_on", [False, True], ids=["which ends", "which goes on unseen"])
def test_a_recording_that_is_replaced_gives_way_to_what_has_its_name(agent: Agent, goes_on: bool) -> None:
    """The first recording has no name any more; later writes to it are ignored."""
    agent.configure(**SHORT)
    agent.start()
    with Recorder.on(agent.source / "live.ts") as first, Recorder.on(agent.home / "other") as second:
        first.write_until_followed(agent)
        second.write(12 * MIB)
        second.close()
        second.path = second.path.rename(agent.source / "live.ts")
        if goes_on:
            first.write_until(agent, lambda: bool(agent.events("delivered")))
        first.close()
        has_arrived(agent, second)


def test_a_recording_that_is_cut_and_goes_on_arrives_as_it_ends(agent: Agent) -> None:
    agent.configure(**SHORT)
    agent.start()
    with Recorder.on(agent.source / "live.ts") as recorder:
        recorder.write_until_followed(agent)
        recorder.truncate(3 * MIB + 5)
        recorder.write(30 * MIB)
        recorder.truncate(25 * MIB)
        recorder.write_until_followed(agent)
        recorder.close()
        has_arrived(agent, recorder)


def test_an_upload_that_is_cut_off_and_resumed_arrives_as_it_ends(agent: Agent) -> None:
    """It is closed for less than `stable`, without a visible writer."""
    agent.configure(**GROWING)
    agent.start()
    with Recorder.on(agent.source / "live.ts") as recorder:
        recorder.write_until_followed(agent)
        recorder.close()
        recorder.reopen()
        recorder.write(9 * MIB + 1)
        recorder.rewrite(MIB, b"once more")
        recorder.close()
        has_arrived(agent, recorder)
    assert copied(agent, "live.ts")["resumed_bytes"] > 0


def test_a_file_that_has_its_full_size_first_is_copied_when_it_is_full(agent: Agent) -> None:
    agent.configure(**SHORT)
    agent.start()
    with Recorder.on(agent.source / "live.ts") as recorder:
        recorder.allocate(30 * MIB)
        for offset in (20, 0, 10):
            recorder.rewrite(offset * MIB, os.urandom(10 * MIB))
            agent.wait_until(lambda: agent.file("live.ts") is not None)
            assert list(agent.nas.iterdir()) == []
        recorder.close()
        has_arrived(agent, recorder)


def test_a_partial_that_somebody_removes_while_it_is_followed_is_made_again(agent: Agent) -> None:
    """Blocks verified in the removed partial are copied again."""
    agent.configure(**GROWING | {"stable": "1s"})
    agent.start()
    with Recorder.on(agent.source / "live.ts") as recorder:
        recorder.write_until_followed(agent)
        [partial] = agent.partials()
        recorder.write(10 * MIB)
        agent.wait_until(lambda: partial.stat().st_size >= len(recorder.content) - 9 * MIB)
        partial.unlink()
        recorder.close()
        has_arrived(agent, recorder)
