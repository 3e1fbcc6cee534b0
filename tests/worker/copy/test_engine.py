"""The copy engine: what arrives, how it goes on after a stop, how it is verified."""

import os
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress

import pytest
import xxhash
from hypothesis import example, given
from hypothesis import strategies as st

from agent.model.errors import Fault, FaultKind
from agent.model.verification import DIGEST_BYTES
from agent.protocol.replies import BlockPatched, Checkpoint, Copying, TrustedBlocks
from agent.protocol.requests import VerifyMode
from agent.worker.copy import pipeline
from tests.worker.copy.bench import BLOCK, WINDOW, bench_with, content_of_size, small_blocks, with_blocks_of
from tests.worker.copy.faulty import ALWAYS, Script
from tests.worker.copy.folders import digests_of, nothing_left_over

SIZES = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, WINDOW, WINDOW + 1, 5 * WINDOW, 5 * WINDOW + 7]


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    with small_blocks():
        yield


# What arrives


@pytest.mark.parametrize("verify", ["read_back", "hash", "size"])
@pytest.mark.parametrize("size_bytes", SIZES)
def test_what_arrives_is_what_was_sent(size_bytes: int, verify: VerifyMode) -> None:
    content = content_of_size(size_bytes)
    with bench_with(content) as bench:
        digest, level = bench.run(verify=verify)
        assert bench.partial.read_bytes() == content
        assert digest == xxhash.xxh3_128_digest(content)
        assert bench.checkpointed == digests_of(content, BLOCK)
        assert bench.progress.read_bytes == size_bytes
        expected = "read_back_cached" if verify == "read_back" and content else verify
        assert level == expected  # a file system in memory has no storage to ask


def test_a_partial_of_an_unknown_attempt_is_overwritten_in_full() -> None:
    content = content_of_size(3 * BLOCK)
    with bench_with(content) as bench:
        bench.partial.write_bytes(b"x" * 10 * BLOCK)
        bench.run()
        assert bench.partial.read_bytes() == content


def test_only_what_was_asked_for_is_read_back() -> None:
    script = Script()
    with bench_with(content_of_size(WINDOW)) as bench:
        bench.run(script=script, verify="hash")
    assert "read_back" not in script.operations
    assert "flush" in script.operations


def test_a_partial_that_ends_early_or_late_is_corrupt_whatever_the_level() -> None:
    verifies: tuple[VerifyMode, ...] = ("read_back", "hash", "size")
    for verify in verifies:
        for lost_bytes in (1, -1):
            with bench_with(content_of_size(BLOCK + 9)) as bench, pytest.raises(Fault) as fault:
                bench.run(script=Script(lost_bytes=lost_bytes), verify=verify)
            assert fault.value.kind is FaultKind.CORRUPT
            assert str(fault.value) == f"{BLOCK + 9 - lost_bytes} bytes arrived instead of {BLOCK + 9}"


def test_memory_does_not_grow_with_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    with_blocks_of(monkeypatch, 1 << 16)
    window = pipeline.WINDOW_BLOCKS << 16
    with bench_with(b"") as bench:
        os.truncate(bench.source, 40 * window)
        tracemalloc.start()
        bench.run()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 9 * window


# Going on


