"""How an upload job stands, whatever is heard of its files, and in whatever order."""

import math

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from agent.actors.upload_manager.upload_job import (
    EMPTY,
    GONE_AFTER_S,
    MAX_FILES_PER_WRITE,
    UploadJobEvent,
    UploadJobTracker,
)
from agent.config.sections import Uploads
from agent.config.uploads import upload_route
from agent.messages.broadcaster import StatusChanged, Untracked
from agent.messages.dispatcher import DestinationState, SourceState, TransferProgress
from agent.model.errors import OutageReason
from agent.model.names import file_id
from agent.model.source_file import FileVersion, Signature, UnreadableFolder
from agent.model.transfer import Delivery, Status
from agent.model.upload import UploadFile, UploadFileState, UploadJob, UploadState

JOB = UploadJob("j1", "/media/day1", "archive", None, UploadState.PENDING, 1.0, 1.0)
ROUTE = upload_route(JOB, Uploads())
BUCKET = ROUTE.destination
OUTAGE = DestinationState(BUCKET, OutageReason.HUNG, "no answer", 1.0, 1.0, None, None, None)
OVER = evolve(OUTAGE, reason=None, detail="")


def a_file(
    path: str = "a.mxf", size_bytes: int = 100, mtime_ns: int = 1, route: str = ROUTE.name
) -> FileVersion:
    return FileVersion(file_id(route, path), route, path, Signature(1, 1, size_bytes, mtime_ns, 1), 1.0)


def moved(file: FileVersion, status: Status, error: str | None = None) -> StatusChanged:
    return StatusChanged(file.id, status, 1.0, file, error=error)


def delivered(file: FileVersion, name: str = "") -> StatusChanged:
    where = f"{BUCKET}/j1/{name or file.path}"
    size_bytes = file.signature.size_bytes
    delivery = Delivery(where, "read_back", "xxh128:0", size_bytes, already_present=False, kept=True)
    return StatusChanged(file.id, Status.COMPLETED, 1.0, file, "delivered", delivery=delivery)


def scanned(began_s: float, unreadable: tuple[UnreadableFolder, ...] = ()) -> SourceState:
    return SourceState(ROUTE.name, None, began_s, 1.0, 5, unreadable)


UNREACHABLE = SourceState(ROUTE.name, "source: No such file or directory", 0.0, 1.0)


def upload_of(*events: UploadJobEvent, at_s: float = 0.0) -> UploadJobTracker:
    upload = UploadJobTracker(JOB, ROUTE)
    for event in events:
        upload.on_event(event, at_s, 1000.0)
    return upload


def row_of(upload: UploadJobTracker, file: FileVersion) -> UploadFile:
    return upload.files[file.id]


def end_quietly(upload: UploadJobTracker, from_s: float = 0.0) -> UploadJobTracker:
    """Two scans after all has been at rest for long enough."""
    for began_s in (from_s + 50, from_s + 60):
        upload.on_event(scanned(began_s), began_s + 1, 2000.0)
    return upload


def test_a_job_waits_for_its_first_scan() -> None:
    upload = upload_of()
    assert upload.drain(1.0).job.state is UploadState.PENDING
    upload.on_event(scanned(1.0), 1.0, 1.0)
    assert upload.drain(1.0).job.state is UploadState.IN_PROGRESS


def test_an_empty_folder_is_complete_at_its_second_scan() -> None:
    upload = upload_of(scanned(1.0))
    assert not upload.has_ended
    upload.on_event(scanned(11.0), 11.0, 1.0)
    job = upload.drain(1.0).job
    assert (job.state, job.progress, job.total_files, job.error) == (UploadState.COMPLETED, 1.0, 0, None)


def test_a_job_is_complete_when_a_scan_that_began_after_the_last_upload_finds_nothing_else() -> None:
    file = a_file()
    upload = upload_of(moved(file, Status.DISCOVERED), scanned(0.5), at_s=1.0)
    upload.on_event(moved(file, Status.COPYING), 12.0, 1.0)
    assert row_of(upload, file).state is UploadFileState.IN_PROGRESS
    upload.on_event(delivered(file), 20.0, 1.0)
    upload.on_event(scanned(20.0), 21.0, 1.0)
    assert not upload.has_ended
    upload.on_event(scanned(20.1), 21.0, 1.0)
    assert upload.drain(1.0).job.state is UploadState.COMPLETED
    assert row_of(upload, file).key == "j1/a.mxf"


