"""Many small files on a source far away: each call to it takes its time, whoever makes it."""

import shutil
import tempfile
import time
from functools import partial
from pathlib import Path

from bench.disk_pair import Disk
from bench.process_usage import until
from bench.report import Figures, emit, load, progress, spread, table
from bench.requirements import require
from bench.rounds import Rounds
from bench.subjects import output_of
from bench.workload import Workload, digests
from tests.mounts.mounts import FaultMount
from tests.system.agents import Agent

LATENCY_S = 0.025
LOOP_SHARE = 50  # the plain loop moves one file of so many: each takes as long as any other
STABLE = "1s"
TROUBLE = ("attempt failed", "interrupted", "outage", "source cannot be read", "failed")


def far_source(workload: Workload, rounds: Rounds) -> Figures:
    """Move the workload with the agent, and a part of it with `cp`, `sync` and `rm`, file after file.

    Raises:
        AssertionError: a file is lost, altered, or still in the source.
    """
    require("mkfs.ext4", "losetup", "mount", "fusermount3")
    agent_s: list[float] = []
    loop_s: list[float] = []  # of one file
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        with (
            Disk.at(folder, "near", 2 * workload.disk_bytes + (512 << 20)) as disk,
            FaultMount.at(folder / "far", disk.path / "far") as mount,
        ):
            for number in rounds:
                originals = disk.path / f"originals-{number}"
                workload.write(originals)
                loop_s.append(_loop(originals, disk.path / f"looped-{number}", mount))
                agent_s.append(_agent(originals, disk.path / f"home-{number}", mount))
                progress(f"{workload.name}: {agent_s[-1]:.0f} s; the loop: {loop_s[-1]:.3f} s for each file")
    latency = f"{LATENCY_S * 1000:.0f} ms for each call to the source"
    emit(f"## {workload.name}: {workload.count:,} files, {latency}\n")
    rows = [
        ("transfer-agent, read_back, 2 workers, all files", spread(agent_s)),
        (
            "cp, sync, rm, one file after another, all files",
            spread([each * workload.count for each in loop_s]),
        ),
        ("the same, one file", spread(loop_s)),
    ]
    table(("subject", "took"), rows)
    emit(f"The loop was timed with {max(2, workload.count // LOOP_SHARE)} files. Load at the end {load()}.\n")
    return {}


def _fill(originals: Path, mount: FaultMount) -> None:
    for original in originals.iterdir():
        shutil.copyfile(original, mount.backing / original.name)


def _loop(originals: Path, destination: Path, mount: FaultMount) -> float:
    """Seconds for each file."""
    _fill(originals, mount)
    destination.mkdir()
    names = sorted(each.name for each in originals.iterdir())
    names = names[: max(2, len(names) // LOOP_SHARE)]
    mount.latency(LATENCY_S)
    began_s = time.monotonic()
    for name in names:
        output_of("cp", str(mount.path / name), str(destination / name))
        output_of("sync", str(destination / name), str(destination))
        output_of("rm", str(mount.path / name))
    took_s = time.monotonic() - began_s
    mount.latency(0.0)
    for left in mount.backing.iterdir():
        left.unlink()
    return took_s / len(names)


def _agent(originals: Path, home: Path, mount: FaultMount) -> float:
    """Seconds from the start of the service until the last file has left the source."""
    _fill(originals, mount)
    (home / "nas").mkdir(parents=True)
    agent = Agent(home)
    agent.configure(source=str(mount.path), stable=STABLE, scan="10s", probe="5s", retry_delay="10s")
    mount.latency(LATENCY_S)
    began_s = time.monotonic()
    try:
        agent.start()
        until(partial(_is_empty, mount.backing))
        took_s = time.monotonic() - began_s
        mount.latency(0.0)
        agent.stop()
    finally:
        agent.clean_up()
    assert digests(home / "nas") == digests(originals), "a file is missing or altered"
    for event in TROUBLE:
        if found := agent.events(event):
            emit(f"The log says `{event}` {len(found)} times.")
    return took_s


def _is_empty(folder: Path) -> bool:
    return next(folder.iterdir(), None) is None
