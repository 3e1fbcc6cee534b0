"""The house's rules of docs/design.md that import-linter cannot see, held by reading the code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(path.relative_to(ROOT) for room in ("agent", "web") for path in (ROOT / room).rglob("*.py"))
LINES_AT_MOST = 400
FUNCTION_LINES_AT_MOST = 60
REASON = re.compile(r"# noqa: [A-Z]+[0-9]+(, [A-Z]+[0-9]+)*  \S")

# What may be used only in these rooms (a file, or a folder with all below it), and why.
ONLY_IN = {
    "open_nursery": {  # household, generation, one pool per destination, the jobs; a visitor each
        "agent/runtime/supervisor.py",
        "agent/actors/copier_pool/actor.py",
        "agent/actors/upload_manager/actor.py",
        "agent/cli/live_view.py",
        "web/live.py",
    },
    "open_memory_channel": {
        "agent/runtime/generation.py",
        "agent/runtime/runtime.py",
        "agent/control/service.py",
    },  # all wiring is readable
    "open_process": {"agent/worker_pool.py"},
    "Thread": {"agent/log.py", "agent/worker/server.py", "agent/worker/copy/threads.py"},
    "ThreadPoolExecutor": {"agent/worker/copy/batch.py", "agent/worker/destinations/s3/partial.py"},
    "to_thread": {
        "agent/journal/client.py",
        "agent/runtime/runtime.py",
        "agent/control/service.py",
        "web/api.py",
        "web/message_cache.py",
    },
    "print": {"agent/cli"},
    "echo": {"agent/cli"},
    "unlink": {
        "agent/fs",
        "agent/worker",
        "agent/simulate/player.py",
    },  # nothing else removes a file; the simulator its own
    "rename": {"agent/fs", "agent/journal", "agent/simulate/player.py"},
    "start_soon": {
        "agent/runtime/supervisor.py",
        "agent/runtime/generation.py",
        "agent/actors/copier_pool/actor.py",
        "agent/actors/upload_manager/actor.py",
        "agent/cli/live_view.py",
        "web/live.py",
    },
}


def names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("file", FILES, ids=str)
def test_each_tool_is_used_only_in_its_room(file: Path) -> None:
    used = set(names(ast.parse((ROOT / file).read_text())))
    places = {str(file), *(str(folder) for folder in file.parents)}
    strays = sorted(name for name, rooms in ONLY_IN.items() if name in used and not places & rooms)
    assert strays == []


def test_every_allowed_room_needs_its_permission() -> None:
    """A list that allows more than is used hides the next stray."""
    for name, rooms in ONLY_IN.items():
        for room in rooms:
            files = [file for file in FILES if room in {str(file), *map(str, file.parents)}]
            assert any(name in names(ast.parse((ROOT / file).read_text())) for file in files), (name, room)


@pytest.mark.parametrize("room", ["agent/model", "agent/fs", "agent/worker"])
def test_rules_and_stores_know_no_event_loop(room: str) -> None:
    for file in FILES:
        if file.is_relative_to(room):
            known = {module.partition(".")[0] for module in imports(ast.parse((ROOT / file).read_text()))}
            assert not known & {"trio", "asyncio", "quart", "hypercorn"}, file


def test_only_workers_start_processes_and_the_simulator_its_ffmpeg() -> None:
    starting = {"subprocess", "multiprocessing", "ProcessPoolExecutor", "pty"}
    for file in FILES:
        tree = ast.parse((ROOT / file).read_text())
        known = {module.partition(".")[0] for module in imports(tree)}
        used = known | set(names(tree))
        assert not used & starting or str(file) in {
            "agent/worker_pool.py",
            "agent/simulate/ffmpeg.py",
        }, file


@pytest.mark.parametrize("file", FILES, ids=str)
def test_whatever_catches_every_exception_raises_again_logs_it_or_says_why_not(file: Path) -> None:
    text = (ROOT / file).read_text()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ExceptHandler) and catches_all(node):
            told = any(isinstance(each, ast.Raise) for each in ast.walk(node)) or "exception" in names(node)
            assert told or REASON.search(text.splitlines()[node.lineno - 1]), node.lineno


def catches_all(handler: ast.ExceptHandler) -> bool:
    caught = handler.type
    return caught is None or (isinstance(caught, ast.Name) and caught.id in ("Exception", "BaseException"))


def test_rules_ask_no_clock() -> None:
    for file in FILES:
        if file.is_relative_to("agent/model"):
            assert "time" not in set(imports(ast.parse((ROOT / file).read_text()))), file


@pytest.mark.parametrize("file", FILES, ids=str)
def test_files_and_functions_stay_small(file: Path) -> None:
    text = (ROOT / file).read_text()
    assert text.count("\n") <= LINES_AT_MOST
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < FUNCTION_LINES_AT_MOST, node.name
