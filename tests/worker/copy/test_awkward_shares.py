"""Shares that allow less than a local disk does: shorter names, no times of our choice."""

import errno
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest
from attrs import evolve

from agent.model.names import has_our_tag, partial_path
from agent.model.source_file import FileVersion
from agent.protocol.replies import Copied
from agent.worker.copy.copy_file import copy_file
from agent.worker.destinations.base import Destination
from tests.mounts.mounts import FaultMount
from tests.worker.copy.folders import PARTIAL, Ground, publish

ENCRYPTED_BYTES = 143  # NAME_MAX of eCryptfs, on which the NAS of several makers are built
IDENTITY = "0123456789abcdef0123456789abcdef"
CONTENT = b"content"


@pytest.fixture
def share(tmp_path: Path) -> Iterator[FaultMount]:
    with FaultMount.at(tmp_path / "nas", tmp_path / "backing") as mount:
        yield mount


@pytest.fixture
def ground(tmp_path: Path, share: FaultMount) -> Ground:
    (tmp_path / "source").mkdir()
    return Ground(tmp_path / "source", share.path)


@pytest.fixture
def destination(ground: Ground) -> Iterator[Destination]:
    with ground.destination() as destination:
        yield destination


def deliver(ground: Ground, destination: Destination, name: str) -> str:
    """The name that a source file of this name gets."""
    file = FileVersion("", "mxf", name, ground.signature(name), 0.0)
    partial = partial_path(IDENTITY, file, name, "take")
    assert has_our_tag(IDENTITY, partial)
    answer = copy_file(ground.copy(name, partial=partial), destination, lambda _: None)
    assert isinstance(answer, Copied)
    published = answer.published or publish(ground.publish(CONTENT, name, partial=partial), destination)
    return published.name


@pytest.mark.parametrize("length", [117, 118, 130, 142, 143])
@pytest.mark.parametrize("letter", ["n", "é"])
def test_every_name_that_an_encrypted_share_can_hold_is_delivered(
    ground: Ground, destination: Destination, share: FaultMount, length: int, letter: str
) -> None:
    stem_bytes = length - len(".mxf")
    name = letter * (stem_bytes // len(letter.encode())) + "n" * (stem_bytes % len(letter.encode())) + ".mxf"
    (ground.source / name).write_bytes(CONTENT)
    share.name_max(ENCRYPTED_BYTES)
    assert deliver(ground, destination, name) == name
    assert ground.arrived() == {name: CONTENT}


@pytest.mark.parametrize("length", [141, 142, 143])
def test_the_name_that_makes_way_is_no_longer_than_the_share_allows(
    ground: Ground, destination: Destination, share: FaultMount, length: int
) -> None:
    name = "n" * (length - len(".mxf")) + ".mxf"
    (ground.source / name).write_bytes(CONTENT)
    (ground.nas / name).write_bytes(b"another")
    share.name_max(ENCRYPTED_BYTES)
    other = deliver(ground, destination, name)
    assert other.endswith("n_1.mxf")
    assert len(other) <= ENCRYPTED_BYTES
    assert ground.arrived() == {name: b"another", other: CONTENT}
    assert deliver(ground, destination, name) == other, "the same content is found again under that name"


@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_is_delivered_where_its_time_cannot_be_set(
    ground: Ground, destination: Destination, share: FaultMount, number: int
) -> None:
    (ground.source / "clip.mxf").write_bytes(CONTENT)
    share.error("utimens", errno=number)
    answer = copy_file(ground.copy(), destination, lambda _: None)
    assert isinstance(answer, Copied)
    assert not answer.is_time_set
    share.clear()
    assert publish(ground.publish(CONTENT), destination).name == "clip.mxf"
    assert ground.arrived() == {"clip.mxf": CONTENT}


def test_what_a_share_that_is_mounted_again_numbers_anew_is_read_again_and_published(
    ground: Ground, share: FaultMount
) -> None:
    (ground.source / "clip.mxf").write_bytes(CONTENT)
    with ground.destination() as destination:
        answer = copy_file(ground.copy(), destination, lambda _: None)
    assert isinstance(answer, Copied)
    before = ground.nas.stat().st_dev
    with ExitStack() as others:
        for number in count():  # until one has taken the number of its device: others mount and unmount too
            share.unmount()
            elsewhere = ground.nas.with_name(f"elsewhere-{number}")
            others.enter_context(FaultMount.at(elsewhere, ground.nas.with_name(f"backing-{number}")))
            share.mount()
            if ground.nas.stat().st_dev != before:
                break
        [file] = ground.publish(CONTENT).files
        known = evolve(ground.publish(CONTENT), files=(evolve(file, file_identity=answer.file_identity),))
        with ground.destination() as destination:
            assert publish(known, destination).name == "clip.mxf"
    assert PARTIAL not in ground.arrived()
