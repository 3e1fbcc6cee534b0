"""The ledger's part about files that are carried together: what each means stands in `BatchJournal`."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from attrs import define

from agent.journal.batch_journal import BatchJournal
from agent.model.source_file import FileVersion
from agent.model.transfer import TransferResult, VerifyLevel

Do = Callable[..., Awaitable[Any]]


@define(eq=False)
class BatchJournalClient:
    """`_do` commits in groups, and raises what `Ledger` says."""

    _journal: BatchJournal
    _do: Do

    async def begin(
        self, files: Mapping[str, FileVersion], source_root: str, destination: str, at: float
    ) -> dict[str, int]:
        begun: dict[str, int] = await self._do(self._journal.begin, files, source_root, destination, at)
        return begun

    async def mark_verified(self, verified: Sequence[tuple[int, str, str, VerifyLevel]]) -> None:
        await self._do(self._journal.mark_verified, verified)

    async def mark_published(self, published: Sequence[tuple[int, str, bool]]) -> None:
        await self._do(self._journal.mark_published, published)

    async def finish(self, endings: Sequence[TransferResult]) -> None:
        await self._do(self._journal.finish, endings)
