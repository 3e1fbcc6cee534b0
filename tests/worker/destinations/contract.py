"""The test suite of the contract in agent/worker/destinations/base.py.

Subclass `DestinationContract` with a `destination` fixture to test a backend.
"""

import os
from collections.abc import Iterator
from contextlib import closing

import pytest
import xxhash

from agent.fs.file_identity import IdentityMismatch
from agent.model.errors import Fault, FaultKind
from agent.model.multipart import bound_name
from agent.model.verification import VerifyLevel
from agent.protocol.requests import DestinationRef, PartialToPublish, PublishFiles
from agent.worker.copy.publish import publish_files
from agent.worker.destinations.base import Destination, Existing, Partial

BLOCK = 1024 * 1024
LARGE_BYTES = 12 * BLOCK  # more than an object store takes as a whole here
PARTIAL = ".clip.mxf.0123456789abcdef.partial"
OTHER_PARTIAL = ".other.mxf.fedcba9876543210.partial"
MTIME_NS = 1_600_000_000_000_000_000

NAMES = [
    b"clip\nsecond line.mxf",
    b"-rf",
    b" leading and trailing ",
    b"n" * 251 + b".mxf",
    b"\xff\xfe not utf-8.mxf",
    "🎬 café.mxf".encode(),
    b'quote\' "double" \\back*?[x]',
    b"...",
]
NFC, NFD = "caf\u00e9.mxf", "cafe\u0301.mxf"


def allocate(
    destination: Destination, name: str, size_bytes: int | None = LARGE_BYTES, partial: str = PARTIAL
) -> str:
    """Return the partial allocated for this name, as the journal would have it."""
    while (allocated := destination.allocate_partial(partial, name, size_bytes, "rename")) != partial:
        partial = allocated
    return allocated


def put(destination: Destination, name: str, content: bytes, partial: str = PARTIAL) -> None:
    """Write and publish this content under this name, as a copy does."""
    folder = name.rpartition("/")[0]
    path = f"{folder}/{partial}" if folder else partial
    allocated = fill(destination, path, content, name)
    publish(destination, allocated, bound_name(allocated, name), len(content))


def publish(destination: Destination, partial: str, name: str, size_bytes: int) -> str | None:
    """Publish a finalized partial as it is now, and return its identity under the name."""
    return destination.publish(partial, name, size_bytes, identity_of(destination, partial))


def identity_of(destination: Destination, partial: str) -> str:
    with closing(destination.open_partial(partial)) as opened:
        return opened.file_identity


def fill(destination: Destination, partial: str, content: bytes, name: str = "clip.mxf") -> str:
    """Write a finalized partial with this content and return its allocated name."""
    allocated = allocate(destination, name, len(content), partial)
    opened = destination.open_partial(allocated)
    write(opened, content)
    opened.flush(len(content))
    opened.finalize(MTIME_NS)
    opened.fsync_parents()
    opened.close()
    return allocated


def write(partial: Partial, content: bytes, first_block: int = 0) -> None:
    """Write the content from this block on, one write group after the other, as the engine does."""
    blocks = [content[at : at + BLOCK] for at in range(0, len(content), BLOCK)]
    while blocks:
        size = len(partial.write_group(first_block))
        partial.write(first_block * BLOCK, blocks[:size])
        first_block, blocks = first_block + size, blocks[size:]


def matches(partial: Partial, content: bytes, first_block: int = 0) -> bool:
    """Return whether the storage has exactly this content from this block on."""
    blocks = [content[at : at + BLOCK] for at in range(0, len(content), BLOCK)]
    while blocks:
        size = len(partial.write_group(first_block))
        if not partial.matches(first_block * BLOCK, blocks[:size]):
            return False
        first_block, blocks = first_block + size, blocks[size:]
    return True


def content_of(destination: Destination, name: str) -> bytes | None:
    """Return the content of this file; None when there is no such file."""
    existing = destination.find(name)
    if existing is None:
        return None
    try:
        return existing.read_back(0, existing.size_bytes)
    finally:
        existing.close()