def test_what_has_just_been_seen_to_change_or_go_may_not_be_all() -> None:
    for last in (moved(a_file("b.mxf", 0), Status.DISCOVERED), Untracked((a_file("b.mxf").id,))):
        upload = upload_of(
            delivered(a_file()), moved(a_file("b.mxf"), Status.READY), scanned(0.0), scanned(0.0)
        )
        upload.on_event(last, 100.0, 1.0)
        upload.on_event(scanned(100.0 + ROUTE.stable_s - 0.1), 111.0, 1.0)
        assert not upload.has_ended
        upload.on_event(scanned(100.0 + ROUTE.stable_s), 111.0, 1.0)
        assert upload.drain(1.0).job.state is UploadState.COMPLETED


def test_a_file_that_changes_has_to_be_sent_again() -> None:
    old, new = a_file(), a_file(mtime_ns=2)
    upload = upload_of(moved(old, Status.READY), delivered(old))
    upload.on_event(moved(new, Status.DISCOVERED), 5.0, 7.0)
    row = row_of(upload, new)
    assert (row.state, row.key, row.created_at) == (UploadFileState.PENDING, "j1/a.mxf", 1000.0)
    assert not end_quietly(upload, 5.0).has_ended
    upload.on_event(delivered(new, "a_1.mxf"), 80.0, 1.0)
    assert end_quietly(upload, 80.0).drain(1.0).job.state is UploadState.COMPLETED
    assert row_of(upload, new).key == "j1/a_1.mxf"


def test_a_copy_that_tells_of_an_earlier_state_of_the_file_is_not_believed() -> None:
    old, new = a_file(), a_file(mtime_ns=2)
    upload = upload_of(moved(old, Status.READY), moved(new, Status.DISCOVERED), delivered(old))
    assert row_of(upload, new).state is UploadFileState.PENDING


def test_a_delivery_of_which_only_the_journal_knew_keeps_its_key() -> None:
    file = a_file()
    upload = upload_of(delivered(file), moved(file, Status.COPYING), moved(file, Status.COMPLETED))
    assert (row_of(upload, file).state, row_of(upload, file).key) == (UploadFileState.UPLOADED, "j1/a.mxf")


def test_a_file_that_is_seen_again_unchanged_stays_uploaded() -> None:
    file = a_file()
    upload = upload_of(delivered(file), moved(file, Status.DISCOVERED), moved(file, Status.PAUSED))
    assert row_of(upload, file).state is UploadFileState.UPLOADED


def test_files_of_0_bytes_neither_count_nor_hold_the_job_up() -> None:
    empty = a_file("keep", 0)
    upload = end_quietly(upload_of(moved(empty, Status.DISCOVERED), delivered(a_file())))
    job = upload.drain(1.0).job
    assert (job.state, job.total_files, job.completed_files) == (UploadState.COMPLETED, 1, 1)
    assert (row_of(upload, empty).state, row_of(upload, empty).error) == (UploadFileState.PENDING, EMPTY)


def test_a_job_fails_when_all_is_at_rest_and_a_file_has_failed() -> None:
    bad = a_file("bad.mxf")
    upload = upload_of(delivered(a_file()), moved(bad, Status.READY), moved(bad, Status.FAILED, "unreadable"))
    upload.on_event(moved(a_file("slow.mxf"), Status.COPYING), 1.0, 1.0)
    assert not end_quietly(upload).has_ended
    upload.on_event(delivered(a_file("slow.mxf")), 70.0, 1.0)
    job = end_quietly(upload, 70.0).drain(1.0).job
    assert job.state is UploadState.FAILED
    assert job.error == "1 of 3 files failed, the first: bad.mxf: unreadable"
    assert job.completed_files == 2
    assert job.progress == pytest.approx(2 / 3)


def test_an_attempt_that_failed_shows_why_until_the_next_one() -> None:
    file = a_file()
    upload = upload_of(moved(file, Status.READY), moved(file, Status.IN_QUEUE, "locked"))
    assert (row_of(upload, file).state, row_of(upload, file).error) == (UploadFileState.PENDING, "locked")
    upload.on_event(moved(file, Status.PAUSED), 1.0, 1.0)
    assert row_of(upload, file).error == "locked"
    upload.on_event(StatusChanged(file.id, Status.VERIFYING, 1.0), 1.0, 1.0)
    assert (row_of(upload, file).state, row_of(upload, file).error) == (UploadFileState.IN_PROGRESS, None)


