"""The promises of agent/stores/destination.py: subclass with a `destination` fixture to test a backend."""

import os

import pytest

from agent.faults import Fault
from agent.stores.destination import Destination, Partial
from agent.terms import VerifyLevel

BLOCK = 1024 * 1024
PARTIAL = ".clip.mxf.0123456789abcdef.partial"
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


def put(destination: Destination, name: str, content: bytes, partial: str = PARTIAL) -> None:
    """Bring this content in under this name, as a copy does."""
    folder = name.rpartition("/")[0]
    path = f"{folder}/{partial}" if folder else partial
    fill(destination, path, content)
    destination.publish(path, name)


def fill(destination: Destination, partial: str, content: bytes) -> None:
    """A sealed partial with this content."""
    opened = destination.open_partial(partial)
    opened.write(0, content)
    opened.flush()
    opened.seal(MTIME_NS)
    opened.close()


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
    """The suite. `level` says how far a read-back gets on this backend."""

    @pytest.fixture
    def level(self) -> VerifyLevel:
        return "read_back"

    @pytest.fixture
    def partial(self, destination: Destination) -> Partial:
        return destination.open_partial(PARTIAL)

    def test_a_new_partial_is_empty_and_has_the_name_that_was_asked_for(
        self, destination: Destination, partial: Partial
    ) -> None:
        assert partial.size_bytes == 0
        assert destination.stands(PARTIAL)
        partial.close()

    def test_what_was_written_is_read_back(self, partial: Partial, level: VerifyLevel) -> None:
        partial.write(0, b"a" * BLOCK)
        partial.write(BLOCK, b"tail")
        partial.flush()
        assert partial.size_bytes == BLOCK + 4
        assert partial.read_back(0, BLOCK) == b"a" * BLOCK
        assert partial.read_back(BLOCK, 4) == b"tail"
        assert partial.read_back_level == level
        partial.close()

    def test_blocks_may_be_written_again(self, partial: Partial) -> None:
        partial.write(0, b"a" * BLOCK)
        partial.write(BLOCK, b"b" * BLOCK)
        partial.write(0, b"c" * BLOCK)
        partial.flush()
        assert partial.read_back(0, BLOCK) == b"c" * BLOCK
        assert partial.read_back(BLOCK, BLOCK) == b"b" * BLOCK
        partial.close()

    def test_past_its_end_there_is_nothing_to_read_back(self, partial: Partial) -> None:
        partial.write(0, b"short")
        partial.flush()
        assert partial.read_back(0, BLOCK) == b"short"
        assert partial.read_back(BLOCK, BLOCK) == b""
        partial.close()

    def test_a_partial_is_cut_to_the_size_that_is_proven(self, partial: Partial) -> None:
        partial.write(0, b"ab" * BLOCK)
        partial.truncate(BLOCK)
        assert partial.size_bytes == BLOCK
        partial.truncate(0)
        assert partial.size_bytes == 0
        partial.close()

    def test_a_partial_outlives_the_attempt_that_wrote_it(self, destination: Destination) -> None:
        first = destination.open_partial(PARTIAL)
        first.write(0, b"a" * BLOCK)
        first.flush()
        first.close()
        again = destination.open_partial(PARTIAL)
        assert again.size_bytes == BLOCK
        assert again.read_back(0, BLOCK) == b"a" * BLOCK
        again.close()

    def test_two_partials_are_apart(self, destination: Destination) -> None:
        fill(destination, PARTIAL, b"one")
        fill(destination, ".other.partial", b"other")
        destination.publish(".other.partial", "other.mxf")
        destination.publish(PARTIAL, "clip.mxf")
        assert content_of(destination, "clip.mxf") == b"one"
        assert content_of(destination, "other.mxf") == b"other"

    def test_a_discarded_partial_is_gone_and_may_be_discarded_again(self, destination: Destination) -> None:
        fill(destination, PARTIAL, b"half")
        destination.discard(PARTIAL)
        assert not destination.stands(PARTIAL)
        destination.discard(PARTIAL)
        destination.discard(f"never/made/{PARTIAL}")

    @pytest.mark.parametrize("content", [b"", b"content", b"x" * BLOCK, b"x" * (BLOCK + 1)], ids=len)
    def test_a_published_partial_stands_at_its_name_alone(
        self, destination: Destination, content: bytes, level: VerifyLevel
    ) -> None:
        put(destination, "clip.mxf", content)
        assert destination.stands("clip.mxf")
        assert not destination.stands(PARTIAL)
        existing = destination.find("clip.mxf")
        assert existing is not None
        assert existing.size_bytes == len(content)
        assert existing.read_back(0, len(content)) == content
        existing.make_durable()
        assert existing.read_back_level == (level if content else "read_back")
        existing.close()

    def test_publishing_never_replaces_what_has_the_name(self, destination: Destination) -> None:
        put(destination, "clip.mxf", b"first")
        fill(destination, PARTIAL, b"second")
        with pytest.raises(FileExistsError):
            destination.publish(PARTIAL, "clip.mxf")
        assert content_of(destination, "clip.mxf") == b"first"
        assert destination.stands(PARTIAL)
        destination.publish(PARTIAL, "clip_1.mxf")
        assert content_of(destination, "clip_1.mxf") == b"second"

    def test_a_partial_that_is_not_there_cannot_be_published(self, destination: Destination) -> None:
        with pytest.raises(Fault):
            destination.publish(PARTIAL, "clip.mxf")
        assert not destination.stands("clip.mxf")

    def test_a_partial_with_the_name_of_a_published_one_starts_empty(self, destination: Destination) -> None:
        put(destination, "clip.mxf", b"content")
        again = destination.open_partial(PARTIAL)
        assert again.size_bytes == 0
        again.close()
        assert content_of(destination, "clip.mxf") == b"content"

    def test_nothing_stands_where_nothing_was_put(self, destination: Destination) -> None:
        assert not destination.stands("clip.mxf")
        assert not destination.stands("folder/clip.mxf")
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
