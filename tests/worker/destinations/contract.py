"""The promises of agent/worker/destinations/base.py: subclass with a `destination` fixture to test a
backend."""

import os
from collections.abc import Iterator

import pytest

from agent.model.errors import Fault, FaultKind
from agent.model.multipart import bound_name
from agent.model.transfer import VerifyLevel
from agent.worker.destinations.base import Destination, Partial

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


def begin(
    destination: Destination, name: str, size_bytes: int | None = LARGE_BYTES, partial: str = PARTIAL
) -> str:
    """The partial that this name may be written into, as a journal would remember it."""
    while (exact := destination.allocate_partial(partial, name, size_bytes, "rename")) != partial:
        partial = exact
    return exact


def put(destination: Destination, name: str, content: bytes, partial: str = PARTIAL) -> None:
    """Bring this content in under this name, as a copy does."""
    folder = name.rpartition("/")[0]
    path = f"{folder}/{partial}" if folder else partial
    exact = fill(destination, path, content, name)
    destination.publish(exact, bound_name(exact, name), len(content))


def fill(destination: Destination, partial: str, content: bytes, name: str = "clip.mxf") -> str:
    """A sealed partial with this content; what a journal would remember it as."""
    exact = begin(destination, name, len(content), partial)
    opened = destination.open_partial(exact)
    write(opened, content)
    opened.flush(len(content))
    opened.finalize(MTIME_NS)
    opened.close()
    return exact


def write(partial: Partial, content: bytes, first_block: int = 0) -> None:
    """Unit by unit, as the engine does; from this block of the file on."""
    blocks = [content[at : at + BLOCK] for at in range(0, len(content), BLOCK)]
    while blocks:
        size = len(partial.write_group(first_block))
        partial.write(first_block * BLOCK, blocks[:size])
        first_block, blocks = first_block + size, blocks[size:]


def holds(partial: Partial, content: bytes, first_block: int = 0) -> bool:
    """Whether the storage has exactly this from this block of the file on."""
    blocks = [content[at : at + BLOCK] for at in range(0, len(content), BLOCK)]
    while blocks:
        size = len(partial.write_group(first_block))
        if not partial.matches(first_block * BLOCK, blocks[:size]):
            return False
        first_block, blocks = first_block + size, blocks[size:]
    return True


def content_of(destination: Destination, name: str) -> bytes | None:
    """What stands at this name; None when there is no such file."""
    existing = destination.find(name)
    if existing is None:
        return None
    try:
        return existing.read_back(0, existing.size_bytes)
    finally:
        existing.close()


