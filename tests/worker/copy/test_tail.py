"""Growing files: the tail is followed, and what was rewritten behind it is found at the end."""

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from agent.fs import platform
from agent.model.errors import Fault, FaultKind, OutageReason
from agent.protocol.replies import BlockPatched, Checkpoint, Copying, TrustedBlocks
from agent.worker.copy import pipeline, tail
from agent.worker.copy.room import SPARE_BLOCKS
from tests.worker.copy.bench import (
    BLOCK,
    WINDOW,
    Bench,
    bench_with,
    content_of_size,
    limited_to,
    small_blocks,
)
from tests.worker.copy.faulty import ALWAYS, Script
from tests.worker.copy.folders import digests_of, nothing_left_over

HEADROOM = 8 * BLOCK
PATIENCE_S = 30.0


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(tail, "POLL_S", 0.001)
    monkeypatch.setattr(tail, "IDLE_S", 0.02)
    monkeypatch.setattr(tail, "HEADROOM_BYTES", HEADROOM)
    with small_blocks():
        yield


def rewrite(bench: Bench, offset: int, data: bytes) -> None:
    with bench.source.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def writing(bench: Bench, pieces: Iterator[bytes], may_go_on: threading.Semaphore) -> threading.Thread:
    """Appends a piece each time the follower reports that it is alive; until the last one it is not idle."""
    idle_s, tail.IDLE_S = tail.IDLE_S, 2 * PATIENCE_S

    def write() -> None:
        with bench.source.open("ab", buffering=0) as file:
            for piece in pieces:
                assert may_go_on.acquire(timeout=PATIENCE_S)
                file.write(piece)
        tail.IDLE_S = idle_s

    thread = threading.Thread(target=write)
    thread.start()
    return thread


# The tail


def test_what_the_writer_has_left_behind_is_copied_in_whole_blocks_some_way_before_the_end() -> None:
    content = content_of_size(3 * WINDOW + 7)
    with bench_with(content) as bench:
        blocks = bench.follow()
        assert blocks == (3 * WINDOW + 7 - HEADROOM) // BLOCK
        assert bench.partial.read_bytes() == content[: blocks * BLOCK]
        assert bench.checkpointed == digests_of(content, BLOCK)[:blocks]


