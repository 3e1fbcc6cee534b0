"""A standard stream that the parent has closed never becomes somebody else's file."""

import subprocess
import sys
from pathlib import Path

import pytest

OPENED = """
import os, sys
from agent.cli.standard_streams import open_missing
open_missing()
found = [os.fstat(number).st_rdev == os.stat(os.devnull).st_rdev for number in range(3)]
print("lost")
print("lost", file=sys.stderr)
with open(sys.argv[1], "w") as file:
    file.write(f"{found} {file.fileno() > 2} {all(map(os.get_inheritable, range(3)))}")
"""


@pytest.mark.parametrize("closed", [(0, 1, 2), (0,), (1,), (2,)])
def test_a_closed_standard_stream_is_opened_on_dev_null(closed: tuple[int, ...], tmp_path: Path) -> None:
    said = tmp_path / "said"
    with (tmp_path / "terminal").open("w+") as terminal:
        redirected = " ".join(f"{number}>&-" for number in closed)
        command = ["sh", "-c", f'exec "$@" {redirected}', "sh", sys.executable, "-c", OPENED, str(said)]
        subprocess.run(command, stdin=terminal, stdout=terminal, stderr=terminal, check=True)
        terminal.seek(0)
        assert terminal.read().count("lost") == 2 - len({1, 2} & set(closed))
    assert said.read_text() == f"{[number in closed for number in range(3)]} True True"
