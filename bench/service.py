"""The agent as a service, with page clients, while files arrive."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.disk_pair import DiskPair
from bench.transfer_agent import configured
from tests.system.agents import Agent

LAST_UPDATES_S = 2.0  # time for the last updates


@contextmanager
def running(disks: DiskPair, **route: object) -> Iterator[Agent]:
    """The agent, started on an empty source and stopped at the end; `move_in` brings the files back."""
    disks.source.rename(disks.near.path / "incoming")
    disks.source.mkdir()
    agent = configured(disks, stable="1s", **route)
    try:
        agent.start()
        yield agent
        agent.stop()
    finally:
        agent.clean_up()


def move_in(disks: DiskPair) -> None:
    """Rename all files into the source."""
    incoming = disks.near.path / "incoming"
    for path in list(incoming.iterdir()):
        path.rename(disks.source / path.name)
    incoming.rmdir()


def all_gone(disks: DiskPair) -> bool:
    with os.scandir(disks.source) as items:
        return next(items, None) is None


@contextmanager
def watched_by(url: str, count: int) -> Iterator[dict[str, Any]]:
    """Clients watch during the block; their figures (`bench.page_clients`) are filled in at its end."""
    seen: dict[str, Any] = {"lags_s": [], "longest_pause_s": 0.0, "closed": 0}
    if count == 0:
        yield seen
        return
    command = [sys.executable, "-m", "bench.page_clients", url, str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdin is not None
            assert process.stdout.readline() == "ready\n"
            yield seen
            time.sleep(LAST_UPDATES_S)
            process.stdin.close()
            seen |= json.loads(process.stdout.read())
        finally:
            process.kill()
