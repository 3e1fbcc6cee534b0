"""Operations that wait for the same commit, and the result of that commit.

This runs in the writer's thread. An operation that raises is undone alone; a commit that fails fails for all.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, cast

from attrs import define, field, frozen

from agent.journal.errors import JournalDamaged, JournalError
from agent.journal.journal import Journal, TransferLost

T = TypeVar("T")


class NotCommitted(JournalError):  # noqa: N818  a state of affairs, not a mistake
    """The operation never ran, because the commit could not be started."""


@define(eq=False)
class PendingWrite(Generic[T]):
    """An operation that waits for its commit; it has failed unless it is known to have succeeded."""

    operation: Callable[[], T]
    ended: bool = False
    result: T | None = None
    error: Exception | None = field(factory=lambda: NotCommitted("the journal was not written"))

    def run(self) -> None:
        try:
            self.result, self.error = self.operation(), None
        except Exception as error:  # noqa: BLE001  it is raised where this operation is awaited
            self.error = error

    def answer(self) -> T:
        if self.error is not None:
            raise self.error
        return cast("T", self.result)


PendingWrites = Sequence[PendingWrite[Any]]


@frozen
class CommitResult:
    """`obstacle`: why something could not be written; `damage`: what made the file be set aside."""

    wrote: bool
    obstacle: str | None
    damage: str | None


def commit(journal: Journal, jobs: PendingWrites) -> CommitResult:
    """Run all of them in one transaction. If the file is found damaged, all fail and a fresh one is begun."""
    before = journal.changes
    try:
        with journal.transaction():
            for job in jobs:
                job.run()
            _raise_damage(jobs)
    except JournalDamaged as damage:
        return _renew(journal, jobs, str(damage))
    except Exception as error:  # noqa: BLE001  it is raised for every operation
        # If an operation made SQLite roll everything back, its own error says more than the commit's.
        _fail(jobs, JournalError, _obstacle(jobs) or error)
    return CommitResult(journal.changes > before, _obstacle(jobs), None)


def not_started(jobs: PendingWrites, why: str) -> CommitResult:
    """None of them could be run."""
    _fail(jobs, NotCommitted, why)
    return CommitResult(False, why, None)


def _raise_damage(jobs: PendingWrites) -> None:
    """Nothing may be committed to a file that was found damaged."""
    for job in jobs:
        if isinstance(job.error, JournalDamaged):
            raise job.error


def _renew(journal: Journal, jobs: PendingWrites, damage: str) -> CommitResult:
    _fail(jobs, TransferLost, damage)
    try:
        journal.recreate(damage)
    except JournalError as error:
        _fail(jobs, JournalError, error)
    return CommitResult(False, _obstacle(jobs), damage)


def _fail(jobs: PendingWrites, kind: type[JournalError], error: object) -> None:
    for job in jobs:
        job.error = kind(str(error))


def _obstacle(jobs: PendingWrites) -> str | None:
    """Why the journal could not be used, if an operation failed for that reason."""
    errors = (job.error for job in jobs)
    obstacles = (error for error in errors if isinstance(error, JournalError))
    return next(
        (str(error) for error in obstacles if not isinstance(error, TransferLost | NotCommitted)), None
    )
