"""The table of all victims, at the end of a test run and from all its processes."""

from collections.abc import Iterable, Iterator

import pytest
from attrs import define

from tests.crash.kills import Manner

PROPERTY = "victim"


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
    victims = [value for report in reports for name, value in report.user_properties if name == PROPERTY]
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