def test_a_file_that_grows_meanwhile_is_followed_to_its_new_end() -> None:
    content = content_of_size(6 * WINDOW)
    may_go_on = threading.Semaphore(0)

    def listen(report: Copying | Checkpoint | BlockPatched | TrustedBlocks) -> None:
        bench.reports.append(report)
        if isinstance(report, Copying):
            may_go_on.release()

    with bench_with(content[:WINDOW]) as bench:
        bench.listen = listen
        pieces = (content[at : at + WINDOW // 2] for at in range(WINDOW, len(content), WINDOW // 2))
        writer = writing(bench, pieces, may_go_on)
        blocks = bench.follow()
        writer.join()
        assert blocks == (len(content) - HEADROOM) // BLOCK
        assert bench.partial.read_bytes() == content[: blocks * BLOCK]


def test_a_file_smaller_than_the_headroom_is_left_alone() -> None:
    with bench_with(content_of_size(HEADROOM)) as bench:
        assert bench.follow() == 0
        assert bench.checkpointed == ()


def test_what_was_reserved_but_not_written_yet_is_not_copied() -> None:
    page = 4096
    with bench_with(content_of_size(4 * page)) as bench:
        os.truncate(bench.source, 64 * page)
        assert bench.follow() == 4 * page // BLOCK


def test_a_file_that_became_shorter_than_what_was_copied_has_changed() -> None:
    content = content_of_size(4 * WINDOW)
    with bench_with(content) as bench:
        bench.follow()
        os.truncate(bench.source, WINDOW)
        with pytest.raises(Fault) as fault:
            bench.follow(trusted=len(bench.checkpointed))
        assert fault.value.kind is FaultKind.SOURCE_CHANGED


def test_following_resumes_after_the_trusted_blocks_without_reading_them_again() -> None:
    content = content_of_size(6 * WINDOW)
    with bench_with(content[: 3 * WINDOW]) as bench:
        trusted = bench.follow()
        with bench.source.open("ab") as file:
            file.write(content[3 * WINDOW :])
        script = Script()
        blocks = bench.follow(trusted, script)
        assert bench.progress.read_bytes == (blocks - trusted) * BLOCK
        assert script.operations.count("read_back") == blocks - trusted
        assert bench.partial.read_bytes() == content[: blocks * BLOCK]


def test_after_a_restart_what_was_followed_is_read_back_before_it_is_believed() -> None:
    content = content_of_size(4 * WINDOW)
    with bench_with(content) as bench:
        blocks = bench.follow()
        damaged = bytearray(bench.partial.read_bytes())
        damaged[2 * BLOCK] ^= 1
        bench.partial.write_bytes(damaged)
        assert bench.follow() == blocks
        assert bench.partial.read_bytes() == content[: blocks * BLOCK]


def test_an_outage_while_following_is_raised_and_verified_blocks_are_checkpointed() -> None:
    content = content_of_size(8 * WINDOW)
    with bench_with(content) as bench:
        with pytest.raises(Fault) as fault:
            bench.follow(script=Script(stop_at=5 * WINDOW // BLOCK * 2))
        assert fault.value.reason is OutageReason.FULL
        known = len(bench.checkpointed)
        assert 0 < known < 8 * WINDOW // BLOCK
        assert bench.partial.read_bytes()[: known * BLOCK] == content[: known * BLOCK]


def test_where_space_runs_out_while_following_some_is_left_to_others() -> None:
    content = content_of_size(8 * WINDOW)
    with bench_with(content) as bench:
        with limited_to(4 * WINDOW + BLOCK), pytest.raises(Fault):
            bench.follow()
        kept_bytes = len(bench.checkpointed) * BLOCK - SPARE_BLOCKS * BLOCK
        assert 0 < kept_bytes == bench.partial.stat().st_size
        blocks = bench.follow()
        assert bench.partial.read_bytes() == content[: blocks * BLOCK]


def test_a_block_that_stays_altered_is_corrupt() -> None:
    with bench_with(content_of_size(4 * WINDOW)) as bench, pytest.raises(Fault, match="block 3") as fault:
        bench.follow(script=Script(flips={3 * BLOCK: ALWAYS}))
    assert fault.value.kind is FaultKind.CORRUPT


# The end


def test_a_head_that_was_rewritten_is_copied_again_and_nothing_else() -> None:
    content = content_of_size(5 * WINDOW + 7)
    with bench_with(content) as bench:
        trusted = bench.follow()
        rewrite(bench, 3, b"a new head")
        rewrite(bench, WINDOW + 1, b"a new index")
        final = bench.source.read_bytes()
        script = Script()
        digest, level = bench.reconcile(trusted, script)
        assert bench.partial.read_bytes() == final
        assert digest == xxhash.xxh3_128_digest(final)
        assert level == "read_back_cached"
        assert bench.progress.patched_blocks == 2
        tail_blocks = -(-len(final) // BLOCK) - trusted
        assert script.operations.count("write") == 2 + tail_blocks
        assert script.operations.count("read_back") == 2 + tail_blocks
        assert bench.checkpointed == digests_of(final, BLOCK)
        assert bench.progress.resumed_bytes == (trusted - 2) * BLOCK


@pytest.mark.parametrize(
    "change",
    [
        lambda content: b"longer head" + content,  # everything is shifted, as faststart does
        lambda content: content[: WINDOW + 3],
        lambda content: content[: 2 * WINDOW],
        lambda _: b"",
        lambda content: content[::-1],
        lambda content: content,
    ],
)
def test_whatever_became_of_a_followed_file_its_last_state_arrives(change: Callable[[bytes], bytes]) -> None:
    content = content_of_size(4 * WINDOW)
    with bench_with(content) as bench:
        trusted = bench.follow()
        final = change(content)
        bench.source.write_bytes(final)
        digest, _ = bench.reconcile(trusted)
        assert bench.partial.read_bytes() == final
        assert digest == xxhash.xxh3_128_digest(final)


def test_blocks_that_are_not_trusted_are_read_back_and_written_again_where_lost() -> None:
    content = content_of_size(4 * WINDOW)
    with bench_with(content) as bench:
        bench.follow()
        os.truncate(bench.partial, WINDOW)
        bench.reconcile(trusted=0)
        assert bench.partial.read_bytes() == content
        assert bench.progress.repaired_blocks == 0


@pytest.mark.parametrize("left_bytes", [None, 0, WINDOW + 3])
@pytest.mark.parametrize("followed_again", [False, True])
def test_no_block_is_trusted_when_the_partial_was_lost(left_bytes: int | None, followed_again: bool) -> None:
    """Somebody removed or cut it while nobody had it open: the final size would hide the hole."""
    content = content_of_size(8 * WINDOW)
    with bench_with(content[: 4 * WINDOW]) as bench:
        trusted = bench.follow()
        bench.source.write_bytes(content)
        if left_bytes is None:
            bench.partial.unlink()
        else:
            os.truncate(bench.partial, left_bytes)
        if followed_again:
            assert bench.follow(trusted) > trusted
            assert [report.blocks for report in bench.reports if isinstance(report, TrustedBlocks)][
                -1
            ] < trusted
        bench.reconcile(trusted)
        assert bench.partial.read_bytes() == content


@pytest.mark.parametrize("shared", [False, True])
def test_the_last_read_of_a_source_on_a_share_bypasses_our_own_cache(
    shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = content_of_size(4 * WINDOW)
    with bench_with(content) as bench:
        trusted = bench.follow()
        dropped: list[tuple[bool, int, int]] = []

        def drop(fd: int, offset: int, length: int) -> None:
            dropped.append((os.path.sameopenfile(fd, source), offset, length))

        source = os.open(bench.source, os.O_RDONLY)
        monkeypatch.setattr(platform, "is_network", lambda _: shared)
        monkeypatch.setattr(platform, "drop_cache", drop)
        bench.reconcile(trusted)
        os.close(source)
        assert ((True, 0, len(content)) in dropped) is shared


def test_a_source_that_fails_before_its_last_read_is_the_sources_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: int) -> bool:
        raise OSError(errno.EIO, "input/output error")

    with bench_with(content_of_size(4 * WINDOW)) as bench:
        monkeypatch.setattr(platform, "is_network", fail)
        with pytest.raises(Fault) as fault:
            bench.reconcile(bench.follow())
    assert fault.value.kind in {FaultKind.SOURCE, FaultKind.SOURCE_OUTAGE}


PATCHES = st.lists(st.tuples(st.integers(0, 4 * WINDOW), st.binary(min_size=1, max_size=BLOCK)), max_size=4)


@given(
    size_bytes=st.integers(0, 4 * WINDOW),
    followed=st.booleans(),
    first=PATCHES,
    stop_at=st.none() | st.integers(0, 90),
    second=PATCHES,
)
def test_after_any_rewriting_and_any_interruption_the_last_state_arrives(
    size_bytes: int,
    followed: bool,
    first: list[tuple[int, bytes]],
    stop_at: int | None,
    second: list[tuple[int, bytes]],
) -> None:
    """Trust in what was followed lasts for one revision alone: a half-done one may have altered it."""
    with (
        bench_with(content_of_size(size_bytes)) as bench,
        nothing_left_over(),
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setattr(pipeline, "REPORT_S", 0.0)
        patched.setattr(tail, "IDLE_S", 0.0)
        trusted = bench.follow() if followed else 0
        for offset, data in first:
            rewrite(bench, offset, data)
        if stop_at is not None:
            with suppress(Fault):
                bench.reconcile(trusted, Script(stop_at=stop_at))
            trusted = 0
        for offset, data in second:
            rewrite(bench, offset, data)
        digest, _ = bench.reconcile(trusted)
        final = bench.source.read_bytes()
        assert bench.partial.read_bytes() == final
        assert digest == xxhash.xxh3_128_digest(final)
        assert bench.checkpointed == digests_of(final, BLOCK)
