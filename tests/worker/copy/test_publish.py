"""How a verified partial gets its name, without replacing anything, and after a stop at any point."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from agent.fs import platform, safe_open
from agent.model.errors import Fault, FaultKind
from agent.model.transfer import BLOCK_BYTES, DIGEST_BYTES
from agent.protocol.replies import (
    BlockPatched,
    Checkpoint,
    Copied,
    Copying,
    Published,
    TrustedBlocks,
)
from agent.protocol.requests import CopyFile, PublishFiles
from agent.worker.copy.copy_file import copy_file
from agent.worker.destinations.base import Destination
from tests.worker.copy.faulty import FaultyDestination, Script
from tests.worker.copy.folders import PARTIAL, Ground, nothing_left_over, publish

CONTENT = b"".join(bytes([number]) * BLOCK_BYTES for number in range(2)) + b"tail"
OTHER = b"x" + CONTENT[1:]


def ignore(_: object) -> None:
    pass


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    with nothing_left_over():
        yield


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    ground = Ground.below(tmp_path)
    (ground.source / "clip.mxf").write_bytes(CONTENT)
    return ground


@pytest.fixture
def destination(ground: Ground) -> Iterator[Destination]:
    with ground.destination() as destination:
        yield destination


def copied(request: CopyFile, destination: Destination) -> Copied:
    answer = copy_file(request, destination, ignore)
    assert isinstance(answer, Copied)
    return answer


# Publishing


@pytest.fixture
def sealed(ground: Ground, destination: Destination) -> PublishFiles:
    """The request to publish a verified partial."""
    copied(ground.copy(), destination)
    return ground.publish(CONTENT)


def test_a_verified_partial_gets_its_name(
    ground: Ground, destination: Destination, sealed: PublishFiles
) -> None:
    assert publish(sealed, destination) == Published("clip.mxf", already_present=False)
    assert ground.arrived() == {"clip.mxf": CONTENT}


def test_a_taken_name_makes_way_for_the_first_free_one(
    ground: Ground, destination: Destination, sealed: PublishFiles
) -> None:
    (ground.nas / "clip.mxf").write_bytes(OTHER)
    (ground.nas / "clip_1.mxf").symlink_to("nowhere")
    (ground.nas / "clip_2.mxf").mkdir()
    (ground.nas / "clip_3.mxf").write_bytes(CONTENT + b"more")
    assert publish(sealed, destination) == Published("clip_4.mxf", already_present=False)
    assert ground.arrived() == {"clip.mxf": OTHER, "clip_3.mxf": CONTENT + b"more", "clip_4.mxf": CONTENT}
    assert (ground.nas / "clip_1.mxf").readlink() == Path("nowhere")


def test_a_route_that_refuses_conflicts_keeps_the_partial(
    ground: Ground, destination: Destination, sealed: PublishFiles
) -> None:
    (ground.nas / "clip.mxf").write_bytes(OTHER)
    with pytest.raises(Fault) as fault:
        publish(evolve(sealed, conflict="fail"), destination)
    assert fault.value.kind is FaultKind.CONFLICT
    assert ground.arrived() == {"clip.mxf": OTHER, PARTIAL: CONTENT}


def test_the_same_content_under_the_name_is_left_as_it_is_and_counts(
    ground: Ground, destination: Destination, sealed: PublishFiles
) -> None:
    (ground.nas / "clip.mxf").write_bytes(CONTENT)
    before = (ground.nas / "clip.mxf").stat()
    heartbeats: list[None] = []
    published = publish(sealed, destination, lambda: heartbeats.append(None))
    assert published == Published("clip.mxf", already_present=True, level=published.level)
    assert published.level in ("read_back", "read_back_cached")
    after = (ground.nas / "clip.mxf").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert ground.arrived() == {"clip.mxf": CONTENT}
    assert len(heartbeats) >= 3, "one for each block that was read back"


def test_what_somebody_else_put_there_is_made_durable_before_it_counts(
    ground: Ground, destination: Destination, sealed: PublishFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(platform, "sync_file", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    (ground.nas / "clip.mxf").write_bytes(CONTENT)
    for deliver in (
        lambda: publish(sealed, destination),
        lambda: copy_file(ground.copy(), destination, ignore),
    ):
        synced.clear()
        deliver()
        assert synced[:2] == [str(ground.nas / "clip.mxf"), str(ground.nas)]


def test_a_partial_that_is_not_needed_goes_only_after_the_name_is_durable(
    ground: Ground, destination: Destination, sealed: PublishFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    had_partial: list[bool] = []
    monkeypatch.setattr(
        safe_open, "sync_folder", lambda _: had_partial.append((ground.nas / PARTIAL).exists())
    )
    (ground.nas / "clip.mxf").write_bytes(CONTENT)
    publish(sealed, destination)
    assert had_partial == [True, False]


def test_publishing_may_be_repeated(ground: Ground, destination: Destination, sealed: PublishFiles) -> None:
    (ground.nas / "clip.mxf").write_bytes(OTHER)
    publish(sealed, destination)
    again = publish(sealed, destination)
    assert (again.name, again.already_present) == ("clip_1.mxf", True)
    assert ground.arrived() == {"clip.mxf": OTHER, "clip_1.mxf": CONTENT}


def test_publishing_that_was_stopped_between_link_and_unlink_is_completed(
    ground: Ground, destination: Destination, sealed: PublishFiles
) -> None:
    (ground.nas / "clip.mxf").hardlink_to(ground.nas / PARTIAL)
    assert publish(sealed, destination).name == "clip.mxf"
    assert ground.arrived() == {"clip.mxf": CONTENT}


def test_a_partial_that_vanished_is_corrupt_and_nothing_is_published(
    ground: Ground, destination: Destination, sealed: PublishFiles
) -> None:
    (ground.nas / PARTIAL).unlink()
    with pytest.raises(Fault) as fault:
        publish(sealed, destination)
    assert fault.value.kind is FaultKind.CORRUPT
    assert ground.arrived() == {}


# Stopped anywhere


def _deliver(ground: Ground, destination: Destination, known: list[bytes]) -> Published:
    """One attempt; `known` is what the journal would hold, before and after."""

    def report(event: Copying | Checkpoint | BlockPatched | TrustedBlocks) -> None:
        if isinstance(event, Checkpoint):
            known[event.first_block :] = [
                event.digests[at : at + DIGEST_BYTES] for at in range(0, len(event.digests), DIGEST_BYTES)
            ]

    answer = copy_file(ground.copy(digests=tuple(known)), destination, report)
    assert isinstance(answer, Copied)
    return answer.published or publish(ground.publish(CONTENT), destination)


def test_a_delivery_that_stops_at_any_operation_shows_no_half_file_and_ends_well_the_next_time(
    ground: Ground, destination: Destination
) -> None:
    smooth = Script()
    _deliver(ground, FaultyDestination(destination, smooth), [])
    assert len(smooth.operations) > 15
    for stop_at in range(len(smooth.operations)):
        (ground.nas / "clip.mxf").unlink()
        known: list[bytes] = []
        with pytest.raises(Fault, match="No space left"):
            _deliver(ground, FaultyDestination(destination, Script(stop_at=stop_at)), known)
        assert ground.arrived().get("clip.mxf", CONTENT) == CONTENT
        _deliver(ground, destination, known)
        assert ground.arrived() == {"clip.mxf": CONTENT}
