"""Operations that wait for one commit, and how it went."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, cast

from attrs import define, field, frozen

from agent.journal.database import JournalDamaged, JournalError
from agent.journal.journal import Journal, TransferLost

T = TypeVar("T")


class NotCommitted(JournalError):  # noqa: N818  a state of affairs, not a mistake
    """It never came to that."""


@define(eq=False)
class PendingWrite(Generic[T]):
    """An operation that waits for its commit; it failed unless it is known to have succeeded."""

    operation: Callable[[], T]
    ended: bool = False
    result: T | None = None
    error: Exception | None = field(factory=lambda: NotCommitted("the journal was not written"))

    def run(self) -> None:
        try:
            self.result, self.error = self.operation(), None
        except Exception as error:  # noqa: BLE001  it belongs to whoever waits for this job
            self.error = error

    def answer(self) -> T:
        if self.error is not None:
            raise self.error
        return cast("T", self.result)


PendingWrites = Sequence[PendingWrite[Any]]


@frozen
class CommitResult:
    """Was anything written, what kept the rest from being written, and what was found damaged?"""

    wrote: bool
    obstacle: str | None
    damage: str | None


def commit(journal: Journal, jobs: PendingWrites) -> CommitResult:
    """Carry all of them out in one transaction; on a fresh journal begins whatever met a damaged one."""
    before = journal.changes
    try:
        with journal.transaction():
            for job in jobs:
                job.run()
            _look_for_damage(jobs)
    except JournalDamaged as damage:
        return _renew(journal, jobs, str(damage))
    except Exception as error:  # noqa: BLE001  every waiter must hear of it
        # Where an operation made SQLite roll all of it back, its own words say more than the commit's.
        _fail(jobs, JournalError, _obstacle(jobs) or error)
    return CommitResult(journal.changes > before, _obstacle(jobs), None)


def _look_for_damage(jobs: PendingWrites) -> None:
    """What was found damaged must not be committed to."""
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
    """Why the journal could not be used, if that is why a job failed."""
    errors = (job.error for job in jobs)
    obstacles = (error for error in errors if isinstance(error, JournalError))
    return next(
        (str(error) for error in obstacles if not isinstance(error, TransferLost | NotCommitted)), None
    )