def test_a_folder_that_cannot_be_read_fails_the_job_in_the_end() -> None:
    upload = upload_of(delivered(a_file()))
    closed = (UnreadableFolder("secret", "Permission denied"),)
    for began_s in (50.0, 60.0):
        upload.on_event(scanned(began_s, closed), began_s, 1.0)
    job = upload.drain(1.0).job
    assert (job.state, job.error) == (
        UploadState.FAILED,
        "a folder cannot be read: secret (Permission denied)",
    )


def test_a_file_that_vanishes_before_it_was_sent_leaves_the_list() -> None:
    sent, unsent = a_file(), a_file("b.mxf")
    upload = upload_of(delivered(sent), moved(unsent, Status.READY), TransferProgress(unsent.id, 50, 0, 1.0))
    upload.on_event(Untracked((sent.id, unsent.id, "unknown")), 1.0, 1.0)
    changes = upload.drain(1.0)
    assert ([file.path for file in changes.files], changes.gone) == (["a.mxf"], ("b.mxf",))
    assert (changes.job.total_files, changes.job.progress) == (1, 1.0)
    upload.on_event(moved(unsent, Status.DISCOVERED), 2.0, 1.0)
    assert upload.drain(1.0).gone == ()


def test_progress_is_by_bytes_with_what_is_under_way() -> None:
    big, small = a_file("big.mxf", 300), a_file("small.mxf", 100)
    upload = upload_of(moved(big, Status.COPYING), delivered(small), TransferProgress(big.id, 100, 0, 1.0))
    assert upload.drain(1.0).job.progress == pytest.approx(0.5)
    upload.on_event(TransferProgress(big.id, 10**6, 0, 1.0), 1.0, 1.0)
    upload.on_event(TransferProgress("unknown", 10**6, 0, 1.0), 1.0, 1.0)
    assert upload.drain(1.0).job.progress == 1.0


def test_what_is_about_something_else_changes_nothing() -> None:
    file = a_file(route="mxf")
    elsewhere = evolve(OUTAGE, destination="s3://other")
    other_scan = evolve(scanned(1.0), route="mxf")
    nobody = StatusChanged("unknown", Status.VERIFYING, 1.0)
    events = (moved(file, Status.READY), nobody, elsewhere, other_scan)
    upload = upload_of(*events)
    assert not upload.is_dirty
    assert upload.files == {}


def test_an_outage_shows_in_the_job_while_it_lasts() -> None:
    upload = upload_of(OUTAGE, UNREACHABLE)
    told = upload.drain(1.0).job
    assert told.error == f"outage: hung: no answer; {UNREACHABLE.error}"
    upload.on_event(OUTAGE, 1.0, 1.0)
    assert not upload.is_dirty
    upload.on_event(OVER, 1.0, 1.0)
    upload.on_event(scanned(1.0), 1.0, 1.0)
    assert upload.drain(1.0).job.error is None


def test_a_folder_is_suspect_only_when_it_has_been_out_of_reach_for_long() -> None:
    upload = upload_of(UNREACHABLE, at_s=5.0)
    upload.on_event(UNREACHABLE, 60.0, 1.0)
    assert not upload.is_suspect(5.0 + GONE_AFTER_S - 0.1)
    assert upload.is_suspect(5.0 + GONE_AFTER_S)
    upload.on_event(scanned(70.0), 70.0, 1.0)
    assert not upload.is_suspect(math.inf)


def test_a_stopped_job_keeps_what_it_delivered_and_hears_of_what_still_arrives() -> None:
    sent, waiting, running = a_file(), a_file("b.mxf"), a_file("c.mxf")
    upload = upload_of(delivered(sent), moved(waiting, Status.READY), moved(running, Status.COPYING))
    upload.stop("stopped", 5.0)
    upload.stop("again", 6.0)
    states = [row_of(upload, file).state for file in (sent, waiting, running)]
    assert states == [UploadFileState.UPLOADED, UploadFileState.FAILED, UploadFileState.FAILED]
    for late in (
        moved(waiting, Status.PAUSED),
        moved(a_file("new.mxf"), Status.DISCOVERED),
        Untracked((waiting.id,)),
        scanned(99.0),
        delivered(running),
    ):
        upload.on_event(late, 100.0, 7.0)
    job = upload.drain(8.0).job
    assert (job.state, job.error, job.total_files, job.completed_files) == (
        UploadState.FAILED,
        "stopped",
        3,
        2,
    )
    assert row_of(upload, running).error is None
    assert row_of(upload, waiting).error == "stopped"


