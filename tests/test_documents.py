"""The documents point to files and functions that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "docs/design.md", "docs/limits.md", "docs/safety.md")
POINTER = re.compile(r"`((?:agent|web|tests|docs|bench|deploy)/[\w/.*-]+)(?::(\w+))?`")


def pointers(document: str) -> list[tuple[str, str]]:
    """Each path that the document names, and the function or class after its colon."""
    return POINTER.findall((ROOT / document).read_text())


@pytest.mark.parametrize("document", DOCUMENTS)
def test_each_path_exists(document: str) -> None:
    paths = {path for path, _ in pointers(document)}
    assert {path for path in paths if not any(ROOT.glob(path.rstrip("/")))} == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_each_function_and_class_is_defined_in_its_file(document: str) -> None:
    named = {(path, name) for path, name in pointers(document) if name}
    missing = {
        (path, name)
        for path, name in named
        if not re.search(rf"^ *(async )?(def|class) {name}\b", (ROOT / path).read_text(), re.MULTILINE)
    }
    assert missing == set()


def test_the_way_of_one_file_names_a_function_at_each_step() -> None:
    text = (ROOT / "docs" / "design.md").read_text()
    way = text[text.index("## The way of one file") : text.index("A small file takes")]
    steps = re.split(r"^\d+\. ", way, flags=re.MULTILINE)[1:]
    assert len(steps) == 10
    assert [step[:30] for step in steps if not POINTER.search(step)] == []
