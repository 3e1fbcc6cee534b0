"""Processor time and memory of a program and its workers, as the kernel counts them."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

PATIENCE_S = 3600.0
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def process_tree(pid: int) -> list[int]:
    """A process and its children."""
    return [pid, *(each for each in _all() if _stat(each)[1:2] == [str(pid)])]


def cpu_s(pids: list[int]) -> float:
    """Processor time used so far, user and system."""
    return sum((int(words[11]) + int(words[12])) * TICK_S for pid in pids if (words := _stat(pid)))


def exact_cpu_s(pid: int) -> float:
    """Processor time that a running process has used, to the nanosecond."""
    return time.clock_gettime((~pid << 3) | 2)  # CPUCLOCK_SCHED of this process, linux/posix-timers.h


def resident_bytes(pid: int) -> int:
    """Resident memory, shared libraries included; 0 if the process has ended."""
    return _memory_bytes(pid, "VmRSS:")


def peak_bytes(pid: int) -> int:
    """The peak of the resident memory."""
    return _memory_bytes(pid, "VmHWM:")


def _memory_bytes(pid: int, name: str) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) << 10
    return 0


def _all() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _stat(pid: int) -> list[str]:
    """The fields after the name, from the state on; empty if the process has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def until(holds: Callable[[], bool], *, every_s: float = 0.2) -> None:
    """Wait for the condition. Raises: AssertionError: not within `PATIENCE_S`."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline_s, "the condition never became true"
        time.sleep(every_s)
