import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.agents import Agent


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """An agent that is configured but not started; its folders exist."""
    made = Agent(tmp_path)
    made.nas.mkdir()
    made.source.mkdir()
    made.configure()
    yield made
    made.end()


def needed(program: str) -> str:
    """The path of a program that a test cannot do without; in CI its absence is a failure, not a skip."""
    path = shutil.which(program)
    if path is None and not os.environ.get("CI"):
        pytest.skip(f"{program} is not installed")
    assert path is not None, f"{program} is not installed: .ci/run must install it"
    return path
