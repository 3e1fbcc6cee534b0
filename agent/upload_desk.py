"""Reception of those who ask for uploads."""

import time
import uuid
from collections.abc import Awaitable
from typing import TypeVar

import trio
from attrs import define, field, frozen

from agent.config import Config, upload_route
from agent.faults import Fault, FaultKind, OutageReason
from agent.ledger import Ledger
from agent.messages import JobsChanged, UploadsInbox
from agent.protocol import FindFolder, FolderFound, Probed, ProbeDestination
from agent.refusals import Busy, NotPossible, Refused, Unanswered, Unknown
from agent.stores.journal import JournalError
from agent.terms import UploadJob, UploadState
from agent.views import UploadFilesPage, UploadFilesQuery, UploadsPage, UploadsQuery
from agent.workers import Silence, Workers

ACTIVE_AT_MOST = 100  # each of them scans its folder again and again
FOLDER_PATIENCE_S = 10.0
STOPPED = "stopped by request"
LASTING = (OutageReason.UNMOUNTED, OutageReason.DENIED, OutageReason.READ_ONLY, OutageReason.MARKER_MISSING)

T = TypeVar("T")


@frozen
class UploadOrder:
    """What somebody wants uploaded; `source_folder` is an absolute path."""

    source_folder: str
    destination_bucket: str
    pattern: str | None = None


@define
class UploadDesk:
    """Raises, from everything: Busy: the journal cannot be read or written just now."""

    _ledger: Ledger
    _workers: Workers
    _keeper: trio.MemorySendChannel[UploadsInbox] | None = field(default=None, init=False)
    _config: Config | None = field(default=None, init=False)

    def connect(self, keeper: trio.MemorySendChannel[UploadsInbox], config: Config) -> None:
        """From now on this generation keeps the jobs."""
        self.close()
        self._keeper, self._config = keeper, config

    def close(self) -> None:
        """Nobody is received any more."""
        if self._keeper is not None:
            self._keeper.close()
        self._keeper = self._config = None

    async def add(self, order: UploadOrder) -> str:
        """The id of a new job, which is written down and will be carried out, whatever happens.

        Raises:
            Refused: the folder or the bucket cannot be used. Unanswered: that cannot be found out just now.
            NotPossible: too many jobs are active.
        """
        if self._config is None:
            raise Busy
        config = self._config
        if not config.uploads.roots:
            raise Refused("uploads are off: name the folders that may be read as roots in section [uploads]")
        active = [job for job in await _journaled(self._ledger.uploads.unclosed()) if not job.state.is_end]
        if len(active) >= ACTIVE_AT_MOST:
            raise NotPossible(f"{len(active)} upload jobs are active: wait until one ends, or stop one")
        folder = await self._folder(order.source_folder, config)
        at = time.time()
        name = str(uuid.uuid4())
        bucket, pattern = order.destination_bucket, order.pattern
        job = UploadJob(name, folder, bucket, pattern, UploadState.PENDING, at, at)
        await self._check_bucket(job, config)
        await _journaled(self._ledger.uploads.add(job))
        self._tell_keeper()
        return job.id

    async def find(self, upload_id: str) -> UploadJob:
        """Raises: Unknown."""
        job = await _journaled(self._ledger.uploads.find(upload_id))
        if job is None:
            raise Unknown(f"no upload job has the id {upload_id!r}")
        return job

    async def page(self, query: UploadsQuery) -> UploadsPage:
        return await _journaled(self._ledger.uploads.page(query))

    async def files(self, query: UploadFilesQuery) -> UploadFilesPage:
        """Raises: Unknown."""
        await self.find(query.upload_id)
        return await _journaled(self._ledger.uploads.files_page(query))

    async def stop(self, upload_id: str) -> None:
        """What has been delivered stays, what is being copied is stopped and put away.

        Raises:
            Unknown. NotPossible: it has ended already.
        """
        if not await _journaled(self._ledger.uploads.stop(upload_id, STOPPED, time.time())):
            job = await self.find(upload_id)
            raise NotPossible(f"the upload job has ended already, it is {job.state.value}")
        self._tell_keeper()

    def _tell_keeper(self) -> None:
        """It reads the journal; where there is none just now, the next one reads it when it begins."""
        if self._keeper is not None:
            self._keeper.send_nowait(JobsChanged())

    async def _folder(self, path: str, config: Config) -> str:
        roots = config.uploads.roots
        try:
            found = await self._workers.ask(FindFolder(path, roots), FolderFound, silence_s=FOLDER_PATIENCE_S)
        except Silence:
            raise Unanswered(f"source_folder: no answer within {FOLDER_PATIENCE_S:g} s") from None
        except Fault as fault:
            if fault.kind in (FaultKind.SOURCE, FaultKind.SOURCE_GONE):
                raise Refused(f"source_folder: must be an existing folder: {fault.detail}") from fault
            raise Unanswered(f"source_folder: {fault.detail}") from fault
        if not found.is_allowed:
            where = ", ".join(roots)
            raise Refused(f"source_folder: {found.path!r} does not lie below the [uploads] roots: {where}")
        if _overlap(found.path, config.agent.state_dir):
            raise Refused(f"source_folder: {found.path!r} holds the agent's own state: name another folder")
        return found.path

    async def _check_bucket(self, job: UploadJob, config: Config) -> None:
        """Asked as the storage monitor will ask."""
        plan = config.plan([upload_route(job, config.uploads)])
        request = ProbeDestination(plan.destination, plan.marker, None, plan.s3)
        try:
            await self._workers.ask(request, Probed, silence_s=plan.probe_timeout_s)
        except Silence:
            raise Unanswered(f"destination_bucket: no answer within {plan.probe_timeout_s:g} s") from None
        except Fault as fault:
            if fault.reason in LASTING:
                raise Refused(f"destination_bucket: {fault.detail}: name one that can be used") from fault
            raise Unanswered(f"destination_bucket: {fault.detail}") from fault


def _overlap(one: str, other: str) -> bool:
    return _is_in(one, other) or _is_in(other, one)


def _is_in(path: str, folder: str) -> bool:
    """Inside, or the folder itself."""
    return f"{path.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")


async def _journaled(operation: Awaitable[T]) -> T:
    try:
        return await operation
    except JournalError as error:
        raise Busy from error
