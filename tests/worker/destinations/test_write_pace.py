"""How many bytes are written before a sync: few on slow storage, and no bound on fast storage."""

from hypothesis import given
from hypothesis import strategies as st

from agent.model.verification import BLOCK_BYTES
from agent.worker.destinations.write_pace import MOST_BYTES, SYNC_S, WritePace

KIB = 1024


def settled(bytes_s: float, pace: WritePace) -> WritePace:
    """After many syncs of as much as the pace allows, on storage of this speed."""
    for _ in range(20):
        pace.synced(pace.limit_bytes, pace.limit_bytes / bytes_s)
    return pace


@given(st.floats(KIB, 10 * KIB**3), st.integers(BLOCK_BYTES, MOST_BYTES))
def test_a_sync_soon_takes_no_longer_than_it_should_unless_of_one_block(
    bytes_s: float, limit_bytes: int
) -> None:
    pace = settled(bytes_s, WritePace(limit_bytes))
    assert BLOCK_BYTES <= pace.limit_bytes <= MOST_BYTES
    assert pace.limit_bytes == BLOCK_BYTES or pace.limit_bytes / bytes_s <= SYNC_S * 1.001


def test_the_first_slow_sync_is_followed_by_one_that_fits() -> None:
    pace = WritePace(MOST_BYTES)
    pace.synced(MOST_BYTES, MOST_BYTES / (4 * BLOCK_BYTES))
    assert pace.limit_bytes == 4 * BLOCK_BYTES


def test_fast_storage_has_no_bound_after_a_few_syncs() -> None:
    pace, syncs = WritePace(), 0
    while pace.limit_bytes < MOST_BYTES:
        pace.synced(pace.limit_bytes, 0.01)
        syncs += 1
    assert syncs == 5


def test_small_files_say_nothing_about_speed() -> None:
    pace = WritePace(8 * BLOCK_BYTES)
    pace.synced(KIB, 0.001)
    pace.synced(0, 10.0)
    assert pace.limit_bytes == 8 * BLOCK_BYTES
