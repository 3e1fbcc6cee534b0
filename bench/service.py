"""The real program as a service, with visitors of its page, while files come in."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.ground import Ground
from tests.system.agents import Agent

SETTLE_S = 2.0  # for the last news


@contextmanager
def running(ground: Ground, **route: object) -> Iterator[Agent]:
    """Started on an empty source; at the end stopped. What was in the source waits for `move_in`."""
    ground.source.rename(ground.near.path / "incoming")
    ground.source.mkdir()
    agent = Agent(ground.home)
    places = {"source": str(ground.source), "destination": str(ground.destination)}
    agent.configure(**places, stable="1s", scan="10s", probe="5s", **route)
    try:
        agent.start()
        yield agent
        agent.stop()
    finally:
        agent.clean_up()


def move_in(ground: Ground) -> None:
    """Everything into the source, each file as a whole."""
    incoming = ground.near.path / "incoming"
    for path in list(incoming.iterdir()):
        path.rename(ground.source / path.name)
    incoming.rmdir()


def all_gone(ground: Ground) -> bool:
    with os.scandir(ground.source) as items:
        return next(items, None) is None


@contextmanager
def visited(url: str, count: int) -> Iterator[dict[str, Any]]:
    """They watch during the block; what they have seen (`bench.visitors`) is filled in at its end."""
    seen: dict[str, Any] = {"lags_s": [], "longest_pause_s": 0.0, "closed": 0}
    if count == 0:
        yield seen
        return
    command = [sys.executable, "-m", "bench.visitors", url, str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdin is not None
            assert process.stdout.readline() == "ready\n"
            yield seen
            time.sleep(SETTLE_S)
            process.stdin.close()
            seen |= json.loads(process.stdout.read())
        finally:
            process.kill()
