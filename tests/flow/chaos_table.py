"""The table of all chaos runs, printed at the end of a test session from all its processes."""

from collections import Counter

import pytest

PROPERTY = "chaos"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    passed, failed = (terminalreporter.getreports(outcome) for outcome in ("passed", "failed"))
    outcomes = [value for report in passed for name, value in report.user_properties if name == PROPERTY]
    failed_seeds = sum(1 for report in failed if "test_chaos.py" in report.nodeid)
    if not outcomes:
        return
    happened: Counter[str] = Counter()
    for outcome in outcomes:
        happened.update(outcome["happened"])
    terminalreporter.section("chaos")
    for line in (*_columns(sorted(happened.items())), "", *_figures(outcomes, failed_seeds)):
        terminalreporter.write_line(line)


def _columns(counts: list[tuple[str, int]], columns: int = 4) -> list[str]:
    cells = [f"{name:22}{count:>6,}" for name, count in counts]
    return ["   ".join(cells[at : at + columns]) for at in range(0, len(cells), columns)]


def _figures(outcomes: list[dict[str, int]], failed_seeds: int) -> list[str]:
    written, again = (sum(outcome[f"{name}_bytes"] for outcome in outcomes) for name in ("written", "again"))
    return [
        f"seeds survived: {len(outcomes)} of {len(outcomes) + failed_seeds}",
        f"bytes written: {written:,}, of these copied twice or not delivered: {again:,}",
    ]
