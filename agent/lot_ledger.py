"""The ledger's part about files that are carried together: what each means stands in `LotJournal`."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from attrs import define

from agent.stores.lot_journal import LotJournal
from agent.terms import Ending, SourceFile, VerifyLevel

Do = Callable[..., Awaitable[Any]]


@define(eq=False)
class LotLedger:
    """`_do` commits in groups, and raises what `Ledger` says."""

    _journal: LotJournal
    _do: Do

    async def begin(
        self, files: Mapping[str, SourceFile], source_root: str, destination: str, at: float
    ) -> dict[str, int]:
        begun: dict[str, int] = await self._do(self._journal.begin, files, source_root, destination, at)
        return begun

    async def intend(self, verified: Sequence[tuple[int, str, str, VerifyLevel]]) -> None:
        await self._do(self._journal.intend, verified)

    async def published(self, published: Sequence[tuple[int, str, bool]]) -> None:
        await self._do(self._journal.published, published)

    async def finish(self, endings: Sequence[Ending]) -> None:
        await self._do(self._journal.finish, endings)
