"""Reception of those who ask for uploads: what it asks first, and what it answers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from attrs import define, evolve
from trio.testing import MockClock

from agent.config.sections import Config, Uploads
from agent.control.errors import Conflict, InvalidRequest, NotFound, StorageTimeout, Unavailable
from agent.control.uploads import MAX_ACTIVE, STOPPED, UploadControl
from agent.journal import uploads
from agent.journal.client import JournalClient
from agent.journal.errors import JournalError
from agent.messages.upload_manager import UploadJobsChanged, UploadManagerInbox
from agent.model.errors import Fault, FaultKind, OutageReason
from agent.model.upload import CreateUpload, UploadState
from agent.model.views import UploadFilesQuery, UploadsQuery
from agent.protocol.replies import FolderResolved, Probed
from agent.protocol.requests import ProbeDestination, ResolveFolder
from tests.fakes import SILENCE, FakeWorkers, Says
from tests.samples import ROUTE, a_config

ORDER = CreateUpload("/media/day1", "archive", "*.mxf")
FOUND = FolderResolved("/media/real", is_allowed=True)
CONFIG = evolve(a_config(ROUTE), uploads=Uploads(("/media",)))


@define
class Reception:
    """An UploadControl with a real journal behind it, and workers whose answers are scripted."""

    service: UploadControl
    journal: JournalClient
    workers: FakeWorkers
    manager: trio.MemoryReceiveChannel[UploadManagerInbox]

    def connect(self, config: Config = CONFIG) -> None:
        manager, self.manager = trio.open_memory_channel[UploadManagerInbox](8)
        self.service.connect(manager, config)


@pytest.fixture
async def control(tmp_path: Path, mock_clock: MockClock) -> AsyncIterator[Reception]:
    mock_clock.rate = 1e6
    async with JournalClient.open(str(tmp_path)) as journal:
        workers = FakeWorkers(mock_clock)
        workers.script(ResolveFolder, FOUND)
        workers.script(ProbeDestination, Probed(0, "s3://archive", None, None))
        _, nobody = trio.open_memory_channel[UploadManagerInbox](0)
        found = Reception(UploadControl(journal, workers), journal, workers, nobody)
        found.connect()
        yield found


async def test_a_job_is_in_the_journal_before_its_manager_is_notified(control: Reception) -> None:
    name = await control.service.add(ORDER)
    job = await control.service.find(name)
    assert (job.source_folder, job.destination_bucket, job.pattern) == ("/media/real", "archive", "*.mxf")
    assert job.state is UploadState.PENDING
    assert control.manager.receive_nowait() == UploadJobsChanged()
    assert await control.journal.write(uploads.needing_cleanup) == (job,)
    assert (await control.service.page(UploadsQuery())).jobs == (job,)
    assert (await control.service.files(UploadFilesQuery(name))).files == ()
    [folder, probe] = [request for _, request in control.workers.asked]
    assert folder == ResolveFolder("/media/day1", ("/media",))
    assert isinstance(probe, ProbeDestination)
    assert (probe.root, probe.try_writing) == ("s3://archive", None)


async def test_a_job_is_stopped_once(control: Reception) -> None:
    name = await control.service.add(ORDER)
    control.manager.receive_nowait()
    await control.service.stop(name)
    assert control.manager.receive_nowait() == UploadJobsChanged()
    job = await control.service.find(name)
    assert (job.state, job.error) == (UploadState.FAILED, STOPPED)
    with pytest.raises(Conflict, match="FAILED"):
        await control.service.stop(name)
    with pytest.raises(NotFound):
        await control.service.stop("nobody")


async def test_between_two_generations_no_job_is_created_but_one_can_be_stopped(control: Reception) -> None:
    name = await control.service.add(ORDER)
    control.service.close()
    with pytest.raises(Unavailable):
        await control.service.add(ORDER)
    await control.service.stop(name)
    control.connect()
    control.connect()
    await control.service.add(ORDER)


async def test_without_roots_nothing_is_asked(control: Reception) -> None:
    control.connect(a_config(ROUTE))
    with pytest.raises(InvalidRequest, match="roots in section"):
        await control.service.add(ORDER)
    assert control.workers.asked == []


@pytest.mark.parametrize(
    ("answer", "refusal", "reason"),
    [
        (SILENCE, StorageTimeout, "source_folder: no answer within 10 s"),
        (Fault(FaultKind.SOURCE_GONE, "source: missing"), InvalidRequest, "existing folder: source: missing"),
        (Fault(FaultKind.SOURCE, "source: denied"), InvalidRequest, "existing folder: source: denied"),
        (Fault(FaultKind.SOURCE_OUTAGE, "source: stale"), StorageTimeout, "source_folder: source: stale"),
        (
            FolderResolved("/etc", is_allowed=False),
            InvalidRequest,
            "does not lie below the .uploads. roots: /media",
        ),
        (FolderResolved(CONFIG.agent.state_dir, is_allowed=True), InvalidRequest, "the agent's own state"),
        (
            FolderResolved(f"{CONFIG.agent.state_dir}/x", is_allowed=True),
            InvalidRequest,
            "the agent's own state",
        ),
        (FolderResolved("/", is_allowed=True), InvalidRequest, "the agent's own state"),
    ],
)
async def test_a_folder_that_cannot_be_read_is_refused(
    control: Reception, answer: Says | Fault | FolderResolved, refusal: type[Exception], reason: str
) -> None:
    control.workers.script(ResolveFolder, answer)
    with pytest.raises(refusal, match=reason):
        await control.service.add(ORDER)
    assert await control.journal.write(uploads.needing_cleanup) == ()


@pytest.mark.parametrize(
    ("answer", "refusal", "reason"),
    [
        (SILENCE, StorageTimeout, "destination_bucket: no answer within 10 s"),
        (
            Fault.outage(OutageReason.UNMOUNTED, "no bucket"),
            InvalidRequest,
            "no bucket: name one that can be used",
        ),
        (Fault.outage(OutageReason.DENIED, "no key"), InvalidRequest, "no key"),
        (Fault.outage(OutageReason.UNREACHABLE, "refused"), StorageTimeout, "destination_bucket: refused"),
    ],
)
async def test_a_bucket_that_cannot_be_used_is_refused(
    control: Reception, answer: Says | Fault, refusal: type[Exception], reason: str
) -> None:
    control.workers.script(ProbeDestination, answer)
    with pytest.raises(refusal, match=reason):
        await control.service.add(ORDER)
    assert await control.journal.write(uploads.needing_cleanup) == ()


async def test_there_are_only_so_many_active_jobs(control: Reception) -> None:
    names = [await control.service.add(ORDER) for _ in range(4)]
    job = await control.service.find(names[0])
    for number in range(4, MAX_ACTIVE):
        await control.journal.write(uploads.add, evolve(job, id=str(number)))
    with pytest.raises(Conflict, match="100 upload jobs are active"):
        await control.service.add(ORDER)
    await control.service.stop(names[0])
    await control.service.add(ORDER)


async def test_a_journal_that_cannot_be_used_makes_unavailable(
    control: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise JournalError("disk full")

    for operation in ("find", "page", "stop", "needing_cleanup"):
        monkeypatch.setattr(uploads, operation, broken)
    with pytest.raises(Unavailable):
        await control.service.find("x")
    with pytest.raises(Unavailable):
        await control.service.page(UploadsQuery())
    with pytest.raises(Unavailable):
        await control.service.stop("x")
    with pytest.raises(Unavailable):
        await control.service.add(ORDER)
