"""Another process that holds a partial lock, as a killed worker does that has not exited yet."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

HOLDER = """
import sys
from agent.worker.destinations.partial_locks import PartialLocks
with PartialLocks(sys.argv[1]).locked(*sys.argv[2:]):
    print(flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process_holds(path: str, root: str, partial: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Hold the lock until the block ends or the process is killed."""
    command = [sys.executable, "-c", HOLDER, path, root, partial]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        yield process
        process.communicate()
