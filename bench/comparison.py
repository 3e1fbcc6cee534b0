"""Moves a workload with each of the subjects by turns, round after round, and compares their times."""

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from attrs import frozen

from bench.disk_pair import DiskPair
from bench.other_tools import CP, OTHER_TOOLS, RCLONE_SAFE, RSYNC_SAFE
from bench.report import Figures, emit, load, progress, ratios, spread, table
from bench.requirements import program, require
from bench.rounds import Rounds
from bench.subjects import RunTime, Subject
from bench.transfer_agent import AGENT_SUBJECTS, HASH_SUBJECT, READ_BACK_SUBJECT, TIMES
from bench.workload import Workload, digests, names

ALL = (*OTHER_TOOLS, *AGENT_SUBJECTS)
LARGE = (*OTHER_TOOLS, HASH_SUBJECT, READ_BACK_SUBJECT)  # more workers do not help with a single file
JUDGED = (CP, RSYNC_SAFE, RCLONE_SAFE, HASH_SUBJECT, READ_BACK_SUBJECT)  # the subjects that the goals name
Times = dict[str, list[RunTime]]


@frozen
class Comparison:
    """A workload, the subjects that move it, and the disks. All are compared with the first subject.

    `arrival`: the folder below the destination in which the files arrive.
    """

    workload: Workload
    subjects: Sequence[Subject] = ALL
    disks: Callable[[int], AbstractContextManager[DiskPair]] = DiskPair.of
    arrival: Path = Path()

    @property
    def first(self) -> Subject:
        return self.subjects[0]

    @property
    def safe_tools(self) -> list[Subject]:
        return [subject for subject in self.subjects if subject.is_as_safe and not subject.is_ours]

    @property
    def head(self) -> list[str]:
        first, safe = self.first.short, [safe_of(tool.short) for tool in self.safe_tools]
        return ["subject", "took", f"of {first}", "net", net_of(first), *safe, "verified", "synced"]


def net_of(tool: str) -> str:
    """The column that compares the agent's net times with the times of a tool."""
    return f"net, of {tool}"


def safe_of(tool: str) -> str:
    """The column that compares equally safe subjects: the agent's net times with the times of a tool."""
    return f"of {tool} as safe"


def move(comparison: Comparison, rounds: Rounds) -> Figures:
    """Print the times of each subject; returns the medians of the agent's ratios, by column.

    Raises:
        CannotMeasure: a program or the space is missing.
        AssertionError: a file has not arrived.
    """
    require("cp", "sync", "find")
    for name in {name for subject in comparison.subjects for name in subject.needs}:
        program(name)
    workload, began_s = comparison.workload, time.monotonic()
    with comparison.disks(workload.disk_bytes) as disks:
        took = _measure(disks, comparison, rounds)
        link_note = disks.link_note()
    turns = len(took[comparison.first.name])
    megabytes = f"{workload.total_bytes / 1e6:,.0f} MB"
    emit(f"## {workload.name}: {workload.count} files, {megabytes}, rounds: {turns}\n")
    table(comparison.head, [_row(comparison, subject, took) for subject in comparison.subjects])
    emit(f"{link_note}{TIMES} Took {time.monotonic() - began_s:.0f} s; load at its end {load()}.\n")
    return {
        f"{subject.name}: {column}": statistics.median(shares)
        for subject in comparison.subjects
        if subject.is_ours
        for column, shares in _compared(comparison, subject, took).items()
    }


def _measure(disks: DiskPair, comparison: Comparison, rounds: Rounds) -> Times:
    """All rounds; contents are compared in the first."""
    comparison.workload.write(disks.originals)
    expected = digests(disks.originals)
    took: Times = {subject.name: [] for subject in comparison.subjects}
    for number in rounds:
        for subject in comparison.subjects:
            run_time = _once(disks, comparison, subject, expected, compare_content=number == 0)
            took[subject.name].append(run_time)
            progress(f"{comparison.workload.name}, round {number + 1}: {subject.name}: {run_time.s:.2f} s")
    return took


def _once(
    disks: DiskPair,
    comparison: Comparison,
    subject: Subject,
    expected: dict[str, str],
    *,
    compare_content: bool,
) -> RunTime:
    disks.prepare()
    sizes = names(disks.source)
    took = subject.move(disks)
    arrival = disks.destination / comparison.arrival
    assert names(arrival) == sizes, f"{subject.name}: some files have not arrived"
    assert not any(disks.source.iterdir()), f"{subject.name}: some files are still in the source"
    if compare_content:
        disks.far.drop_cache()
        with disks.far.without_limit():
            assert digests(arrival) == expected, f"{subject.name}: some files have arrived altered"
    return took


def _row(comparison: Comparison, subject: Subject, took: Times) -> list[str]:
    compared = {column: spread(shares, "") for column, shares in _compared(comparison, subject, took).items()}
    net = [each.net_s for each in took[subject.name] if each.net_s is not None]
    cells = {
        "subject": subject.name,
        "took": spread([each.s for each in took[subject.name]]),
        "net": spread(net) if net else "",
        "verified": subject.verified,
        "synced": subject.synced,
    } | compared
    return [cells.get(column, "") for column in comparison.head]


def _compared(comparison: Comparison, subject: Subject, took: Times) -> dict[str, list[float]]:
    """By column: the ratio to the time of a tool, for each round."""
    mine, first = took[subject.name], [each.s for each in took[comparison.first.name]]
    found = {f"of {comparison.first.short}": ratios([each.s for each in mine], first)}
    if subject.is_ours:
        found[net_of(comparison.first.short)] = ratios([each.best_s for each in mine], first)
    if subject.is_as_safe:
        for tool in comparison.safe_tools:
            theirs = [each.s for each in took[tool.name]]
            found[safe_of(tool.short)] = ratios([each.best_s for each in mine], theirs)
    return found
