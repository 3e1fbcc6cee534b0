"""What the journal keeps of upload jobs."""

from attrs import evolve
from sqlalchemy import select

from agent.journal import history, orphans, routes, schema, transfers, uploads
from agent.journal.journal import Journal
from agent.journal.uploads import PATHS_AT_ONCE
from agent.model.transfer import VerifiedTransfer
from agent.model.upload import UploadFile, UploadFileState, UploadJob, UploadState
from agent.model.views import UploadFilesQuery, UploadsQuery
from tests.journal.journal_samples import NOT_UTF8, begun, ended

JOB = UploadJob("j1", f"/media/{NOT_UTF8}", "archive", f"*{NOT_UTF8}", UploadState.PENDING, 1.5, 2.5)
FILE = UploadFile(NOT_UTF8, UploadFileState.PENDING, 5, 16 * 10**18, 1.0, 2.0, f"j1/{NOT_UTF8}", "locked")


def named(path: str, state: UploadFileState = UploadFileState.PENDING) -> UploadFile:
    return evolve(FILE, path=path, state=state, key=None, error=None)


def test_a_job_is_kept_as_it_was_given(journal: Journal) -> None:
    journal.write(uploads.add, JOB)
    assert journal.read(uploads.find, "j1") == JOB
    assert journal.read(uploads.find, "j2") is None
    assert journal.write(uploads.needing_cleanup) == (JOB,)


def test_the_state_of_a_job_and_its_files_is_written(journal: Journal) -> None:
    journal.write(uploads.add, JOB)
    job = evolve(JOB, state=UploadState.IN_PROGRESS, progress=0.5, total_files=2, completed_files=1)
    assert journal.write(uploads.upsert, job, (FILE, named("b")), ())
    assert journal.read(uploads.find, "j1") == job
    assert set(journal.write(uploads.files, "j1")) == {FILE, named("b")}
    uploaded = evolve(FILE, state=UploadFileState.UPLOADED, size_bytes=6, error=None)
    assert journal.write(uploads.upsert, job, (uploaded, named("c")), ("b", "never seen"))
    assert set(journal.write(uploads.files, "j1")) == {uploaded, named("c")}


def test_many_files_are_written_at_once(journal: Journal) -> None:
    journal.write(uploads.add, JOB)
    files = tuple(named(f"clip{number:05}") for number in range(2 * PATHS_AT_ONCE + 1))
    journal.write(uploads.upsert, JOB, files, ())
    journal.write(uploads.upsert, JOB, tuple(evolve(file, size_bytes=7) for file in files), ())
    assert {file.size_bytes for file in journal.write(uploads.files, "j1")} == {7}
    assert len(journal.write(uploads.files, "j1")) == len(files)


def test_files_of_two_jobs_do_not_meet(journal: Journal) -> None:
    for job in (JOB, evolve(JOB, id="j2")):
        journal.write(uploads.add, job)
        journal.write(uploads.upsert, job, (named("a"),), ())
    journal.write(uploads.upsert, JOB, (named("a", UploadFileState.FAILED),), ())
    assert journal.write(uploads.files, "j2") == (named("a"),)
    journal.write(uploads.upsert, JOB, (), ("a",))
    assert journal.write(uploads.files, "j2") == (named("a"),)


def test_a_job_stops_once_and_keeps_its_end(journal: Journal) -> None:
    journal.write(uploads.add, JOB)
    assert journal.write(uploads.stop, "j1", "stopped", 9.0)
    assert not journal.write(uploads.stop, "j1", "again", 10.0)
    assert not journal.write(uploads.stop, "nobody", "stopped", 9.0)
    journal.write(
        uploads.upsert, evolve(JOB, state=UploadState.COMPLETED, total_files=3, updated_at=11.0), (), ()
    )
    job = journal.read(uploads.find, "j1")
    assert job == evolve(JOB, state=UploadState.FAILED, error="stopped", total_files=3, updated_at=11.0)


def test_a_job_that_went_with_a_lost_journal_is_written_down_again(journal: Journal) -> None:
    assert not journal.write(uploads.upsert, JOB, (named("a"),), ())
    assert journal.read(uploads.find, "j1") == JOB
    assert journal.write(uploads.files, "j1") == (named("a"),)


def test_a_closed_job_stays_and_its_route_is_forgotten(journal: Journal) -> None:
    journal.write(uploads.add, JOB)
    ended(journal, "a.mxf", "kept", route="upload:j1")
    ended(journal, "b.mxf", "kept", route="mxf")
    journal.write(routes.set_paused, "upload:j1", paused=True)
    journal.write(uploads.mark_cleaned, "j1", "upload:j1")
    assert journal.write(uploads.needing_cleanup) == ()
    assert journal.read(uploads.find, "j1") == JOB
    assert [
        len(journal.write(history.prior_results, route, ("a.mxf", "b.mxf"))) for route in ("upload:j1", "mxf")
    ] == [0, 1]
    assert journal.write(routes.paused) == frozenset()


def test_unverified_partials_of_a_route_become_orphans_and_verified_ones_do_not(journal: Journal) -> None:
    begun(journal, "a.mxf", "upload:j1")
    arrived = begun(journal, "b.mxf", "upload:j1")
    journal.write(transfers.mark_verified, [VerifiedTransfer(arrived.id, "b.mxf", "xxh128:0", "read_back")])
    begun(journal, "c.mxf", "mxf")
    journal.write(uploads.add_orphans, "upload:j1")
    running = journal.write(lambda tx: tx.db.execute(select(schema.transfers)).all())
    left = {(row.route, row.path) for row in running}
    assert journal.write(orphans.at_destination, "/nas") == (".a.mxf.partial",)
    assert left == {("upload:j1", "b.mxf"), ("mxf", "c.mxf")}


def test_jobs_are_paged_newest_first_without_gap_or_repetition(journal: Journal) -> None:
    names = [f"j{number}" for number in range(5)]
    for name in names:
        journal.write(uploads.add, evolve(JOB, id=name))
    found: list[str] = []
    before: int | None = None
    while True:
        page = journal.read(uploads.page, UploadsQuery(2, before))
        found += [job.id for job in page.jobs]
        before = page.next_before_id
        if before is None:
            break
    assert found == names[::-1]


def test_files_are_paged_in_the_order_in_which_they_were_found(journal: Journal) -> None:
    journal.write(uploads.add, JOB)
    files = [named(f"clip{9 - number}") for number in range(5)]
    journal.write(uploads.upsert, JOB, files, ())
    journal.write(uploads.upsert, JOB, (named("clip7", UploadFileState.FAILED),), ())
    first = journal.read(uploads.files_page, UploadFilesQuery("j1", limit=3))
    assert [file.path for file in first.files] == ["clip9", "clip8", "clip7"]
    rest = journal.read(
        uploads.files_page, UploadFilesQuery("j1", limit=3, after_id=first.next_after_id or 0)
    )
    assert ([file.path for file in rest.files], rest.next_after_id) == (["clip6", "clip5"], None)
    failed = journal.read(uploads.files_page, UploadFilesQuery("j1", UploadFileState.FAILED))
    assert [file.path for file in failed.files] == ["clip7"]
