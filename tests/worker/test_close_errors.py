"""A close of a source that fails says nothing about what was read, and nothing about the destination."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.fs.publisher import Publisher
from agent.fs.syscalls import closing_fd
from agent.protocol.replies import Copied, SourceRemoved
from agent.protocol.requests import CopySmallFiles
from agent.worker.copy.batch import copy_small_files
from agent.worker.copy.copy_file import copy_file
from agent.worker.copy.hash_source import hash_source
from agent.worker.copy.io_side import IoSideTracker
from agent.worker.source.remove import remove_sources
from agent.worker.source.scan import Unreadable, list_files
from agent.worker.source.source_folder import prepare
from tests.worker.copy.folders import Ground, nothing_left_over


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    """Every close in the source fails, but the descriptor is closed, as Linux does it."""
    ground = Ground.below(tmp_path)
    (ground.source / "clip.mxf").write_bytes(b"content")
    close = os.close

    def failing(descriptor: int) -> None:
        is_source = os.readlink(f"/proc/self/fd/{descriptor}").startswith(str(ground.source))
        close(descriptor)
        if is_source:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with nothing_left_over(), monkeypatch.context() as patched:
        patched.setattr(os, "close", failing)
        yield ground


def test_a_file_is_copied(ground: Ground) -> None:
    with ground.destination() as destination:
        assert isinstance(copy_file(ground.copy(), destination, lambda _: None), Copied)


def test_small_files_are_copied(ground: Ground) -> None:
    request = CopySmallFiles((ground.copy(),))
    with ground.destination() as destination:
        [copied] = copy_small_files(request, destination, lambda: None, IoSideTracker())
    assert isinstance(copied, Copied)


def test_a_file_is_hashed(ground: Ground) -> None:
    assert hash_source(str(ground.source), "clip.mxf", ground.signature(), lambda: None)


def test_a_source_is_listed(ground: Ground) -> None:
    prepare(str(ground.source))
    unreadable: Unreadable = []
    assert [file.path for file in list_files(ground.folder, unreadable, [])] == ["clip.mxf"]
    assert unreadable == []


def test_a_source_is_removed(ground: Ground) -> None:
    [removed] = remove_sources(ground.remove("clip.mxf"), Publisher(), lambda: None)
    assert removed == SourceRemoved(None)


def test_a_descriptor_that_is_not_open_is_a_bug() -> None:
    descriptor = os.open("/", os.O_RDONLY)
    with pytest.raises(OSError, match="Bad file descriptor"), closing_fd(descriptor):
        os.close(descriptor)
