"""The ledger's part about upload jobs: what each operation means stands in `UploadJournal`."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from attrs import frozen

from agent.journal.upload_journal import UploadJournal
from agent.model.upload import UploadFile, UploadJob
from agent.model.views import UploadFilesPage, UploadFilesQuery, UploadsPage, UploadsQuery

Do = Callable[..., Awaitable[Any]]


@frozen
class UploadJournalClient:
    """`_do` commits in groups, `_read` waits for no writer; both raise what `Ledger` says."""

    _journal: UploadJournal
    _do: Do
    _read: Do

    async def add(self, job: UploadJob) -> None:
        await self._do(self._journal.add, job)

    async def needing_cleanup(self) -> tuple[UploadJob, ...]:
        found: tuple[UploadJob, ...] = await self._do(self._journal.needing_cleanup)
        return found

    async def files(self, upload_id: str) -> tuple[UploadFile, ...]:
        found: tuple[UploadFile, ...] = await self._do(self._journal.files, upload_id)
        return found

    async def upsert(self, job: UploadJob, changed: Sequence[UploadFile], gone: Sequence[str]) -> bool:
        return bool(await self._do(self._journal.upsert, job, changed, gone))

    async def stop(self, upload_id: str, reason: str, at: float) -> bool:
        return bool(await self._do(self._journal.stop, upload_id, reason, at))

    async def add_orphans(self, route: str) -> None:
        await self._do(self._journal.add_orphans, route)

    async def mark_cleaned(self, upload_id: str, route: str) -> None:
        await self._do(self._journal.mark_cleaned, upload_id, route)

    async def find(self, upload_id: str) -> UploadJob | None:
        found: UploadJob | None = await self._read(self._journal.find, upload_id)
        return found

    async def page(self, query: UploadsQuery) -> UploadsPage:
        page: UploadsPage = await self._read(self._journal.page, query)
        return page

    async def files_page(self, query: UploadFilesQuery) -> UploadFilesPage:
        page: UploadFilesPage = await self._read(self._journal.files_page, query)
        return page
