"""docs/safety.md names the tests that hold each promise; the tests that it names exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "safety.md").read_text()


def test_each_promise_names_its_tests() -> None:
    rows = {
        line.split("|")[1].strip(): line for line in DOCUMENT.splitlines() if re.match(r"\| S\d+ \|", line)
    }
    assert list(rows) == [f"S{number}" for number in range(1, 11)]
    assert [promise for promise, row in rows.items() if "`tests/" not in row] == []


def test_the_named_tests_exist() -> None:
    paths = re.findall(r"`(tests/[^`]+)`", DOCUMENT)
    assert [path for path in paths if not (ROOT / path).exists()] == []
