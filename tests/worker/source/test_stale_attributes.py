"""A share whose client goes on showing what it has seen of a file, while another machine writes to it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen

from agent.fs.publisher import Publisher
from agent.model.errors import Fault, FaultKind
from agent.model.source_file import Signature
from agent.protocol.replies import SourceRemoved
from agent.protocol.requests import RemoveSources, SourceFolder, SourceToRemove
from agent.worker.source import source_file
from agent.worker.source.remove import remove_sources
from agent.worker.source.scan import examine
from agent.worker.source.source_file import signature_of
from tests.mounts.mounts import FaultMount

NAME = "clip.mxf"


@frozen
class Share:
    """One file of a share: as our client sees it, and as the server has it."""

    root: Path
    backing: Path

    @property
    def known(self) -> Signature:
        """What the client's cache says."""
        return signature_of((self.root / NAME).lstat())

    def append_at_the_server(self) -> None:
        with (self.backing / NAME).open("ab") as file:
            file.write(b"more")


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Share]:
    with FaultMount.at(tmp_path / "share", tmp_path / "backing", caches_attributes=True):
        (tmp_path / "backing" / NAME).write_bytes(b"content")
        yield Share(tmp_path / "share", tmp_path / "backing")


def test_the_cache_of_this_client_is_stale(share: Share) -> None:
    before = share.known
    share.append_at_the_server()
    assert share.known == before


@pytest.mark.parametrize("closely", [frozenset({NAME}), frozenset[str]()])
def test_a_look_sees_what_another_machine_has_written(share: Share, closely: frozenset[str]) -> None:
    before = share.known
    share.append_at_the_server()
    [entry] = examine(SourceFolder(str(share.root), (), ()), (NAME,), closely, [])
    assert entry.signature.size_bytes == before.size_bytes + len(b"more")


def test_a_source_that_another_machine_appends_to_while_it_is_open_has_changed(share: Share) -> None:
    before = share.known
    descriptor = source_file.open_source(str(share.root), NAME, before)
    share.append_at_the_server()
    with pytest.raises(Fault) as fault:
        source_file.check_unchanged(str(share.root), NAME, descriptor, before)
    os.close(descriptor)
    assert fault.value.kind is FaultKind.SOURCE_CHANGED


def test_a_delivered_source_that_another_machine_has_appended_to_is_kept(share: Share) -> None:
    before = share.known
    share.append_at_the_server()
    request = RemoveSources(
        str(share.root), "delete", None, (SourceToRemove(NAME, before, f".{NAME}.removing"),)
    )
    [result] = remove_sources(request, Publisher(), lambda: None)
    assert isinstance(result, SourceRemoved)
    assert result.kept_because is not None
    assert (share.backing / NAME).read_bytes() == b"contentmore"
