"""The documents point to files, functions and headings that exist, and the design's tree names each file."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "docs/design.md", "docs/limits.md", "docs/safety.md")
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")),
)
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")
POINTER = re.compile(r"`((?:agent|web|tests|docs|bench|deploy)/[\w/.*-]+)(?::(\w+))?`")


def pointers(document: str) -> list[tuple[str, str]]:
    """Each path that the document names, and the function or class after its colon."""
    return POINTER.findall((ROOT / document).read_text())


def leads_somewhere(document: Path, target: str, anchor: str) -> bool:
    path = document.parent / target if target else document
    return path.exists() and (not anchor or anchor in anchors(path.read_text()))


def anchors(text: str) -> set[str]:
    """The headings of a document as the links to them are written."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def tree() -> dict[str, set[str]]:
    """The files that the tree in the design lists, by folder; empty where it only says what is in there."""
    text = (ROOT / "docs" / "design.md").read_text()
    start = text.index("```\nagent/") + len("```\n")
    path: list[str] = []
    contents: dict[str, str] = {}
    for line in text[start : text.index("```", start)].splitlines():
        name = re.match(r"( {0,6})([\w.]+/|\w+\.py)(?: |$)", line)
        if name is None:
            contents["".join(path)] += line
            continue
        path[len(name[1]) // 2 :] = [name[2]]
        contents["".join(path)] = line[name.end() :]
    lists = {each: text.rpartition(": ")[2].split("·") for each, text in contents.items() if " · " in text}
    return {each: {stem.strip() for stem in lists.get(each, ())} for each in contents}


def modules_in(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.py")} - {"__init__"}


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


@pytest.mark.parametrize("document", PAGES)
def test_each_link_leads_to_a_file_and_a_heading(document: str) -> None:
    links = [link for link in LINK.findall((ROOT / document).read_text()) if "://" not in link[0]]
    assert [link for link in links if not leads_somewhere(ROOT / document, *link)] == []


def test_the_tree_names_each_folder_and_nothing_else() -> None:
    folders = {path.parent for top in ("agent", "web") for path in (ROOT / top).rglob("*.py")}
    unlisted = {ROOT / "agent/simulate/containers", ROOT / "agent/journal/migrations/versions"}
    named = {ROOT / each for each in tree()}
    assert folders - unlisted - named == set()
    assert [each for each in named if not each.exists()] == []


def test_the_tree_lists_each_file() -> None:
    lists = {each: stems for each, stems in tree().items() if stems}
    assert len(lists) > 20
    assert lists == {each: modules_in(ROOT / each) for each in lists}


@pytest.mark.parametrize("actor", ["watcher", "stability_tracker", "copier_pool", "storage_monitor"])
def test_the_design_names_each_message(actor: str) -> None:
    text = (ROOT / "docs" / "design.md").read_text()
    messages = re.findall(
        r"^class (\w+)", (ROOT / "agent" / "messages" / f"{actor}.py").read_text(), re.MULTILINE
    )
    assert messages
    assert [name for name in messages if f"`{name}`" not in text] == []
