import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from tests.mounts.mounts import FaultMount
from tests.system.agents import Agent

A = TypeVar("A", bound=Agent)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    with prepared(Agent(tmp_path)) as agent:
        yield agent


@contextmanager
def prepared(agent: A, **route: object) -> Iterator[A]:
    """Configure an agent and create its folders; it is not started. Its process ends with the block."""
    for folder in (agent.nas, agent.source):
        folder.mkdir()
    agent.configure(**route)
    try:
        yield agent
    finally:
        agent.clean_up()


@pytest.fixture
def mount(agent: Agent) -> Iterator[FaultMount]:
    with FaultMount.at(agent.home / "mount", agent.home / "backing") as mounted:
        yield mounted


def required(program: str) -> str:
    """The path of a program that a test requires; in CI its absence is a failure, not a skip."""
    path = shutil.which(program)
    if path is None and not os.environ.get("CI"):
        pytest.skip(f"{program} is not installed")
    assert path is not None, f"{program} is not installed: .ci/run must install it"
    return path
