"""The tables of all kills and power cuts, printed at the end of a test session from all its processes."""

from collections.abc import Iterable, Iterator

import pytest
from attrs import define

from tests.crash.kills import KillTarget

PROPERTY, CUT = "kill", "power cut"


@define
class Row:
    killed: dict[str, int]
    survived: int = 0
    most_recopied_bytes: int = 0


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [
        report
        for outcome in ("passed", "failed", "xfailed")
        for report in terminalreporter.getreports(outcome)
    ]
    entries = [entry for report in reports for entry in report.user_properties]
    cuts = [value for name, value in entries if name == CUT]
    if cuts:
        terminalreporter.section("power cuts")
        for line in cut_lines(cuts):
            terminalreporter.write_line(line)
    kills = [value for name, value in entries if name == PROPERTY]
    if kills:
        terminalreporter.section("crash matrix")
        for line in (*lines("variant", 0, kills), "", *lines("moment", 1, kills)):
            terminalreporter.write_line(line)


def lines(title: str, column: int, kills: Iterable[list[object]]) -> Iterator[str]:
    """Kills are [variant, moment, target, whether all promises were kept, bytes copied twice]."""
    targets = [target.value for target in KillTarget]
    rows: dict[str, Row] = {}
    for kill in kills:
        *_, target, is_kept, recopied_bytes = kill
        for name in (str(kill[column]), "all"):
            row = rows.setdefault(name, Row(dict.fromkeys(targets, 0)))
            row.killed[str(target)] += 1
            row.survived += bool(is_kept)
            row.most_recopied_bytes = max(row.most_recopied_bytes, int(str(recopied_bytes)))
    heads = [*(f"{target} killed" for target in targets), "kills", "survived", "most bytes copied twice"]
    yield f"{title:24}" + "".join(f"{head:>{len(head) + 2}}" for head in heads)
    for name in sorted(rows, key=lambda name: (name == "all", name)):
        row = rows[name]
        figures = [*row.killed.values(), sum(row.killed.values()), row.survived, row.most_recopied_bytes]
        yield f"{name:24}" + "".join(
            f"{figure:>{len(head) + 2},}" for figure, head in zip(figures, heads, strict=True)
        )


def cut_lines(cuts: Iterable[list[object]]) -> Iterator[str]:
    """Cuts are [scenario, whether all promises were kept, bytes copied twice, whether a journal was lost]."""
    rows: dict[str, list[int]] = {}
    for scenario, is_kept, recopied_bytes, is_renewed in cuts:
        for name in (str(scenario), "all"):
            cut, survived, most, renewed = rows.get(name, [0, 0, 0, 0])
            rows[name] = [
                cut + 1,
                survived + bool(is_kept),
                max(most, int(str(recopied_bytes))),
                renewed + bool(is_renewed),
            ]
    heads = ["power cuts", "survived", "most bytes copied twice", "journals lost"]
    yield f"{'scenario':24}" + "".join(f"{head:>{len(head) + 2}}" for head in heads)
    for name in sorted(rows, key=lambda name: (name == "all", name)):
        yield f"{name:24}" + "".join(
            f"{figure:>{len(head) + 2},}" for figure, head in zip(rows[name], heads, strict=True)
        )