def test_a_job_is_resumed_as_it_was_and_files_that_went_meanwhile_are_forgotten() -> None:
    sent, gone = a_file(), a_file("gone.mxf")
    before = upload_of(delivered(sent), moved(gone, Status.READY), scanned(1.0)).drain(1.0)
    upload = UploadJobTracker.resumed(before.job, ROUTE, before.files)
    assert not upload.is_dirty
    assert upload.drain(1.0).job.progress == pytest.approx(0.5)
    upload.on_event(moved(sent, Status.DISCOVERED), 1.0, 1.0)
    upload.on_event(scanned(1.0), 1.0, 1.0)
    assert upload.drain(1.0).gone == ("gone.mxf",)
    assert end_quietly(upload).drain(1.0).job.state is UploadState.COMPLETED


def test_what_could_not_be_written_down_is_told_again() -> None:
    kept, gone = a_file(), a_file("gone.mxf")
    upload = upload_of(moved(kept, Status.READY), moved(gone, Status.READY))
    upload.drain(1.0)
    upload.on_event(Untracked((gone.id,)), 1.0, 1.0)
    upload.on_event(moved(kept, Status.COPYING), 1.0, 1.0)
    lost = upload.drain(1.0)
    assert not upload.is_dirty
    upload.requeue(lost)
    assert upload.drain(1.0) == lost
    upload.on_event(moved(gone, Status.DISCOVERED), 1.0, 1.0)
    upload.requeue(lost)
    again = upload.drain(1.0)
    assert ({file.path for file in again.files}, again.gone) == ({"a.mxf", "gone.mxf"}, ())


def test_a_great_many_files_are_told_in_parts() -> None:
    upload = upload_of()
    for number in range(MAX_FILES_PER_WRITE + 1):
        upload.on_event(moved(a_file(f"clip{number}"), Status.DISCOVERED), 1.0, 1.0)
    first = upload.drain(1.0)
    assert upload.is_dirty
    rest = upload.drain(1.0)
    assert (len(first.files), len(rest.files), upload.is_dirty) == (MAX_FILES_PER_WRITE, 1, False)
    assert first.job.total_files == MAX_FILES_PER_WRITE + 1
    assert {file.path for file in first.files}.isdisjoint(file.path for file in rest.files)


def test_a_journal_that_was_set_aside_is_told_everything() -> None:
    upload = upload_of(delivered(a_file()), moved(a_file("b.mxf"), Status.READY))
    upload.drain(1.0)
    upload.write_all()
    assert {file.path for file in upload.drain(1.0).files} == {"a.mxf", "b.mxf"}


PATHS = st.sampled_from(["a", "b", "c/d"])
FILES = st.builds(a_file, PATHS, st.sampled_from([0, 10, 30]), st.sampled_from([1, 2]))
SAID = st.one_of(
    st.builds(moved, FILES, st.sampled_from(Status), st.sampled_from([None, "trouble"])),
    FILES.map(delivered),
    FILES.map(lambda file: Untracked((file.id,))),
    FILES.map(lambda file: TransferProgress(file.id, 20, 0, 1.0)),
    FILES.map(lambda file: StatusChanged(file.id, Status.VERIFYING, 1.0)),
    st.floats(0, 200).map(scanned),
    st.sampled_from([OUTAGE, OVER, UNREACHABLE]),
)


@given(st.lists(SAID, max_size=40), st.integers(0, 40), st.booleans())
def test_whatever_is_heard_the_figures_are_those_of_the_files(
    events: list[UploadJobEvent], stop_after: int, is_stopped: bool
) -> None:
    upload = UploadJobTracker(JOB, ROUTE)
    journal: dict[str, UploadFile] = {}
    ended: UploadJob | None = None
    for number, event in enumerate(events):
        upload.on_event(event, float(number), 1.0)
        if is_stopped and number == stop_after:
            upload.stop("stopped", 1.0)
        changes = upload.drain(1.0)
        journal |= {file.path: file for file in changes.files}
        for path in changes.gone:
            journal.pop(path, None)
        rows = [row for row in upload.files.values() if row.size_bytes]
        sent = [row for row in rows if row.state is UploadFileState.UPLOADED]
        job = changes.job
        assert sorted(journal.values(), key=lambda row: row.path) == sorted(
            upload.files.values(), key=lambda row: row.path
        )
        assert (job.total_files, job.completed_files) == (len(rows), len(sent))
        assert 0.0 <= job.progress <= 1.0
        if ended is None and job.state is UploadState.COMPLETED:
            assert rows == sent
            assert job.progress == 1.0
        if ended is not None:
            assert (job.state, job.error) == (ended.state, ended.error)
        ended = ended or (job if job.state.is_end else None)
