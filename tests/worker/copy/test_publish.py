"""How a verified partial gets its name, without replacing anything, and after a stop at any point."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attrs import evolve

from agent.fs import platform, safe_open
from agent.fs.file_identity import IdentityMismatch
from agent.fs.publisher import PUBLISH_STRATEGIES, HeldPartial, Publisher
from agent.model.errors import Fault, FaultKind
from agent.model.storage import PublishStrategy
from agent.model.verification import BLOCK_BYTES, DIGEST_BYTES
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
from agent.worker.destinations.folder import FolderDestination
from tests.worker.copy.faulty import FaultyDestination, Script
from tests.worker.copy.folders import PARTIAL, Ground, digests_of, publish

CONTENT = b"".join(bytes([number]) * BLOCK_BYTES for number in range(2)) + b"tail"
OTHER = b"x" + CONTENT[1:]


def ignore(_: object) -> None:
    pass


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
    assert publish(sealed, destination) == ground.published("clip.mxf", already_present=False)
    assert ground.arrived() == {"clip.mxf": CONTENT}


def test_a_taken_name_makes_way_for_the_first_free_one(
    ground: Ground, destination: Destination, sealed: PublishFiles
) -> None:
    (ground.nas / "clip.mxf").write_bytes(OTHER)
    (ground.nas / "clip_1.mxf").symlink_to("nowhere")
    (ground.nas / "clip_2.mxf").mkdir()
    (ground.nas / "clip_3.mxf").write_bytes(CONTENT + b"more")
    assert publish(sealed, destination) == ground.published("clip_4.mxf", already_present=False)
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
    assert published == ground.published("clip.mxf", already_present=True, level=published.level)
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


def test_a_partial_that_is_gone_is_said_to_be_so_and_nothing_is_published(
    ground: Ground, destination: Destination, sealed: PublishFiles
) -> None:
    (ground.nas / PARTIAL).unlink()
    with pytest.raises(Fault) as fault:
        publish(sealed, destination)
    assert fault.value.kind is FaultKind.PARTIAL_GONE
    assert ground.arrived() == {}


# What is published is what was verified


def _rewritten(path: Path) -> None:
    path.write_bytes(OTHER)


def _replaced(path: Path) -> None:
    path.with_name("other").write_bytes(OTHER)
    path.with_name("other").rename(path)


def _hard_linked(path: Path) -> None:
    path.with_name("theirs").write_bytes(OTHER)
    path.unlink()
    path.hardlink_to(path.with_name("theirs"))


def _linked(path: Path) -> None:
    path.rename(path.with_name("verified"))
    path.symlink_to("verified")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (_rewritten, FaultKind.CORRUPT),
        (_replaced, FaultKind.DISPLACED),
        (_hard_linked, FaultKind.DISPLACED),
        (_linked, FaultKind.DISPLACED),
        (_folder, FaultKind.DISPLACED),
    ],
)
def test_what_is_not_what_was_verified_is_not_published_and_stays(
    ground: Ground,
    destination: Destination,
    sealed: PublishFiles,
    change: Callable[[Path], None],
    kind: FaultKind,
) -> None:
    change(ground.nas / PARTIAL)
    before = ground.identity(PARTIAL)
    with pytest.raises(Fault) as fault:
        publish(sealed, destination)
    assert fault.value.kind is kind
    assert not os.path.lexists(ground.nas / "clip.mxf")
    assert ground.identity(PARTIAL) == before


def _touched(path: Path) -> None:
    os.utime(path)


def _linked_elsewhere(path: Path) -> None:
    path.with_name("snapshot").hardlink_to(path)


def _copied_over(path: Path) -> None:
    path.unlink()
    path.write_bytes(CONTENT)


@pytest.mark.parametrize("change", [_touched, _linked_elsewhere, _copied_over])
def test_a_partial_with_another_identity_is_read_again_and_published_if_it_is_the_same(
    ground: Ground, destination: Destination, sealed: PublishFiles, change: Callable[[Path], None]
) -> None:
    change(ground.nas / PARTIAL)
    heartbeats: list[None] = []
    published = publish(sealed, destination, lambda: heartbeats.append(None))
    assert published == ground.published("clip.mxf", already_present=False)
    assert (ground.nas / "clip.mxf").read_bytes() == CONTENT
    assert len(heartbeats) > len(digests_of(CONTENT)), "one for each block that was read"


def test_a_partial_of_unknown_identity_is_read_again(
    ground: Ground, destination: Destination, sealed: PublishFiles
) -> None:
    """As after an update of the agent, and on a share that was mounted again under another device."""
    [file] = sealed.files
    number, rest = str(file.file_identity).split(" ", 1)
    for identity in (None, f"{int(number) + 1} {rest}"):
        request = evolve(sealed, files=(evolve(file, file_identity=identity),))
        assert publish(request, destination) == ground.published("clip.mxf", already_present=False)
        (ground.nas / "clip.mxf").rename(ground.nas / PARTIAL)


def test_a_verified_partial_is_not_read_again(destination: Destination, sealed: PublishFiles) -> None:
    heartbeats: list[None] = []
    publish(sealed, destination, lambda: heartbeats.append(None))
    assert len(heartbeats) == 2, "one for each step"


def test_a_file_system_that_never_tells_one_identity_twice_is_given_up(
    ground: Ground, destination: Destination, sealed: PublishFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HeldPartial, "opened", _never_the_same)
    with pytest.raises(Fault, match="all the time"):
        publish(sealed, destination)
    assert ground.arrived() == {PARTIAL: CONTENT}


def _never_the_same(*_: object) -> object:
    raise IdentityMismatch(is_other_file=False)


# A picker at the destination


@pytest.mark.parametrize("strategy", ["rename", "link", "placeholder"])
def test_a_file_that_is_taken_with_its_folder_as_soon_as_it_has_its_name_is_published(
    ground: Ground, strategy: PublishStrategy
) -> None:
    (ground.source / "day").mkdir()
    (ground.source / "clip.mxf").rename(ground.source / "day" / "clip.mxf")
    partial = f"day/{PARTIAL}"

    def picked(held: HeldPartial, target: str) -> None:
        dict(PUBLISH_STRATEGIES)[strategy](held, target)
        (ground.nas / "day" / "clip.mxf").unlink()
        (ground.nas / "day").rmdir()

    with FolderDestination.open(ground.place, Publisher([(strategy, picked)])) as destination:
        copied(ground.copy("day/clip.mxf", partial=partial), destination)
        published = publish(ground.publish(CONTENT, "day/clip.mxf", partial=partial), destination)
    assert (published.name, published.already_present) == ("day/clip.mxf", False)


def test_another_file_that_has_got_the_name_is_not_taken_for_the_published_one(ground: Ground) -> None:
    def swapped(held: HeldPartial, target: str) -> None:
        (ground.nas / PARTIAL).rename(ground.nas / "verified")
        (ground.nas / PARTIAL).write_bytes(OTHER)
        dict(PUBLISH_STRATEGIES)["rename"](held, target)

    with FolderDestination.open(ground.place, Publisher([("rename", swapped)])) as destination:
        copied(ground.copy(), destination)
        with pytest.raises(Fault) as fault:
            publish(ground.publish(CONTENT), destination)
    assert fault.value.kind is FaultKind.DISPLACED


def test_a_published_file_whose_file_system_renumbers_it_is_read_by_its_name(ground: Ground) -> None:
    def renumbered(_: HeldPartial, target: str) -> None:
        (ground.nas / PARTIAL).rename(ground.nas / "old number")
        (ground.nas / target).write_bytes(CONTENT)
        (ground.nas / PARTIAL).write_bytes(CONTENT)

    with FolderDestination.open(ground.place, Publisher([("link", renumbered)])) as destination:
        copied(ground.copy(), destination)
        published = publish(ground.publish(CONTENT), destination)
    assert published == ground.published("clip.mxf", already_present=False, level=published.level)
    assert published.level is not None
    assert PARTIAL not in ground.arrived()


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
        if PARTIAL not in ground.arrived():  # the agent begins again then
            known.clear()
        _deliver(ground, destination, known)
        assert ground.arrived() == {"clip.mxf": CONTENT}
