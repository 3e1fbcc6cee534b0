"""The part layout of an upload, and the reference to it in the journal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.multipart import (
    LARGEST_PART_BLOCKS,
    MOST_PARTS,
    MultipartRef,
    PartLayout,
    bound_name,
    fingerprint_of,
    parse_reference,
)

TIB_BLOCKS = 1024 * 1024
LARGEST_FILE_BLOCKS = 5 * TIB_BLOCKS
FINGERPRINT = "0123456789abcdef"

wanted = st.integers(5, LARGEST_PART_BLOCKS)
blocks = st.integers(0, LARGEST_FILE_BLOCKS - 1)
tables = st.builds(PartLayout, wanted, st.booleans())
names = st.from_regex(r"[^/]+(/[^/]+)*", fullmatch=True)
ids = st.text(min_size=1).filter(lambda text: text.isprintable() and not text.startswith("?"))


@given(st.integers(1, LARGEST_FILE_BLOCKS), wanted)
def test_any_file_up_to_5_tib_fits_into_the_parts_that_are_allowed(size_blocks: int, wanted: int) -> None:
    parts = PartLayout.of(size_blocks, wanted)
    assert parts.count(size_blocks) <= MOST_PARTS
    assert wanted <= parts.size_blocks <= LARGEST_PART_BLOCKS


@given(wanted)
def test_a_growing_file_may_reach_5_tib(wanted: int) -> None:
    parts = PartLayout.of(None, wanted)
    assert parts.count(LARGEST_FILE_BLOCKS) <= MOST_PARTS
    assert parts.size_blocks == wanted


@given(tables, blocks)
def test_each_block_lies_in_the_span_of_its_part_and_in_no_other(parts: PartLayout, block: int) -> None:
    number = parts.number(block)
    assert block in parts.span(number)
    assert parts.span(number).stop == parts.span(number + 1).start
    assert len(parts.span(number)) <= max(LARGEST_PART_BLOCKS, parts.size_blocks)


@given(tables, st.integers(1, MOST_PARTS - 1))
def test_parts_never_get_smaller(parts: PartLayout, number: int) -> None:
    assert len(parts.span(number)) <= len(parts.span(number + 1))


def test_an_empty_file_has_no_parts() -> None:
    assert PartLayout(8).count(0) == 0


@given(names, tables, ids)
def test_a_reference_round_trips(name: str, parts: PartLayout, upload_id: str) -> None:
    upload = MultipartRef(name, FINGERPRINT, parts, upload_id)
    assert parse_reference(upload.reference()) == upload
    assert fingerprint_of(upload.reference()) == FINGERPRINT
    assert bound_name(upload.reference(), "other") == name


@given(names, tables, st.lists(ids).map(tuple))
def test_a_reference_round_trips_with_the_known_ids(
    name: str, parts: PartLayout, others: tuple[str, ...]
) -> None:
    upload = MultipartRef(name, FINGERPRINT, parts, known_ids=others)
    assert parse_reference(upload.reference()) == upload
    assert upload.with_id("id") == MultipartRef(name, FINGERPRINT, parts, "id")


@pytest.mark.parametrize(
    "partial", ["clip.mxf", f"day/.clip.mxf.{FINGERPRINT}.partial", f"clip.mxf/{FINGERPRINT}/8/id"]
)
def test_a_temporary_name_is_no_upload(partial: str) -> None:
    assert parse_reference(partial) is None
    assert bound_name(partial, "other") == "other"


def test_the_fingerprint_is_that_of_the_temporary_name() -> None:
    assert fingerprint_of(f"day/.clip.mxf.{FINGERPRINT}.partial") == FINGERPRINT
    assert fingerprint_of("clip.mxf") == ""
