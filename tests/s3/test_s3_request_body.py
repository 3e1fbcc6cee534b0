"""A request body is the blocks in order, however it is read, and again after each seek."""

import os

from hypothesis import given
from hypothesis import strategies as st

from agent.worker.destinations.s3.request_body import RequestBody

blocks = st.lists(st.binary(min_size=1, max_size=20), max_size=5)


@given(blocks, st.integers(1, 25))
def test_pieces_of_any_size_make_up_the_whole(blocks: list[bytes], size: int) -> None:
    beats: list[None] = []
    body = RequestBody(blocks, lambda: beats.append(None))
    pieces = list(iter(lambda: bytes(body.read(size)), b""))
    assert b"".join(pieces) == b"".join(blocks)
    assert len(body) == body.tell() == len(b"".join(blocks))
    assert len(beats) == len(pieces) + 1


@given(blocks, st.data())
def test_it_can_be_read_again_from_anywhere(blocks: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(blocks)
    body = RequestBody(blocks, lambda: None)
    offset = data.draw(st.integers(0, len(whole)))
    assert body.seek(offset - len(whole), os.SEEK_END) == offset
    assert body.tell() == offset
    assert bytes(body.read()) == whole[offset:]
    assert body.seek(0) == 0
    assert bytes(body.read()) == whole
