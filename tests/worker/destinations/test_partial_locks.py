"""One process at a partial, until it has really gone."""

import os
from pathlib import Path

import pytest

from agent.model.errors import Fault, FaultKind
from agent.worker.destinations.partial_locks import PartialLocks
from tests.worker.copy.folders import PARTIAL
from tests.worker.destinations.lock_holders import another_process_holds


@pytest.fixture
def claims(tmp_path: Path) -> PartialLocks:
    return PartialLocks(str(tmp_path / "claims"))


def is_held(claims: PartialLocks, root: str = "/nas", partial: str = PARTIAL) -> bool:
    try:
        with claims.locked(root, partial):
            return False
    except Fault as fault:
        if fault.kind is FaultKind.BUSY:
            return True
        raise


def test_what_another_process_holds_cannot_be_had_until_it_lets_go(claims: PartialLocks) -> None:
    with another_process_holds(claims.path, "/nas", PARTIAL):
        assert is_held(claims)
    assert not is_held(claims)


def test_a_killed_process_holds_nothing_once_it_has_gone(claims: PartialLocks) -> None:
    with another_process_holds(claims.path, "/nas", PARTIAL) as process:
        process.kill()
        process.wait()
        assert not is_held(claims)


def test_other_partials_and_those_of_other_destinations_are_free(claims: PartialLocks) -> None:
    odd = os.fsdecode(b".\xff.partial")
    with another_process_holds(claims.path, "/nas", PARTIAL):
        assert not is_held(claims, "/other")
        assert not is_held(claims, partial=odd)
    with another_process_holds(claims.path, "/nas", odd):
        assert is_held(claims, partial=odd)


def test_a_claim_that_was_let_go_leaves_the_others_of_its_process_alone(claims: PartialLocks) -> None:
    assert not is_held(claims)
    with another_process_holds(claims.path, "/nas", PARTIAL), claims.locked("/nas", ".other.partial"):
        assert is_held(claims)


def test_a_file_of_claims_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    claims = PartialLocks(str(tmp_path / "missing" / "claims"))
    with pytest.raises(Fault, match="missing/claims cannot be locked: No such file") as fault:
        is_held(claims)
    assert fault.value.kind is FaultKind.WORKER
