"""The main job, as a user sees it: files dropped into the source are delivered and removed from it (S10)."""

import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.agents import Agent
from tests.system.conftest import required

KINDS = ("mxf", "mov", "mp4", "wav", "txt", "xml")


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def a_recording(path: Path) -> None:
    """A real MXF OP1a, closed properly."""
    command = [required("ffmpeg"), "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=25", "-t", "2"]
    subprocess.run([*command, "-c:v", "mpeg2video", "-b:v", "8M", str(path)], check=True)


def assorted_files(folder: Path, count: int) -> None:
    """A tree of files of all sizes around the block size; the same for the same count."""
    rng = random.Random(count)
    for number in range(count):
        size_bytes = rng.choice([1, 17, 4096, 65_537, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
        path = (
            folder / f"day {number % 7}" / f"card{number % 3}" / f"C{number:04}.{KINDS[number % len(KINDS)]}"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(size_bytes))


def test_a_recording_and_a_tree_of_200_files_arrive_identical_and_leave_the_source(agent: Agent) -> None:
    agent.start()
    incoming = agent.home / "incoming"
    incoming.mkdir()
    a_recording(incoming / "A001.mxf")
    assorted_files(incoming, 200)
    expected = digests(incoming)
    for item in incoming.iterdir():
        item.rename(agent.source / item.name)
    agent.wait_until(lambda: len(agent.events("delivered")) == len(expected))
    assert digests(agent.nas) == expected
    assert digests(agent.source) == {}
    assert agent.partials() == []
    assert agent.stop() == 0


def test_odd_names_arrive_unchanged(agent: Agent) -> None:
    names = [
        b"new\nline.mxf",
        b"\xff\xfe not utf-8.mxf",
        b"-leading dash.mxf",
        "smile \U0001f3a5.mxf".encode(),
        "caf\u00e9.mxf".encode(),
        "cafe\u0301.mxf".encode(),
        b"in the .tmp middle.mxf",
        b"n" * 251 + b".mxf",
    ]
    for number, name in enumerate(names):
        Path(os.fsdecode(bytes(agent.source) + b"/" + name)).write_bytes(b"x" * (number + 1))
    agent.start()
    agent.wait_until(lambda: len(agent.events("delivered")) == len(names))
    arrived = {os.fsencode(path.name): path.stat().st_size for path in agent.nas.iterdir()}
    assert arrived == {name: number + 1 for number, name in enumerate(names)}


def test_links_out_loops_pipes_and_sockets_are_left_alone_and_hard_links_arrive(agent: Agent) -> None:
    outside = agent.home / "outside.mxf"
    outside.write_bytes(b"not ours")
    (agent.source / "link.mxf").symlink_to(outside)
    (agent.source / "loop").symlink_to(agent.source)
    os.mkfifo(agent.source / "pipe.mxf")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(agent.source / "socket.mxf"))
        (agent.source / "one.mxf").write_bytes(b"twice")
        (agent.source / "two.mxf").hardlink_to(agent.source / "one.mxf")
        agent.start()
        agent.wait_until(lambda: len(agent.events("delivered")) == 2)
    assert {path.name for path in agent.nas.iterdir()} == {"one.mxf", "two.mxf"}
    assert {path.name for path in agent.source.iterdir()} == {"link.mxf", "loop", "pipe.mxf", "socket.mxf"}
    assert outside.read_bytes() == b"not ours"


def test_a_taken_name_renames_other_content_and_equal_content_is_not_delivered_twice(agent: Agent) -> None:
    (agent.nas / "taken.mxf").write_bytes(b"existing")
    (agent.nas / "same.mxf").write_bytes(b"equal")
    inodes = {path.name: path.stat().st_ino for path in agent.nas.iterdir()}
    (agent.source / "taken.mxf").write_bytes(b"ours")
    (agent.source / "same.mxf").write_bytes(b"equal")
    agent.start()
    agent.wait_until(lambda: len(agent.events("delivered")) == 2)
    contents = {path.name: path.read_bytes() for path in agent.nas.iterdir()}
    assert contents == {"taken.mxf": b"existing", "taken_1.mxf": b"ours", "same.mxf": b"equal"}
    assert {name: (agent.nas / name).stat().st_ino for name in inodes} == inodes
    assert list(agent.source.iterdir()) == []


def test_a_recorder_that_pauses_longer_than_stable_keeps_its_file(agent: Agent) -> None:
    agent.configure(stable="300ms")
    agent.start()
    path = agent.source / "live.mxf"
    recorder = "import sys,time; f=open(sys.argv[1],'wb'); f.write(b'x'*5000); f.flush(); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", recorder, str(path)], stdin=subprocess.PIPE) as writer:
        agent.wait_until(lambda: "holds it open" in str(agent.get("/api/explain?path=live.mxf")))
        assert agent.get("/api/explain?path=live.mxf")["status"] in {"Discovered", "Growing"}
        assert path.exists()
        assert list(agent.nas.iterdir()) == []
        assert writer.stdin is not None
        writer.stdin.close()
    agent.wait_for("live.mxf", "Completed")
    assert (agent.nas / "live.mxf").read_bytes() == b"x" * 5000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_agent_stops_with_success(agent: Agent, number: signal.Signals) -> None:
    agent.start()
    agent.signal(number)
    assert agent.wait(5) == 0
