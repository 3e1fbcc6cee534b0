"""The report: Markdown on standard output."""

import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

Figures = dict[str, float]  # results of a measurement, by the names that goals use


def emit(text: str = "") -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def progress(text: str) -> None:
    """Progress on standard error, not part of the report."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    emit(f"| {' | '.join(head)} |")
    emit("|" + "---|" * len(head))
    for row in rows:
        emit(f"| {' | '.join(row)} |")
    emit()


def spread(values: Sequence[float], unit: str = "s") -> str:
    """The median, with the smallest and the largest value."""
    median = f"{statistics.median(values):.2f} {unit}".rstrip()
    return median if len(values) == 1 else f"{median} ({min(values):.2f} to {max(values):.2f})"


def ratios(some: Sequence[float], others: Sequence[float]) -> list[float]:
    """The ratio for each round."""
    return [mine / theirs for mine, theirs in zip(some, others, strict=True)]


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def machine(*programs: Sequence[str]) -> None:
    """Print the machine; `programs` are commands whose first line of output is their version."""
    memory_kib = int(_field(Path("/proc/meminfo").read_text(), "MemTotal").split()[0])
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    emit(
        f"Machine: {os.cpu_count()} processors ({_field(Path('/proc/cpuinfo').read_text(), 'model name')}), "
        f"{memory_kib / (1 << 20):.0f} GiB, load {load} at the start; Linux {platform.release()}, "
        f"Python {platform.python_version()}."
    )
    for command in programs:
        version = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        emit(f"{version.splitlines()[0]}.")
    emit()


def load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


def _field(text: str, name: str) -> str:
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "?"
