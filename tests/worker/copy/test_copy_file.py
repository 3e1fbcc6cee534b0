"""A file is copied into its partial and verified, unless its content is there already."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import xxhash
from attrs import evolve

from agent.fs import safe_open
from agent.model.errors import Fault, FaultKind, Side
from agent.model.verification import BLOCK_BYTES, VerifyLevel
from agent.protocol.replies import Copied
from agent.protocol.requests import CopyFile, VerifyMode
from agent.worker.copy import copy_file, pipeline
from agent.worker.copy.io_side import IoSideTracker
from agent.worker.destinations.base import Destination
from tests.worker.copy.folders import PARTIAL, Ground, digests_of, is_in_memory, publish

SHARED_MEMORY = "/dev/shm"  # noqa: S108  a tmpfs on every Linux
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
    answer = copy_file.copy_file(request, destination, ignore)
    assert isinstance(answer, Copied)
    return answer


# Copying


def test_a_copy_is_verified_in_the_requested_partial_and_nowhere_else(
    ground: Ground, destination: Destination
) -> None:
    answer = copied(ground.copy(), destination)
    assert answer == Copied(
        digest=xxhash.xxh3_128_digest(CONTENT),
        level=answer.level,
        read_bytes=len(CONTENT),
        resumed_bytes=0,
        repaired_blocks=0,
        file_identity=ground.identity(PARTIAL),
    )
    assert ground.arrived() == {PARTIAL: CONTENT}
    assert (ground.nas / PARTIAL).stat().st_mtime_ns == (ground.source / "clip.mxf").stat().st_mtime_ns
    assert (ground.source / "clip.mxf").read_bytes() == CONTENT


def test_a_copy_too_small_for_a_checkpoint_is_found_again_after_a_power_cut_too(
    ground: Ground, destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ground.source / "clip.mxf").write_bytes(b"small")
    synced: list[str] = []
    monkeypatch.setattr(
        safe_open, "sync_folder", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}"))
    )
    copied(ground.copy(), destination)
    assert synced == [str(ground.nas)]


def test_a_source_that_hangs_at_the_last_check_is_what_is_waited_for(
    ground: Ground, destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    io_side, sides = IoSideTracker(), []
    monkeypatch.setattr(pipeline, "WINDOW_BLOCKS", 1)  # so that the stages are threads
    monkeypatch.setattr(copy_file, "check_unchanged", lambda *_: sides.append(io_side.side()))
    copy_file.copy_file(ground.copy(), destination, ignore, io_side)
    assert sides == [Side.SOURCE]


@pytest.mark.parametrize(
    ("verify", "level"), [("read_back", "read_back_cached"), ("hash", "hash"), ("size", "size")]
)
def test_a_file_system_in_memory_never_claims_that_the_storage_was_asked(
    verify: VerifyMode, level: VerifyLevel
) -> None:
    with TemporaryDirectory(dir=SHARED_MEMORY) as folder:
        ground = Ground.below(Path(folder))
        (ground.source / "clip.mxf").write_bytes(CONTENT)
        with ground.destination() as destination:
            assert copied(ground.copy(verify=verify), destination).level == level


def test_on_a_disk_the_storage_is_asked(ground: Ground, destination: Destination) -> None:
    if is_in_memory(ground.nas):
        pytest.skip("the temporary folder lies in memory")
    assert copied(ground.copy(), destination).level == "read_back"


def test_a_copy_resumes_after_the_blocks_that_read_back_as_journaled(
    ground: Ground, destination: Destination
) -> None:
    (ground.nas / PARTIAL).write_bytes(CONTENT[: BLOCK_BYTES + 100])
    answer = copied(ground.copy(digests=digests_of(CONTENT)), destination)
    assert (answer.resumed_bytes, answer.read_bytes) == (BLOCK_BYTES, len(CONTENT) - BLOCK_BYTES)
    assert answer.digest == xxhash.xxh3_128_digest(CONTENT)
    assert ground.arrived() == {PARTIAL: CONTENT}


def _cut(clip: Path) -> None:
    os.truncate(clip, 10)


def _append(clip: Path) -> None:
    with clip.open("ab") as file:
        file.write(b"more")


def _rewrite_the_head(clip: Path) -> None:
    with clip.open("r+b") as file:
        file.write(b"HEAD")


def _replace(clip: Path) -> None:
    (clip.parent / "new").write_bytes(CONTENT)
    (clip.parent / "new").rename(clip)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (_cut, FaultKind.SOURCE_CHANGED),
        (_append, FaultKind.SOURCE_CHANGED),
        (_rewrite_the_head, FaultKind.SOURCE_CHANGED),
        (_replace, FaultKind.SOURCE_CHANGED),
        (Path.unlink, FaultKind.SOURCE_GONE),
    ],
)
@pytest.mark.parametrize("when", ["before", "while it is copied"])
def test_a_source_that_is_not_the_same_before_and_after_is_not_delivered(
    ground: Ground, destination: Destination, change: Callable[[Path], None], kind: FaultKind, when: str
) -> None:
    request = ground.copy()
    pending = [lambda: change(ground.source / "clip.mxf")]
    if when == "before":
        pending.pop()()

    def report(_: object) -> None:
        while pending:
            pending.pop()()

    with pytest.raises(Fault) as fault:
        copy_file.copy_file(request, destination, report)
    assert fault.value.kind is kind
    assert "clip.mxf" not in ground.arrived()


# Something else has the partial's name


def test_another_file_without_a_journaled_block_is_not_written_into(
    ground: Ground, destination: Destination
) -> None:
    theirs = OTHER[: BLOCK_BYTES + 5]
    (ground.nas / PARTIAL).write_bytes(theirs)
    for request in (
        ground.copy(digests=digests_of(CONTENT)),
        evolve(ground.copy(digests=digests_of(CONTENT)), source_changed=True),
    ):
        with pytest.raises(Fault) as fault:
            copy_file.copy_file(request, destination, ignore)
        assert fault.value.kind is FaultKind.DISPLACED
    assert ground.arrived() == {PARTIAL: theirs}


def test_a_hard_link_to_another_file_is_not_written_into(ground: Ground, destination: Destination) -> None:
    (ground.nas / "theirs").write_bytes(CONTENT[:BLOCK_BYTES])
    (ground.nas / PARTIAL).hardlink_to(ground.nas / "theirs")
    with pytest.raises(Fault) as fault:
        copy_file.copy_file(ground.copy(digests=digests_of(CONTENT)), destination, ignore)
    assert fault.value.kind is FaultKind.DISPLACED
    assert (ground.nas / "theirs").read_bytes() == CONTENT[:BLOCK_BYTES]


# Content that is there already


@pytest.mark.parametrize("content", [CONTENT, b""], ids=len)
def test_the_same_content_is_found_and_left_exactly_as_it_is(
    ground: Ground, destination: Destination, content: bytes
) -> None:
    (ground.source / "clip.mxf").write_bytes(content)
    (ground.nas / "clip.mxf").write_bytes(content)
    before = (ground.nas / "clip.mxf").stat()
    answer = copied(ground.copy(), destination)
    assert answer.published == ground.published("clip.mxf", already_present=True, level=answer.level)
    assert answer.digest == xxhash.xxh3_128_digest(content)
    after = (ground.nas / "clip.mxf").stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_ctime_ns) == (
        before.st_ino,
        before.st_mtime_ns,
        before.st_ctime_ns,
    )
    assert ground.arrived() == {"clip.mxf": content}


def test_the_same_content_is_found_under_a_name_that_made_way(
    ground: Ground, destination: Destination
) -> None:
    (ground.nas / "clip.mxf").write_bytes(OTHER)
    (ground.nas / "clip_1.mxf").mkdir()
    (ground.nas / "clip_2.mxf").write_bytes(CONTENT)
    answer = copied(ground.copy(), destination)
    assert answer.published == ground.published("clip_2.mxf", already_present=True, level=answer.level)


def test_finding_it_leaves_no_partial_of_an_earlier_attempt(ground: Ground, destination: Destination) -> None:
    (ground.nas / "clip.mxf").write_bytes(CONTENT)
    (ground.nas / PARTIAL).write_bytes(b"unverified")
    assert copied(ground.copy(), destination).published is not None
    assert ground.arrived() == {"clip.mxf": CONTENT}


def test_a_source_that_changes_while_it_is_compared_is_not_found(
    ground: Ground, destination: Destination
) -> None:
    (ground.nas / "clip.mxf").write_bytes(CONTENT)
    with pytest.raises(Fault) as fault:
        copy_file.copy_file(ground.copy(), destination, lambda _: _append(ground.source / "clip.mxf"))
    assert fault.value.kind is FaultKind.SOURCE_CHANGED


@pytest.mark.parametrize("existing", [OTHER, CONTENT[:-1] + b"x", CONTENT + b"x", b""], ids=len)
def test_other_content_under_the_name_is_copied_anew(
    ground: Ground, destination: Destination, existing: bytes
) -> None:
    (ground.nas / "clip.mxf").write_bytes(existing)
    assert copied(ground.copy(), destination).published is None
    assert ground.arrived() == {"clip.mxf": existing, PARTIAL: CONTENT}


@pytest.mark.parametrize(
    "make", [lambda path: path.write_bytes(OTHER), Path.mkdir, lambda path: path.symlink_to("x")]
)
def test_a_route_that_refuses_conflicts_copies_nothing(
    ground: Ground, destination: Destination, make: Callable[[Path], object]
) -> None:
    make(ground.nas / "clip.mxf")
    with pytest.raises(Fault, match=r"clip\.mxf") as fault:
        copy_file.copy_file(ground.copy(conflict="fail"), destination, ignore)
    assert fault.value.kind is FaultKind.CONFLICT
    assert PARTIAL not in ground.arrived()


def test_a_destination_that_leads_back_to_the_source_holds_no_second_copy(tmp_path: Path) -> None:
    ground = Ground(tmp_path / "source", tmp_path / "nas")
    ground.source.mkdir()
    ground.nas.symlink_to(ground.source)
    (ground.source / "clip.mxf").write_bytes(CONTENT)
    with ground.destination() as destination, pytest.raises(Fault, match="source file itself") as fault:
        copy_file.copy_file(ground.copy(), destination, ignore)
    assert fault.value.kind is FaultKind.CONFLICT


def test_two_names_of_one_source_file_are_two_deliveries(ground: Ground, destination: Destination) -> None:
    (ground.source / "link.mxf").hardlink_to(ground.source / "clip.mxf")
    for name in ("clip.mxf", "link.mxf"):
        copied(ground.copy(name), destination)
        publish(ground.publish(CONTENT, name), destination)
    assert ground.arrived() == {"clip.mxf": CONTENT, "link.mxf": CONTENT}
