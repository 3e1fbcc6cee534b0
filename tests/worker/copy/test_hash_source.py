"""A source is hashed as it is, or not at all."""

import os
from pathlib import Path

import pytest
import xxhash

from agent.fs import platform
from agent.model.errors import Fault, FaultKind
from agent.model.verification import BLOCK_BYTES
from agent.worker.copy.hash_source import hash_source
from agent.worker.source.source_file import signature_of

CONTENT = b"a" * BLOCK_BYTES + b"tail"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    (tmp_path / "clip.mxf").write_bytes(CONTENT)
    return tmp_path / "clip.mxf"


def test_a_source_is_hashed_as_a_whole_with_a_sign_of_life_for_each_block(clip: Path) -> None:
    beats: list[None] = []
    signature = signature_of(clip.stat())
    digest = hash_source(str(clip.parent), "clip.mxf", signature, lambda: beats.append(None))
    assert digest == xxhash.xxh3_128_digest(CONTENT)
    assert len(beats) == 2


def test_a_source_that_changes_while_it_is_hashed_has_no_hash(clip: Path) -> None:
    def grow() -> None:
        with clip.open("ab") as file:
            file.write(b"more")

    with pytest.raises(Fault) as fault:
        hash_source(str(clip.parent), "clip.mxf", signature_of(clip.stat()), grow)
    assert fault.value.kind is FaultKind.SOURCE_CHANGED


@pytest.mark.parametrize("is_network", [True, False])
def test_on_a_share_the_source_is_read_past_the_cache(
    clip: Path, monkeypatch: pytest.MonkeyPatch, *, is_network: bool
) -> None:
    dropped: list[int] = []
    monkeypatch.setattr(platform, "is_network", lambda _fd: is_network)
    monkeypatch.setattr(platform, "drop_cache", lambda _fd, _start, length: dropped.append(length))
    hash_source(str(clip.parent), "clip.mxf", signature_of(clip.stat()), lambda: None)
    assert dropped == [len(CONTENT)] * is_network


def test_a_share_that_fails_is_an_outage(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_fd: int) -> bool:
        raise OSError(116, os.strerror(116))

    monkeypatch.setattr(platform, "is_network", fails)
    with pytest.raises(Fault) as fault:
        hash_source(str(clip.parent), "clip.mxf", signature_of(clip.stat()), lambda: None)
    assert fault.value.kind is FaultKind.SOURCE_OUTAGE
