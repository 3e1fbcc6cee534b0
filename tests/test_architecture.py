"""The rules of docs/design.md that import-linter cannot check, checked by reading the code."""

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

import pytest
from attrs import frozen

ROOT = Path(__file__).parents[1]
ACTORS = ROOT / "agent" / "actors"
# Beside each actor.py these wait and touch the world through messages; every other file is pure.
AWAITING = {
    "copier_pool/task.py",
    "copier_pool/transfer.py",
    "copier_pool/follow.py",
    "copier_pool/abort.py",
    "copier_pool/recovery.py",
    "copier_pool/worker_client.py",
}
PACKAGES = ("agent", "web")
FUNCTION_LINES_AT_MOST = 60
REASON = re.compile(r"# noqa: [A-Z]+[0-9]+(, [A-Z]+[0-9]+)*  \S")

# What may be used only in these places (a file, or a folder with all below it), and why.
ONLY_IN = {
    "open_nursery": {  # runtime, generation, a pool and a recovery per destination, jobs; one per page client
        "agent/runtime/supervisor.py",
        "agent/runtime/generations.py",
        "agent/actors/copier_pool/actor.py",
        "agent/actors/copier_pool/recovery.py",
        "agent/actors/upload_manager/actor.py",
        "agent/cli/live_view.py",
        "web/live.py",
    },
    "open_memory_channel": {
        "agent/runtime/channels.py",
        "agent/control/service.py",
    },  # all wiring is readable
    "open_process": {"agent/worker_pool.py"},
    "Thread": {"agent/log.py", "agent/worker/server.py", "agent/worker/copy/threads.py"},
    "ThreadPoolExecutor": {"agent/worker/for_each.py", "agent/worker/destinations/s3/partial.py"},
    "to_thread": {
        "agent/journal/client.py",
        "agent/runtime/runtime.py",
        "agent/runtime/supervisor.py",
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
        "agent/actors/copier_pool/recovery.py",
        "agent/actors/upload_manager/actor.py",
        "agent/cli/live_view.py",
        "web/live.py",
    },
}


@frozen
class Source:
    """A file of agent/ or web/, parsed once for all tests. `path` is relative to the root."""

    path: Path
    lines: list[str]
    nodes: list[ast.AST]
    used: set[str]
    imported: set[str]

    @classmethod
    def read(cls, path: Path) -> Self:
        text = path.read_text()
        nodes = list(ast.walk(ast.parse(text)))
        return cls(path.relative_to(ROOT), text.splitlines(), nodes, set(names(nodes)), set(imports(nodes)))

    @property
    def places(self) -> set[str]:
        """The file and each folder that it is in."""
        return {str(self.path), *map(str, self.path.parents)}

    @property
    def packages(self) -> set[str]:
        return {module.partition(".")[0] for module in self.imported}


@pytest.fixture(scope="module")
def sources() -> list[Source]:
    found = [Source.read(path) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    assert {source.path.parts[0] for source in found} == set(PACKAGES)
    return found


def names(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id


def imports(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_each_tool_is_used_only_in_its_places(sources: list[Source]) -> None:
    violations = [
        (str(source.path), name)
        for source in sources
        for name, allowed in ONLY_IN.items()
        if name in source.used and not source.places & allowed
    ]
    assert violations == []


def test_every_allowed_place_needs_its_permission(sources: list[Source]) -> None:
    """A list that allows more than is used hides the next violation."""
    unused = [
        (name, place)
        for name, allowed in ONLY_IN.items()
        for place in allowed
        if not any(place in source.places and name in source.used for source in sources)
    ]
    assert unused == []


def test_the_model_and_the_storage_side_know_no_loop_and_the_model_no_clock(
    sources: list[Source],
) -> None:
    loops = {"trio", "asyncio", "quart", "hypercorn"}
    forbidden = {"agent/model": {*loops, "time"}, "agent/fs": loops, "agent/worker": loops}
    violations = [
        (str(source.path), package)
        for source in sources
        for place, packages in forbidden.items()
        if place in source.places
        for package in source.packages & packages
    ]
    assert violations == []
    assert all(any(place in source.places for source in sources) for place in forbidden)


def test_only_workers_start_processes_and_the_simulator_its_ffmpeg(sources: list[Source]) -> None:
    starting = {"subprocess", "multiprocessing", "pty"}
    found = {
        str(source.path)
        for source in sources
        if source.packages & starting or "ProcessPoolExecutor" in source.used
    }
    assert found <= {"agent/worker_pool.py", "agent/simulate/ffmpeg.py"}


def test_whatever_catches_every_exception_raises_again_logs_it_or_says_why_not(sources: list[Source]) -> None:
    silent = [
        f"{source.path}:{node.lineno}"
        for source in sources
        for node in source.nodes
        if isinstance(node, ast.ExceptHandler)
        and catches_all(node)
        and not passes_on(node)
        and not REASON.search(source.lines[node.lineno - 1])
    ]
    assert silent == []


def catches_all(handler: ast.ExceptHandler) -> bool:
    caught = handler.type
    return caught is None or (isinstance(caught, ast.Name) and caught.id in ("Exception", "BaseException"))


def passes_on(handler: ast.ExceptHandler) -> bool:
    nodes = list(ast.walk(handler))
    return any(isinstance(node, ast.Raise) for node in nodes) or "exception" in names(nodes)


def test_functions_stay_short(sources: list[Source]) -> None:
    long = [
        f"{source.path}:{node.lineno} {node.name}"
        for source in sources
        for node in source.nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES_AT_MOST
    ]
    assert long == []


def test_every_file_of_an_actor_waits_or_is_held_pure() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    contracted = [set(each["source_modules"]) for each in contracts if each["name"].startswith("pure files")]
    [counted] = re.findall("^PURE := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    files = [path.relative_to(ACTORS) for path in ACTORS.rglob("*.py") if path.name != "__init__.py"]
    pure = {f"agent/actors/{path}" for path in files if path.name != "actor.py" and str(path) not in AWAITING}
    assert len(contracted) == 2
    for modules in contracted:
        assert {path for path in pure if path.removesuffix(".py").replace("/", ".") not in modules} == set()
    assert pure - set(counted.split(",")) == set()
    assert {path for path in AWAITING if not (ACTORS / path).exists()} == set()
