"""Upload jobs: create, list and stop them."""

import time
import uuid

import trio
from attrs import define, field

from agent.config.sections import Config
from agent.config.uploads import upload_route
from agent.control.errors import Conflict, InvalidRequest, NotFound, StorageTimeout, Unavailable
from agent.control.journal import journaled
from agent.journal import uploads
from agent.journal.client import JournalClient
from agent.messages.channels import offer
from agent.messages.upload_manager import UploadJobsChanged, UploadManagerInbox
from agent.model.errors import Fault, FaultKind, OutageReason
from agent.model.text import is_inside
from agent.model.upload import CreateUpload, UploadJob, UploadState
from agent.model.views import UploadFilesPage, UploadFilesQuery, UploadsPage, UploadsQuery
from agent.protocol.replies import FolderResolved, Probed
from agent.protocol.requests import ProbeDestination, ResolveFolder
from agent.worker_pool import StallTimeout, WorkerPool

MAX_ACTIVE = 100  # each of them scans its folder again and again
FOLDER_TIMEOUT_S = 10.0
STOPPED = "stopped by request"
PERMANENT_OUTAGES = (
    OutageReason.UNMOUNTED,
    OutageReason.DENIED,
    OutageReason.READ_ONLY,
    OutageReason.MARKER_MISSING,
)


@define
class UploadControl:
    """Every method raises `Unavailable` when the journal cannot be read or written."""

    _journal: JournalClient
    _workers: WorkerPool
    _manager: trio.MemorySendChannel[UploadManagerInbox] | None = field(default=None, init=False)
    _config: Config | None = field(default=None, init=False)

    def connect(self, manager: trio.MemorySendChannel[UploadManagerInbox], config: Config) -> None:
        """Use the upload manager of this generation from now on."""
        self.close()
        self._manager, self._config = manager, config

    def close(self) -> None:
        """No upload manager runs: `add` raises `Unavailable`."""
        if self._manager is not None:
            self._manager.close()
        self._manager = self._config = None

    async def add(self, create: CreateUpload) -> str:
        """Create a job and return its id. The journal holds it then, so it is executed even after a crash.

        Raises:
            InvalidRequest: the folder or the bucket cannot be used.
            StorageTimeout: one of them does not answer.
            Conflict: too many jobs are active.
        """
        if self._config is None:
            raise Unavailable
        config = self._config
        if not config.uploads.roots:
            raise InvalidRequest(
                "uploads are off: name the folders that may be read as roots in section [uploads]"
            )
        await self._check_active_limit()
        folder = await self._folder(create.source_folder, config)
        at = time.time()
        name = str(uuid.uuid4())
        bucket, pattern = create.destination_bucket, create.pattern
        job = UploadJob(name, folder, bucket, pattern, UploadState.PENDING, at, at)
        await self._check_bucket(job, config)
        await journaled(self._journal.write(uploads.add, job))
        self._notify_manager()
        return job.id

    async def find(self, upload_id: str) -> UploadJob:
        """Raises: NotFound."""
        job = await journaled(self._journal.read(uploads.find, upload_id))
        if job is None:
            raise NotFound(f"no upload job has the id {upload_id!r}")
        return job

    async def page(self, query: UploadsQuery) -> UploadsPage:
        return await journaled(self._journal.read(uploads.page, query))

    async def files(self, query: UploadFilesQuery) -> UploadFilesPage:
        """Raises: NotFound."""
        await self.find(query.upload_id)
        return await journaled(self._journal.read(uploads.files_page, query))

    async def stop(self, upload_id: str) -> None:
        """Stop a job: running copies are aborted, delivered files stay.

        Raises:
            NotFound. Conflict: it has ended already.
        """
        if not await journaled(self._journal.write(uploads.stop, upload_id, STOPPED, time.time())):
            job = await self.find(upload_id)
            raise Conflict(f"the upload job has ended already, it is {job.state.value}")
        self._notify_manager()

    def _notify_manager(self) -> None:
        """The manager reads the job from the journal; one that is not running yet reads it when it starts."""
        if self._manager is not None:
            offer(self._manager, UploadJobsChanged())

    async def _check_active_limit(self) -> None:
        active = [
            job
            for job in await journaled(self._journal.read_latest(uploads.needing_cleanup))
            if not job.state.is_end
        ]
        if len(active) >= MAX_ACTIVE:
            raise Conflict(f"{len(active)} upload jobs are active: wait until one ends, or stop one")

    async def _folder(self, path: str, config: Config) -> str:
        roots = config.uploads.roots
        try:
            found = await self._workers.ask(
                ResolveFolder(path, roots), FolderResolved, stall_timeout_s=FOLDER_TIMEOUT_S
            )
        except StallTimeout:
            raise StorageTimeout(f"source_folder: no answer within {FOLDER_TIMEOUT_S:g} s") from None
        except Fault as fault:
            if fault.kind in (FaultKind.SOURCE, FaultKind.SOURCE_GONE):
                raise InvalidRequest(f"source_folder: must be an existing folder: {fault.detail}") from fault
            raise StorageTimeout(f"source_folder: {fault.detail}") from fault
        if not found.is_allowed:
            where = ", ".join(roots)
            raise InvalidRequest(
                f"source_folder: {found.path!r} does not lie below the [uploads] roots: {where}"
            )
        if _overlap(found.path, config.agent.state_dir):
            raise InvalidRequest(
                f"source_folder: {found.path!r} holds the agent's own state: name another folder"
            )
        return found.path

    async def _check_bucket(self, job: UploadJob, config: Config) -> None:
        """Probes the bucket as the storage monitor will do it."""
        plan = config.plan([upload_route(job, config.uploads)])
        request = ProbeDestination(plan.destination, plan.marker, None, plan.s3)
        try:
            await self._workers.ask(request, Probed, stall_timeout_s=plan.probe_timeout_s)
        except StallTimeout:
            raise StorageTimeout(f"destination_bucket: no answer within {plan.probe_timeout_s:g} s") from None
        except Fault as fault:
            if fault.reason in PERMANENT_OUTAGES:
                raise InvalidRequest(
                    f"destination_bucket: {fault.detail}: name one that can be used"
                ) from fault
            raise StorageTimeout(f"destination_bucket: {fault.detail}") from fault


def _overlap(one: str, other: str) -> bool:
    return is_inside(one, other) or is_inside(other, one)