def test_intact_blocks_are_not_read_from_the_source_again() -> None:
    content = content_of_size(5 * WINDOW + 7)
    with bench_with(content) as bench:
        bench.partial.write_bytes(content[: 3 * WINDOW])
        bench.run(digests_of(content, BLOCK)[: 3 * WINDOW // BLOCK])
        assert bench.progress.read_bytes == len(content) - 3 * WINDOW
        assert bench.partial.read_bytes() == content


def test_a_damaged_block_and_all_after_it_are_copied_again() -> None:
    content = content_of_size(4 * BLOCK + 5)
    with bench_with(content) as bench:
        damaged = bytearray(content)
        damaged[2 * BLOCK] ^= 1
        bench.partial.write_bytes(damaged)
        digest, _ = bench.run(digests_of(content, BLOCK))
        assert bench.progress.read_bytes == len(content) - 2 * BLOCK
        assert bench.partial.read_bytes() == content
        assert digest == xxhash.xxh3_128_digest(content)


def test_believed_blocks_that_a_shorter_partial_lost_are_copied_again() -> None:
    content = content_of_size(4 * BLOCK)
    with bench_with(content) as bench:
        bench.partial.write_bytes(content[: 2 * BLOCK + 5])
        bench.run(digests_of(content, BLOCK))
        assert bench.progress.read_bytes == 2 * BLOCK
        assert bench.partial.read_bytes() == content


def test_more_believed_blocks_than_the_source_has_add_nothing_to_it() -> None:
    content = content_of_size(3 * BLOCK)
    with bench_with(content) as bench:
        longer = content + b"y" * BLOCK
        bench.partial.write_bytes(longer)
        digest, _ = bench.run(digests_of(longer, BLOCK))
        assert bench.partial.read_bytes() == content
        assert digest == xxhash.xxh3_128_digest(content)


def test_a_complete_partial_is_verified_without_reading_the_source() -> None:
    content = content_of_size(3 * BLOCK)
    with bench_with(content) as bench:
        bench.run()
        bench.run(bench.checkpointed)
        assert bench.progress.read_bytes == 0


@given(
    size_bytes=st.integers(0, 3 * WINDOW + BLOCK),
    stop_at=st.integers(0, 80),
    wrong=st.none() | st.integers(0, 30),
    surplus=st.integers(0, 3),
    torn_bytes=st.integers(0, 2 * BLOCK),
)
@example(size_bytes=WINDOW, stop_at=80, wrong=None, surplus=1, torn_bytes=0)
def test_wherever_a_copy_stops_and_whatever_is_believed_the_next_one_ends_right(
    size_bytes: int, stop_at: int, wrong: int | None, surplus: int, torn_bytes: int
) -> None:
    content = content_of_size(size_bytes)
    with bench_with(content) as bench, nothing_left_over():
        with suppress(Fault), pytest.MonkeyPatch.context() as often:
            often.setattr(pipeline, "REPORT_S", 0.0)
            bench.run(script=Script(stop_at=stop_at))
        known = list(bench.checkpointed)
        assert tuple(known) == digests_of(content, BLOCK)[: len(known)]
        content_now = bench.partial.read_bytes()
        assert content_now[: len(known) * BLOCK] == content[: len(known) * BLOCK], "a checkpoint ran ahead"
        if wrong is not None and wrong < len(known):
            known[wrong] = bytes(DIGEST_BYTES)
        os.truncate(bench.partial, max(0, len(content_now) - torn_bytes))
        digest, _ = bench.run(tuple(known) + (bytes(DIGEST_BYTES),) * surplus)
        assert bench.partial.read_bytes() == content
        assert bench.checkpointed == digests_of(content, BLOCK)
        assert digest == xxhash.xxh3_128_digest(content)


# Verification


@pytest.mark.parametrize(
    "script", [Script(spoils={BLOCK: 1, 2 * WINDOW: 1}), Script(flips={BLOCK: 1, 2 * WINDOW: 1})]
)
def test_a_block_that_arrived_altered_is_repaired_and_counted(script: Script) -> None:
    content = content_of_size(2 * WINDOW + 5)
    with bench_with(content) as bench:
        bench.run(script=script)
        assert bench.progress.repaired_blocks == 2
        assert bench.partial.read_bytes() == content
        assert bench.checkpointed == digests_of(content, BLOCK)


def test_a_block_that_stays_altered_is_corrupt_and_named_and_not_checkpointed() -> None:
    number = pipeline.WINDOW_BLOCKS + 3
    script = Script(flips={number * BLOCK: ALWAYS})
    with bench_with(content_of_size(4 * WINDOW)) as bench, pytest.raises(Fault) as fault:
        bench.run(script=script)
    assert fault.value.kind is FaultKind.CORRUPT
    first, last = number * BLOCK, (number + 1) * BLOCK - 1
    assert f"block {number} (bytes {first} to {last})" in str(fault.value)
    assert len(bench.checkpointed) <= pipeline.WINDOW_BLOCKS


def test_a_checkpoint_follows_the_flush_and_the_reading_back_of_its_blocks() -> None:
    script = Script()
    before: list[list[str]] = []

    def listen(report: Copying | Checkpoint | BlockPatched | TrustedBlocks) -> None:
        if isinstance(report, Checkpoint):
            assert len(report.digests) == pipeline.WINDOW_BLOCKS * DIGEST_BYTES
            before.append(list(script.operations))

    with bench_with(content_of_size(WINDOW)) as bench:
        bench.listen = listen
        bench.run(script=script)
    each = pipeline.WINDOW_BLOCKS
    assert before == [["size", "truncate", *["write"] * each, "flush", *["read_back"] * each, "anchor"]]