class DestinationContract:
    """The suite.

    `level`: the level that reading back reaches. `can_rewrite`: write groups can be written again.
    `can_shrink`: a partial can be truncated. `refused`: names that the backend cannot hold.
    """

    can_rewrite = True
    can_shrink = True
    refused: frozenset[bytes] = frozenset()

    @pytest.fixture
    def level(self) -> VerifyLevel:
        return "read_back"

    @pytest.fixture
    def allocated(self, destination: Destination) -> str:
        return allocate(destination, "clip.mxf")

    @pytest.fixture
    def partial(self, destination: Destination, allocated: str) -> Iterator[Partial]:
        opened = destination.open_partial(allocated)
        yield opened
        opened.close()

    @pytest.fixture
    def group_bytes(self, partial: Partial) -> int:
        """The size of a write group in bytes."""
        return len(partial.write_group(0)) * BLOCK

    def test_a_new_partial_is_empty_and_has_the_allocated_name(
        self, destination: Destination, allocated: str, partial: Partial
    ) -> None:
        assert partial.survives_request
        assert partial.size_bytes == 0
        assert destination.exists(allocated)
        assert destination.allocate_partial(allocated, "clip.mxf", LARGE_BYTES, "rename") == allocated

    def test_write_groups_are_adjacent(self, partial: Partial) -> None:
        first = partial.write_group(0)
        assert first.start == 0
        assert partial.write_group(first.stop - 1) == first
        assert partial.write_group(first.stop).start == first.stop

    def test_written_content_matches(self, partial: Partial, group_bytes: int, level: VerifyLevel) -> None:
        content = b"a" * group_bytes + b"b" * group_bytes + b"tail"
        write(partial, content)
        partial.flush(len(content))
        assert partial.size_bytes == len(content)
        assert matches(partial, content)
        assert not matches(partial, b"a" * group_bytes + b"b" * (group_bytes - 1) + b"c")
        assert not matches(partial, b"a" * group_bytes * 2 + b"tails")
        if partial.is_readable:
            assert partial.read_back(group_bytes, 4) == b"bbbb"
            assert partial.read_back(2 * group_bytes, BLOCK) == b"tail"
            assert partial.read_back(3 * group_bytes, BLOCK) == b""
            assert partial.level("read_back") == level
        else:
            assert partial.level("read_back") == "hash"
        assert partial.level("hash") == "hash"
        assert partial.level("size") == "size"

    def test_write_groups_may_be_written_again(self, destination: Destination, group_bytes: int) -> None:
        allocated = allocate(destination, "other.mxf")
        partial = destination.open_partial(allocated)
        write(partial, b"a" * group_bytes + b"b" * group_bytes)
        partial.flush(2 * group_bytes)
        write(partial, b"c" * group_bytes)
        if not self.can_rewrite:  # then the upload starts again
            with pytest.raises(Fault) as fault:
                partial.flush(group_bytes)
            assert fault.value.kind is FaultKind.CORRUPT
            partial.close()
            assert not destination.exists(allocated)
            return
        partial.flush(group_bytes)
        assert matches(partial, b"c" * group_bytes + b"b" * group_bytes)
        partial.finalize(MTIME_NS)
        partial.close()
        publish(destination, allocated, "other.mxf", 2 * group_bytes)
        assert content_of(destination, "other.mxf") == b"c" * group_bytes + b"b" * group_bytes

    def test_write_groups_may_come_in_any_order(self, destination: Destination, group_bytes: int) -> None:
        allocated = allocate(destination, "other.mxf")
        partial = destination.open_partial(allocated)
        write(partial, b"tail", 2 * group_bytes // BLOCK)
        write(partial, b"b" * group_bytes, group_bytes // BLOCK)
        partial.flush(2 * group_bytes + 4)
        write(partial, b"a" * group_bytes)
        partial.flush(group_bytes)
        partial.finalize(MTIME_NS)
        partial.close()
        publish(destination, allocated, "other.mxf", 2 * group_bytes + 4)
        assert content_of(destination, "other.mxf") == b"a" * group_bytes + b"b" * group_bytes + b"tail"

    def test_content_behind_a_truncation_is_dropped(self, partial: Partial, group_bytes: int) -> None:
        write(partial, b"ab" * group_bytes)
        partial.flush(2 * group_bytes)
        partial.truncate(group_bytes)
        assert partial.size_bytes == group_bytes
        partial.truncate(0)
        assert partial.size_bytes == 0

    def test_a_truncated_partial_is_published_with_its_new_size(
        self, destination: Destination, group_bytes: int
    ) -> None:
        allocated = allocate(destination, "other.mxf", None)
        partial = destination.open_partial(allocated)
        write(partial, b"ab" * group_bytes)
        partial.flush(2 * group_bytes)
        partial.truncate(group_bytes)
        partial.finalize(MTIME_NS)
        identity = partial.file_identity
        partial.close()
        if not self.can_shrink:  # then the upload starts again
            with pytest.raises(Fault) as fault:
                destination.publish(allocated, "other.mxf", group_bytes, identity)
            assert fault.value.kind is FaultKind.CORRUPT
            assert not destination.exists("other.mxf")
            return
        destination.publish(allocated, "other.mxf", group_bytes, identity)
        assert content_of(destination, "other.mxf") == b"ab" * (group_bytes // 2)

    def test_a_partial_survives_the_request_that_wrote_it(
        self, destination: Destination, allocated: str, group_bytes: int
    ) -> None:
        first = destination.open_partial(allocated)
        write(first, b"a" * group_bytes)
        first.flush(group_bytes)
        first.close()
        again = destination.open_partial(allocated)
        assert again.size_bytes == group_bytes
        assert matches(again, b"a" * group_bytes)
        assert not matches(again, b"b" * group_bytes)
        again.close()

    def test_two_partials_are_apart(self, destination: Destination) -> None:
        one = fill(destination, PARTIAL, b"one", "clip.mxf")
        other = fill(destination, OTHER_PARTIAL, b"other", "other.mxf")
        publish(destination, other, "other.mxf", 5)
        publish(destination, one, "clip.mxf", 3)
        assert content_of(destination, "clip.mxf") == b"one"
        assert content_of(destination, "other.mxf") == b"other"

    @pytest.mark.parametrize("size_bytes", [4, LARGE_BYTES])
    def test_a_discarded_partial_is_gone_and_may_be_discarded_again(
        self, destination: Destination, size_bytes: int
    ) -> None:
        allocated = fill(destination, PARTIAL, b"x" * size_bytes)
        assert destination.exists(allocated)
        assert destination.discard(allocated)
        assert not destination.exists(allocated)
        destination.discard(allocated)
        destination.discard(f"never/made/{PARTIAL}")

    def test_a_partial_that_is_begun_is_opened_again(self, destination: Destination) -> None:
        allocated = fill(destination, PARTIAL, b"x" * LARGE_BYTES)
        with closing(destination.open_partial(allocated, is_begun=True)) as again:
            assert again.size_bytes == LARGE_BYTES

    def test_a_partial_that_is_begun_and_gone_is_a_fault_and_not_made_anew(
        self, destination: Destination
    ) -> None:
        allocated = fill(destination, PARTIAL, b"x" * LARGE_BYTES)
        destination.discard(allocated)
        with pytest.raises(Fault) as fault:
            destination.open_partial(allocated, is_begun=True)
        assert fault.value.kind in (FaultKind.PARTIAL_GONE, FaultKind.CORRUPT)
        assert not destination.exists(allocated)

    @pytest.mark.parametrize(
        "content", [b"", b"content", b"x" * BLOCK, b"x" * (BLOCK + 1), b"x" * LARGE_BYTES], ids=len
    )
    def test_a_published_partial_exists_under_its_name_only(
        self, destination: Destination, content: bytes, level: VerifyLevel
    ) -> None:
        allocated = fill(destination, PARTIAL, content)
        publish(destination, allocated, "clip.mxf", len(content))
        assert destination.exists("clip.mxf")
        assert not destination.exists(allocated)
        existing = destination.find("clip.mxf")
        assert existing is not None
        assert existing.size_bytes == len(content)
        assert existing.read_back(0, len(content)) == content
        existing.make_durable()
        assert existing.read_back_level == (level if content else "read_back")
        existing.close()

    @pytest.mark.parametrize("size_bytes", [6, LARGE_BYTES])
    def test_publishing_never_replaces_a_file(self, destination: Destination, size_bytes: int) -> None:
        second = b"second" * (size_bytes // 6)
        allocated = fill(destination, PARTIAL, second)
        put(destination, "clip.mxf", b"first", OTHER_PARTIAL)
        with pytest.raises(FileExistsError):
            publish(destination, allocated, "clip.mxf", len(second))
        assert content_of(destination, "clip.mxf") == b"first"
        assert destination.exists(allocated)
        if bound_name(allocated, "clip_1.mxf") == "clip_1.mxf":
            publish(destination, allocated, "clip_1.mxf", len(second))
            assert content_of(destination, "clip_1.mxf") == second
        else:
            with pytest.raises(Fault) as fault:
                publish(destination, allocated, "clip_1.mxf", len(second))
            assert fault.value.kind is FaultKind.CONFLICT
            assert not destination.exists("clip_1.mxf")

    def test_a_missing_partial_cannot_be_published(self, destination: Destination) -> None:
        allocated = fill(destination, PARTIAL, b"x" * LARGE_BYTES)
        identity = identity_of(destination, allocated)
        destination.discard(allocated)
        for partial in (allocated, PARTIAL):
            with pytest.raises(Fault):
                destination.publish(partial, "clip.mxf", LARGE_BYTES, identity)
        assert not destination.exists("clip.mxf")

    def test_a_partial_that_was_altered_after_it_was_verified_is_not_published(
        self, destination: Destination
    ) -> None:
        if not self.can_rewrite:
            pytest.skip("the service replaces no part")
        allocated = fill(destination, PARTIAL, b"x" * LARGE_BYTES)
        verified = identity_of(destination, allocated)
        fill(destination, allocated, b"y" * LARGE_BYTES)
        with pytest.raises((IdentityMismatch, Fault)):
            destination.publish(allocated, "clip.mxf", LARGE_BYTES, verified)
        assert not destination.exists("clip.mxf")
        assert destination.exists(allocated)

    @pytest.mark.parametrize("size_bytes", [6, LARGE_BYTES])
    def test_a_published_file_is_known_by_its_identity_until_it_is_another(
        self, destination: Destination, size_bytes: int
    ) -> None:
        allocated = fill(destination, PARTIAL, b"x" * size_bytes)
        identity = publish(destination, allocated, "clip.mxf", size_bytes)
        assert identity is not None
        existing = destination.find("clip.mxf")
        assert existing is not None
        with closing(existing):
            assert existing.file_identity == identity
        put(destination, "other.mxf", b"y" * size_bytes, OTHER_PARTIAL)
        other = destination.find("other.mxf")
        assert other is not None
        with closing(other):
            assert other.file_identity != identity

    @pytest.mark.parametrize("size_bytes", [6, LARGE_BYTES])
    def test_a_file_that_is_taken_before_it_was_read_back_is_not_published(
        self, destination: Destination, size_bytes: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        backend = type(destination)
        find = backend.find

        def find_after_picker(self: Destination, name: str) -> Existing | None:
            self.discard(name)
            return find(self, name)

        content = b"x" * size_bytes
        allocated = fill(destination, PARTIAL, content)
        identity = identity_of(destination, allocated)
        digest = xxhash.xxh3_128_digest(content)
        file = PartialToPublish(allocated, "clip.mxf", size_bytes, digest, True, identity or None)
        request = PublishFiles(DestinationRef("/nas", 0), "rename", (file,))
        monkeypatch.setattr(backend, "find", find_after_picker)
        [result] = publish_files(request, destination, lambda: None)
        assert isinstance(result, Fault)
        assert result.kind is FaultKind.CORRUPT
        assert "before it was read back" in result.detail
        assert not destination.exists("clip.mxf")

    def test_a_partial_allocated_for_a_taken_name_starts_empty_and_keeps_the_file(
        self, destination: Destination
    ) -> None:
        put(destination, "clip.mxf", b"content")
        again = destination.open_partial(allocate(destination, "clip.mxf"))
        assert again.size_bytes == 0
        again.close()
        assert content_of(destination, "clip.mxf") == b"content"

    def test_only_the_file_of_this_partial_may_be_unpublished(self, destination: Destination) -> None:
        put(destination, "clip.mxf", b"content")
        assert not destination.unpublish(OTHER_PARTIAL, "clip.mxf")
        assert content_of(destination, "clip.mxf") == b"content"
        assert not destination.unpublish(PARTIAL, "other.mxf")

    def test_reading_back_may_begin_anywhere(self, destination: Destination) -> None:
        content = bytes(range(256)) * (LARGE_BYTES // 256)
        put(destination, "clip.mxf", content)
        existing = destination.find("clip.mxf")
        assert existing is not None
        for offset, length in ((0, 100), (100, BLOCK), (7, 5), (len(content) - 3, 100), (len(content), 1)):
            assert existing.read_back(offset, length) == content[offset : offset + length]
        existing.close()

    def test_a_name_without_a_file_does_not_exist(self, destination: Destination) -> None:
        assert not destination.exists("clip.mxf")
        assert not destination.exists("folder/clip.mxf")
        assert destination.find("clip.mxf") is None
        assert destination.find("folder/clip.mxf") is None

    def test_folders_are_created_as_files_need_them(self, destination: Destination) -> None:
        put(destination, "day 1/card a/clip.mxf", b"deep")
        put(destination, "day 1/clip.mxf", b"above")
        assert content_of(destination, "day 1/card a/clip.mxf") == b"deep"
        assert content_of(destination, "day 1/clip.mxf") == b"above"

    @pytest.mark.parametrize("name", NAMES, ids=ascii)
    def test_any_legal_name_arrives_unchanged(self, destination: Destination, name: bytes) -> None:
        path = os.fsdecode(name)
        if name in self.refused:
            with pytest.raises(Fault) as fault:
                put(destination, path, b"top")
            assert fault.value.kind in (FaultKind.REFUSED, FaultKind.DESTINATION)
            return
        put(destination, path, b"top")
        put(destination, f"folder {path[:200]}/{path}", b"below")
        assert content_of(destination, path) == b"top"
        assert content_of(destination, f"folder {path[:200]}/{path}") == b"below"

    def test_two_spellings_of_one_name_are_two_files(self, destination: Destination) -> None:
        put(destination, NFC, b"composed")
        put(destination, NFD, b"decomposed")
        assert content_of(destination, NFC) == b"composed"
        assert content_of(destination, NFD) == b"decomposed"

    def test_another_file_is_not_the_source_itself(self, destination: Destination) -> None:
        put(destination, "clip.mxf", b"content")
        existing = destination.find("clip.mxf")
        assert existing is not None
        assert not existing.is_file(0, 0)
        existing.close()
