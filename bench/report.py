"""What a measurement says: Markdown on standard output."""

import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

Figures = dict[str, float]  # what a measurement has seen, by the names that goals use


def say(text: str = "") -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """How far it has come: not part of the report."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    say(f"| {' | '.join(head)} |")
    say("|" + "---|" * len(head))
    for row in rows:
        say(f"| {' | '.join(row)} |")
    say()


def spread(values: Sequence[float], unit: str = "s") -> str:
    """The median, and the smallest and largest beside it."""
    median = f"{statistics.median(values):.2f} {unit}".rstrip()
    return median if len(values) == 1 else f"{median} ({min(values):.2f} to {max(values):.2f})"


def ratios(some: Sequence[float], others: Sequence[float]) -> list[float]:
    """Round by round, how many times the other."""
    return [mine / theirs for mine, theirs in zip(some, others, strict=True)]


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def machine(*programs: Sequence[str]) -> None:
    """What it ran on; `programs`: commands whose first line of output is their version."""
    memory_kib = int(_field(Path("/proc/meminfo").read_text(), "MemTotal").split()[0])
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    say(
        f"Machine: {os.cpu_count()} processors ({_field(Path('/proc/cpuinfo').read_text(), 'model name')}), "
        f"{memory_kib / (1 << 20):.0f} GiB, load {load} when it began; Linux {platform.release()}, "
        f"Python {platform.python_version()}."
    )
    for command in programs:
        version = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        say(f"{version.splitlines()[0]}.")
    say()


def load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


def _field(text: str, name: str) -> str:
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "?"
