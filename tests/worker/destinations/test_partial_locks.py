"""A partial is locked by one process until that process has exited."""

import os
from pathlib import Path

import pytest

from agent.model.errors import Fault, FaultKind
from agent.worker.destinations.partial_locks import PartialLocks
from tests.worker.copy.folders import PARTIAL
from tests.worker.destinations.lock_holders import another_process_holds


@pytest.fixture(autouse=True)
def _clean() -> None:
    """The file of the locks stays open as long as its process lives."""


@pytest.fixture
def locks(tmp_path: Path) -> PartialLocks:
    return PartialLocks(str(tmp_path / "locks"))


def is_held(locks: PartialLocks, root: str = "/nas", partial: str = PARTIAL) -> bool:
    try:
        with locks.locked(root, partial):
            return False
    except Fault as fault:
        if fault.kind is FaultKind.BUSY:
            return True
        raise


def test_a_lock_of_another_process_is_refused_until_it_is_released(locks: PartialLocks) -> None:
    with another_process_holds(locks.path, "/nas", PARTIAL):
        assert is_held(locks)
    assert not is_held(locks)


def test_a_killed_process_holds_no_lock_once_it_has_exited(locks: PartialLocks) -> None:
    with another_process_holds(locks.path, "/nas", PARTIAL) as process:
        process.kill()
        process.wait()
        assert not is_held(locks)


def test_other_partials_and_those_of_other_destinations_are_free(locks: PartialLocks) -> None:
    odd = os.fsdecode(b".\xff.partial")
    with another_process_holds(locks.path, "/nas", PARTIAL):
        assert not is_held(locks, "/other")
        assert not is_held(locks, partial=odd)
    with another_process_holds(locks.path, "/nas", odd):
        assert is_held(locks, partial=odd)


def test_releasing_one_lock_keeps_the_others_of_its_process(locks: PartialLocks) -> None:
    assert not is_held(locks)
    with another_process_holds(locks.path, "/nas", PARTIAL), locks.locked("/nas", ".other.partial"):
        assert is_held(locks)


def test_a_lock_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    locks = PartialLocks(str(tmp_path / "missing" / "locks"))
    with pytest.raises(Fault, match="missing/locks cannot be locked: No such file") as fault:
        is_held(locks)
    assert fault.value.kind is FaultKind.WORKER
