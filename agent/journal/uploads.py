"""Upload jobs and their files, as the journal keeps them. They stay when they have ended."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from attrs import asdict, fields
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from agent.journal import orphans
from agent.journal.journal import Transaction
from agent.journal.schema import history, paused_routes, transfers, upload_files, upload_jobs
from agent.model.transfer import TransferPhase
from agent.model.upload import UploadFile, UploadJob, UploadState
from agent.model.views import UploadFilesPage, UploadFilesQuery, UploadsPage, UploadsQuery

PATHS_AT_ONCE = 500  # databases allow only so many parameters

_JOB = [upload_jobs.c[each.name] for each in fields(UploadJob)]
_FILE = [upload_files.c[each.name] for each in fields(UploadFile)]
_ACTIVE = upload_jobs.c.state.in_([state for state in UploadState if not state.is_end])


def add(tx: Transaction, job: UploadJob) -> None:
    """A job that the journal does not know yet."""
    tx.db.execute(insert(upload_jobs).values(**asdict(job), cleaned_up=False))


def upsert(tx: Transaction, job: UploadJob, changed: Sequence[UploadFile], gone: Iterable[str]) -> bool:
    """The present state of the job and of these files; `gone`: paths that are not there any more.

    A job that has ended in the meantime keeps its end. Returns whether the job was known: if not, its files
    were lost with a journal that was set aside, and all of them have to be written again.
    """
    known = find(tx.db, job.id)
    if known is None:
        add(tx, job)
    else:
        kept = {"state": known.state, "error": known.error} if known.state.is_end else {}
        values = {**asdict(job), **kept}
        tx.db.execute(update(upload_jobs).where(upload_jobs.c.id == job.id).values(values))
    for path in gone:
        one = (upload_files.c.job == job.id, upload_files.c.path == path)
        tx.db.execute(delete(upload_files).where(*one))
    for some in _slices(changed):
        _put(tx.db, job.id, some)
    return known is not None


def stop(tx: Transaction, upload_id: str, reason: str, at: float) -> bool:
    """It fails for this reason, unless it has ended. Returns whether it had not."""
    chosen = update(upload_jobs).where(upload_jobs.c.id == upload_id, _ACTIVE)
    values = {"state": UploadState.FAILED, "error": reason, "updated_at": at}
    return bool(tx.db.execute(chosen.values(values)).rowcount)


def needing_cleanup(tx: Transaction) -> tuple[UploadJob, ...]:
    """The jobs that run, or have ended and may have left partials to remove, oldest first."""
    chosen = select(*_JOB).where(~upload_jobs.c.cleaned_up).order_by(upload_jobs.c.number)
    return tuple(UploadJob(**row) for row in tx.db.execute(chosen).mappings())


def files(tx: Transaction, upload_id: str) -> tuple[UploadFile, ...]:
    """All files of this job."""
    rows = tx.db.execute(select(*_FILE).where(upload_files.c.job == upload_id)).mappings()
    return tuple(UploadFile(**row) for row in rows)


def add_orphans(tx: Transaction, route: str) -> None:
    """The partials of this route's unverified transfers become orphans. Recovery completes verified ones."""
    unverified = select(transfers.c.id).where(
        transfers.c.route == route, transfers.c.phase == TransferPhase.COPYING
    )
    for transfer_id in tx.db.scalars(unverified).all():
        orphans.add_of_transfer(tx, transfer_id)
        tx.db.execute(delete(transfers).where(transfers.c.id == transfer_id))


def mark_cleaned(tx: Transaction, upload_id: str, route: str) -> None:
    """Nothing is left to do for the job; the journal forgets what it keeps for the job's route alone."""
    tx.db.execute(update(upload_jobs).where(upload_jobs.c.id == upload_id).values(cleaned_up=True))
    tx.db.execute(
        update(history)
        .where(history.c.route == route, history.c.suppresses_retry)
        .values(suppresses_retry=False)
    )
    tx.db.execute(delete(paused_routes).where(paused_routes.c.route == route))
    tx.remembered.paused.discard(route)


def find(db: Connection, upload_id: str) -> UploadJob | None:
    """The job with this id."""
    row = db.execute(select(*_JOB).where(upload_jobs.c.id == upload_id)).mappings().first()
    return None if row is None else UploadJob(**row)


def page(db: Connection, query: UploadsQuery) -> UploadsPage:
    """Jobs, newest first; one row more is read to know whether others follow."""
    chosen = select(upload_jobs.c.number, *_JOB).order_by(upload_jobs.c.number.desc())
    if query.before_id is not None:
        chosen = chosen.where(upload_jobs.c.number < query.before_id)
    next_number, rows = _page(db.execute(chosen.limit(query.limit + 1)).mappings(), query.limit)
    return UploadsPage(tuple(UploadJob(**row) for row in rows), next_number)


def files_page(db: Connection, query: UploadFilesQuery) -> UploadFilesPage:
    """Files of a job, in the order in which they were found; one row more is read, as for `page`."""
    chosen = select(upload_files.c.number, *_FILE).order_by(upload_files.c.number)
    chosen = chosen.where(upload_files.c.job == query.upload_id, upload_files.c.number > query.after_id)
    if query.state is not None:
        chosen = chosen.where(upload_files.c.state == query.state)
    next_number, rows = _page(db.execute(chosen.limit(query.limit + 1)).mappings(), query.limit)
    return UploadFilesPage(tuple(UploadFile(**row) for row in rows), next_number)


def _put(db: Connection, job_id: str, changed: Sequence[UploadFile]) -> None:
    paths = [file.path for file in changed]
    chosen = select(upload_files.c.path).where(upload_files.c.job == job_id, upload_files.c.path.in_(paths))
    known = set(db.scalars(chosen))
    old = [{**asdict(file), "_path": file.path} for file in changed if file.path in known]
    new = [{**asdict(file), "job": job_id} for file in changed if file.path not in known]
    if old:
        one = (upload_files.c.job == job_id, upload_files.c.path == bindparam("_path"))
        db.execute(update(upload_files).where(*one), old)
    if new:
        db.execute(insert(upload_files), new)


def _slices(changed: Sequence[UploadFile]) -> Iterator[Sequence[UploadFile]]:
    return (changed[at : at + PATHS_AT_ONCE] for at in range(0, len(changed), PATHS_AT_ONCE))


def _page(found: Iterable[Any], limit: int) -> tuple[int | None, list[dict[str, Any]]]:
    """The number at which the next page begins, None: there is none; and the rows without their numbers."""
    rows = [dict(row) for row in found]
    shown = rows[:limit]
    following = shown[-1]["number"] if len(rows) > limit else None
    return following, [{name: value for name, value in row.items() if name != "number"} for row in shown]
