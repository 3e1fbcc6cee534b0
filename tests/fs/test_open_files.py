"""The limit of open files is raised as far as the system allows."""

import resource
import subprocess
import sys

import pytest

from agent.fs.open_files import MOST

RAISED = """
import resource, sys
from agent.fs.open_files import raise_limit
resource.setrlimit(resource.RLIMIT_NOFILE, tuple(map(int, sys.argv[1:])))
print(raise_limit(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""
_, HARD = resource.getrlimit(resource.RLIMIT_NOFILE)


@pytest.mark.parametrize(
    ("soft", "hard", "expected"), [(64, 128, 128), (100, 100, 100), (64, HARD, min(HARD, MOST))]
)
def test_the_soft_limit_becomes_the_hard_one(soft: int, hard: int, expected: int) -> None:
    command = [sys.executable, "-c", RAISED, str(soft), str(hard)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(expected)] * 2
