"""The table of all victims, at the end of a test run and from all its processes."""

from collections.abc import Iterable, Iterator

import pytest
from attrs import define

from tests.crash.kills import Manner

PROPERTY, CUT = "victim", "power cut"


@define
class Row:
    killed: dict[str, int]
    survived: int = 0
    most_twice_bytes: int = 0


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
    victims = [value for name, value in entries if name == PROPERTY]
    if victims:
        terminalreporter.section("crash matrix")
        for line in (*lines("variant", 0, victims), "", *lines("moment", 1, victims)):
            terminalreporter.write_line(line)


def lines(title: str, column: int, victims: Iterable[list[object]]) -> Iterator[str]:
    """Victims are [variant, moment, manner, whether all promises were kept, bytes copied twice]."""
    manners = [manner.value for manner in Manner]
    rows: dict[str, Row] = {}
    for victim in victims:
        *_, manner, is_kept, twice_bytes = victim
        for name in (str(victim[column]), "all"):
            row = rows.setdefault(name, Row(dict.fromkeys(manners, 0)))
            row.killed[str(manner)] += 1
            row.survived += bool(is_kept)
            row.most_twice_bytes = max(row.most_twice_bytes, int(str(twice_bytes)))
    heads = [*(f"{manner} killed" for manner in manners), "victims", "survived", "most bytes copied twice"]
    yield f"{title:24}" + "".join(f"{head:>{len(head) + 2}}" for head in heads)
    for name in sorted(rows, key=lambda name: (name == "all", name)):
        row = rows[name]
        figures = [*row.killed.values(), sum(row.killed.values()), row.survived, row.most_twice_bytes]
        yield f"{name:24}" + "".join(
            f"{figure:>{len(head) + 2},}" for figure, head in zip(figures, heads, strict=True)
        )


def cut_lines(cuts: Iterable[list[object]]) -> Iterator[str]:
    """Cuts are [scenario, whether all promises were kept, bytes copied twice, whether a journal was lost]."""
    rows: dict[str, list[int]] = {}
    for scenario, is_kept, twice_bytes, is_renewed in cuts:
        for name in (str(scenario), "all"):
            cut, survived, most, renewed = rows.get(name, [0, 0, 0, 0])
            rows[name] = [
                cut + 1,
                survived + bool(is_kept),
                max(most, int(str(twice_bytes))),
                renewed + bool(is_renewed),
            ]
    heads = ["power cuts", "survived", "most bytes copied twice", "journals lost"]
    yield f"{'scenario':24}" + "".join(f"{head:>{len(head) + 2}}" for head in heads)
    for name in sorted(rows, key=lambda name: (name == "all", name)):
        yield f"{name:24}" + "".join(
            f"{figure:>{len(head) + 2},}" for figure, head in zip(rows[name], heads, strict=True)
        )
