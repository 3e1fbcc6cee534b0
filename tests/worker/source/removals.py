"""A source with one delivered file, and a request to remove it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.fs import platform
from agent.fs.publisher import Publisher
from agent.model.errors import Fault
from agent.model.source_file import Signature
from agent.protocol.replies import SourceRemoved
from agent.protocol.requests import AfterMode, RemoveSources, SourceToRemove
from agent.worker.source.remove import remove_sources
from agent.worker.source.source_file import signature_of

PATH = "day 1/clip.mxf"
PRIVATE = "day 1/.clip.mxf.0123456789abcdef.removing"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "source" / "day 1").mkdir(parents=True)
    return tmp_path / "source"


@pytest.fixture
def clip(root: Path) -> Path:
    (root / PATH).write_bytes(b"content")
    return root / PATH


def removed(
    root: Path,
    expected: Signature,
    after: AfterMode = "delete",
    archive: Path | None = None,
    *,
    is_renamed: bool = False,
) -> SourceRemoved:
    """Remove the clip. Raises: Fault."""
    file = SourceToRemove(PATH, expected, PRIVATE, is_renamed)
    used = str(archive) if after == "archive" else None
    [result] = remove_sources(RemoveSources(str(root), after, used, (file,)), Publisher(), lambda: None)
    if isinstance(result, Fault):
        raise result
    return result


def remove_source(
    root: str, path: str, expected: Signature, after: AfterMode, archive: str | None
) -> str | None:
    """None when the source is gone, else why it was kept. Raises: Fault."""
    assert path == PATH
    return removed(Path(root), expected, after, Path(archive) if archive else None).kept_because


def signature_now(clip: Path) -> Signature:
    return signature_of(clip.stat())


def contents(folder: Path) -> dict[str, bytes]:
    """Every file in this folder, with its content."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refusing(number: int) -> Callable[..., None]:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


def across_folders(number: int) -> Callable[[str, int, str, int], None]:
    """A move that fails from one folder to another."""
    move = platform.move_exclusively

    def moved(source_name: str, source_fd: int, target_name: str, target_fd: int) -> None:
        if source_fd != target_fd:
            raise OSError(number, os.strerror(number))
        move(source_name, source_fd, target_name, target_fd)

    return moved