class DestinationContract:
    """The suite.

    `level` says how far a read-back gets on this backend; `replaces` whether what was written can be written
    again, `leaves_out` whether less of it than was written can arrive, `refused` which names it cannot hold.
    """

    replaces = True
    leaves_out = True
    refused: frozenset[bytes] = frozenset()

    @pytest.fixture
    def level(self) -> VerifyLevel:
        return "read_back"

    @pytest.fixture
    def exact(self, destination: Destination) -> str:
        return begin(destination, "clip.mxf")

    @pytest.fixture
    def partial(self, destination: Destination, exact: str) -> Iterator[Partial]:
        opened = destination.open_partial(exact)
        yield opened
        opened.close()

    @pytest.fixture
    def unit(self, partial: Partial) -> int:
        """Bytes that are written together."""
        return len(partial.write_group(0)) * BLOCK

    def test_a_new_partial_is_empty_and_has_the_name_that_was_reserved(
        self, destination: Destination, exact: str, partial: Partial
    ) -> None:
        assert partial.survives_request
        assert partial.size_bytes == 0
        assert destination.exists(exact)
        assert destination.allocate_partial(exact, "clip.mxf", LARGE_BYTES, "rename") == exact

    def test_units_lie_side_by_side(self, partial: Partial) -> None:
        first = partial.write_group(0)
        assert first.start == 0
        assert partial.write_group(first.stop - 1) == first
        assert partial.write_group(first.stop).start == first.stop

    def test_what_was_written_is_held(self, partial: Partial, unit: int, level: VerifyLevel) -> None:
        content = b"a" * unit + b"b" * unit + b"tail"
        write(partial, content)
        partial.flush(len(content))
        assert partial.size_bytes == len(content)
        assert holds(partial, content)
        assert not holds(partial, b"a" * unit + b"b" * (unit - 1) + b"c")
        assert not holds(partial, b"a" * unit * 2 + b"tails")
        if partial.is_readable:
            assert partial.read_back(unit, 4) == b"bbbb"
            assert partial.read_back(2 * unit, BLOCK) == b"tail"
            assert partial.read_back(3 * unit, BLOCK) == b""
            assert partial.level("read_back") == level
        else:
            assert partial.level("read_back") == "hash"
        assert partial.level("hash") == "hash"
        assert partial.level("size") == "size"

    def test_units_may_be_written_again(self, destination: Destination, unit: int) -> None:
        exact = begin(destination, "other.mxf")
        partial = destination.open_partial(exact)
        write(partial, b"a" * unit + b"b" * unit)
        partial.flush(2 * unit)
        write(partial, b"c" * unit)
        if not self.replaces:  # then all of it begins again
            with pytest.raises(Fault) as fault:
                partial.flush(unit)
            assert fault.value.kind is FaultKind.CORRUPT
            partial.close()
            assert not destination.exists(exact)
            return
        partial.flush(unit)
        assert holds(partial, b"c" * unit + b"b" * unit)
        partial.finalize(MTIME_NS)
        partial.close()
        destination.publish(exact, "other.mxf", 2 * unit)
        assert content_of(destination, "other.mxf") == b"c" * unit + b"b" * unit

    def test_units_may_come_in_any_order(self, destination: Destination, unit: int) -> None:
        exact = begin(destination, "other.mxf")
        partial = destination.open_partial(exact)
        write(partial, b"tail", 2 * unit // BLOCK)
        write(partial, b"b" * unit, unit // BLOCK)
        partial.flush(2 * unit + 4)
        write(partial, b"a" * unit)
        partial.flush(unit)
        partial.finalize(MTIME_NS)
        partial.close()
        destination.publish(exact, "other.mxf", 2 * unit + 4)
        assert content_of(destination, "other.mxf") == b"a" * unit + b"b" * unit + b"tail"

    def test_what_stands_behind_a_cut_counts_no_more(self, partial: Partial, unit: int) -> None:
        write(partial, b"ab" * unit)
        partial.flush(2 * unit)
        partial.truncate(unit)
        assert partial.size_bytes == unit
        partial.truncate(0)
        assert partial.size_bytes == 0

    def test_a_file_that_became_shorter_arrives_as_short_as_it_is(
        self, destination: Destination, unit: int
    ) -> None:
        exact = begin(destination, "other.mxf", None)
        partial = destination.open_partial(exact)
        write(partial, b"ab" * unit)
        partial.flush(2 * unit)
        partial.truncate(unit)
        partial.finalize(MTIME_NS)
        partial.close()
        if not self.leaves_out:  # then all of it begins again
            with pytest.raises(Fault) as fault:
                destination.publish(exact, "other.mxf", unit)
            assert fault.value.kind is FaultKind.CORRUPT
            assert not destination.exists("other.mxf")
            return
        destination.publish(exact, "other.mxf", unit)
        assert content_of(destination, "other.mxf") == b"ab" * (unit // 2)

    def test_a_partial_outlives_the_attempt_that_wrote_it(
        self, destination: Destination, exact: str, unit: int
    ) -> None:
        first = destination.open_partial(exact)
        write(first, b"a" * unit)
        first.flush(unit)
        first.close()
        again = destination.open_partial(exact)
        assert again.size_bytes == unit
        assert holds(again, b"a" * unit)
        assert not holds(again, b"b" * unit)
        again.close()

    def test_two_partials_are_apart(self, destination: Destination) -> None:
        one = fill(destination, PARTIAL, b"one", "clip.mxf")
        other = fill(destination, OTHER_PARTIAL, b"other", "other.mxf")
        destination.publish(other, "other.mxf", 5)
        destination.publish(one, "clip.mxf", 3)
        assert content_of(destination, "clip.mxf") == b"one"
        assert content_of(destination, "other.mxf") == b"other"

    @pytest.mark.parametrize("size_bytes", [4, LARGE_BYTES])
    def test_a_discarded_partial_is_gone_and_may_be_discarded_again(
        self, destination: Destination, size_bytes: int
    ) -> None:
        exact = fill(destination, PARTIAL, b"x" * size_bytes)
        assert destination.exists(exact)
        destination.discard(exact)
        assert not destination.exists(exact)
        destination.discard(exact)
        destination.discard(f"never/made/{PARTIAL}")

    @pytest.mark.parametrize(
        "content", [b"", b"content", b"x" * BLOCK, b"x" * (BLOCK + 1), b"x" * LARGE_BYTES], ids=len
    )
    def test_a_published_partial_stands_at_its_name_alone(
        self, destination: Destination, content: bytes, level: VerifyLevel
    ) -> None:
        exact = fill(destination, PARTIAL, content)
        destination.publish(exact, "clip.mxf", len(content))
        assert destination.exists("clip.mxf")
        assert not destination.exists(exact)
        existing = destination.find("clip.mxf")
        assert existing is not None
        assert existing.size_bytes == len(content)
        assert existing.read_back(0, len(content)) == content
        existing.make_durable()
        assert existing.read_back_level == (level if content else "read_back")
        existing.close()

    @pytest.mark.parametrize("size_bytes", [6, LARGE_BYTES])
    def test_publishing_never_replaces_what_has_the_name(
        self, destination: Destination, size_bytes: int
    ) -> None:
        second = b"second" * (size_bytes // 6)
        exact = fill(destination, PARTIAL, second)
        put(destination, "clip.mxf", b"first", OTHER_PARTIAL)
        with pytest.raises(FileExistsError):
            destination.publish(exact, "clip.mxf", len(second))
        assert content_of(destination, "clip.mxf") == b"first"
        assert destination.exists(exact)
        if bound_name(exact, "clip_1.mxf") == "clip_1.mxf":
            destination.publish(exact, "clip_1.mxf", len(second))
            assert content_of(destination, "clip_1.mxf") == second
        else:
            with pytest.raises(Fault) as fault:
                destination.publish(exact, "clip_1.mxf", len(second))
            assert fault.value.kind is FaultKind.CONFLICT
            assert not destination.exists("clip_1.mxf")

    def test_a_partial_that_is_not_there_cannot_be_published(self, destination: Destination) -> None:
        exact = begin(destination, "clip.mxf")
        destination.discard(exact)
        for partial in (exact, PARTIAL):
            with pytest.raises(Fault):
                destination.publish(partial, "clip.mxf", 0)
        assert not destination.exists("clip.mxf")

    def test_what_is_reserved_while_the_name_is_taken_starts_empty_and_leaves_it_alone(
        self, destination: Destination
    ) -> None:
        put(destination, "clip.mxf", b"content")
        again = destination.open_partial(begin(destination, "clip.mxf"))
        assert again.size_bytes == 0
        again.close()
        assert content_of(destination, "clip.mxf") == b"content"

    def test_only_what_this_partial_put_there_may_be_taken_back(self, destination: Destination) -> None:
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

    def test_nothing_stands_where_nothing_was_put(self, destination: Destination) -> None:
        assert not destination.exists("clip.mxf")
        assert not destination.exists("folder/clip.mxf")
        assert destination.find("clip.mxf") is None
        assert destination.find("folder/clip.mxf") is None

    def test_folders_appear_as_files_need_them(self, destination: Destination) -> None:
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

    def test_a_foreign_file_is_never_taken_for_the_source(self, destination: Destination) -> None:
        put(destination, "clip.mxf", b"content")
        existing = destination.find("clip.mxf")
        assert existing is not None
        assert not existing.is_file(0, 0)
        existing.close()
