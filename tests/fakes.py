"""Workers and a journal for actors alone: scripted answers, and a diary of what was asked of them."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import trio
from attrs import asdict, frozen
from sqlalchemy import Connection, RowMapping, Table, delete, insert, select, text
from trio.testing import MockClock

from agent.journal import blocks, database, schema, transfers
from agent.journal.client import JournalClient, OpenJournal
from agent.journal.errors import JournalError
from agent.journal.journal import Journal, Transaction
from agent.model.errors import Fault, Side
from agent.model.source_file import FileVersion
from agent.model.transfer import PriorResult, Transfer
from agent.model.views import HistoryResult
from agent.protocol.replies import Reply
from agent.protocol.requests import Request
from agent.worker_pool import OnReply, R, StallTimeout, WorkerPool, ignore
from tests.samples import IDENTITY, NAS

P = ParamSpec("P")
T = TypeVar("T")


@frozen
class Says:
    """What a worker streams, and its last word; None: it falls silent."""

    last: Reply | Fault | None
    streamed: tuple[Reply, ...] = ()
    silent_side: Side | None = None
    took_s: float = 0.0


SILENCE = Says(None)
TEN_DAYS_S = 864_000.0


async def lose_patience() -> None:
    """On a clock that jumps: when nobody moves any more, the test fails instead of hanging."""
    await trio.sleep(TEN_DAYS_S)
    raise AssertionError("nobody moves any more")


async def _fall_silent(stall_timeout_s: float, side: Side | None) -> None:
    await trio.sleep(stall_timeout_s)
    raise StallTimeout(side)


class FakeWorkers(WorkerPool):
    """Answers each kind of request from its script; the last line of a script is said again and again."""

    def __init__(self, clock: MockClock, diary: list[str] | None = None) -> None:
        super().__init__(lock_path="")
        self.clock = clock
        self.diary: list[str] = [] if diary is None else diary
        self.asked: list[tuple[float, Request]] = []
        self.killed: list[Request] = []
        self._scripts: dict[type[Request], list[Says]] = {}

    def script(self, kind: type[Request], *lines: Says | Reply | Fault) -> None:
        self._scripts[kind] = [line if isinstance(line, Says) else Says(line) for line in lines]

    def times(self, kind: type[Request]) -> list[float]:
        """When requests of this kind came, in seconds from the beginning."""
        return [at_s for at_s, request in self.asked if isinstance(request, kind)]

    async def ask(
        self, request: Request, expected: type[R], *, stall_timeout_s: float, on_reply: OnReply = ignore
    ) -> R:
        self.asked.append((self.clock.current_time(), request))
        self.diary.append(type(request).__name__)
        script = self._scripts[type(request)]
        line = script.pop(0) if len(script) > 1 else script[0]
        try:
            await trio.sleep(line.took_s)
            for reply in line.streamed:
                await on_reply(reply)
            if line.last is None:
                await _fall_silent(stall_timeout_s, line.silent_side)
        except BaseException:
            self.killed.append(request)
            raise
        if isinstance(line.last, Fault):
            raise line.last
        assert isinstance(line.last, expected)
        return line.last


@frozen
class Ended:
    """How a transfer went into the history."""

    path: str
    result: HistoryResult
    attempts: int
    error: str | None
    where: str | None


def operation_name(operation: Callable[..., object]) -> str:
    """As tests name it: `finish` for `transfers.finish`, with its noun for all others."""
    noun = operation.__module__.rpartition(".")[2]
    return operation.__name__ if noun == "transfers" else f"{noun}.{operation.__name__}"


class FakeJournal(JournalClient):
    """The real journal in memory, without threads. `calls`: the operations' names and arguments.

    Operations named in `broken` fail, each in `fails_next` once, and
    those in `delays_s` take so long. `orphans` and `scanned` can be
    assigned.
    """

    def __init__(self, diary: list[str] | None = None, *running: Transfer) -> None:
        path = Path("journal")
        writer = database._connect(path, ("foreign_keys=ON",), "BEGIN IMMEDIATE", "memory")
        with writer.begin():
            schema.metadata.create_all(writer)
        weakref.finalize(self, writer.close)
        super().__init__("")
        self._open = OpenJournal(Journal(path, writer, writer), IDENTITY, ExitStack())
        self.diary: list[str] = [] if diary is None else diary
        self.calls: list[tuple[object, ...]] = []
        self.broken: set[str] = set()
        self.fails_next: list[str] = []
        self.delays_s: dict[str, float] = {}
        self.scanned = [NAS]
        for transfer in running:
            self.remember(transfer)

    async def write(
        self, operation: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        await self._note(operation, args)
        return self._journal.write(operation, *args, **kwargs)

    async def read(
        self, operation: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        await self._note(operation, args)
        return self._journal.read(operation, *args, **kwargs)

    async def _note(self, operation: Callable[..., object], args: tuple[object, ...]) -> None:
        await trio.lowlevel.checkpoint()
        name = operation_name(operation)
        self.diary.append(name)
        self.calls.append((name, *args))
        if name in self.fails_next:
            self.fails_next.remove(name)
        elif name not in self.broken:
            await trio.sleep(self.delays_s.get(name, 0.0))
            return
        raise JournalError("disk full")

    def remember(self, transfer: Transfer) -> None:
        """It runs, and this is what was written of it so far."""
        row = asdict(transfer)
        digests = b"".join(row.pop("blocks"))
        self._journal.write(_forget, transfer)
        self._insert(schema.transfers, [{**row, "file_path": f"/src/{transfer.path}"}])
        self._journal.write(lambda tx: blocks.replace(tx.db, transfer.id, 0, digests))

    def begin(self, file: FileVersion, partial: str) -> None:
        """An earlier attempt has begun it."""
        self._journal.write(transfers.begin_or_resume, {partial: file}, "/src", NAS, 1.0)

    def remember_result(self, result: PriorResult) -> None:
        """A transfer of this file has ended so."""
        other = {"transfer_id": 1, "file_path": f"/src/{result.path}", "destination": NAS}
        times = {"discovered_at": 1.0, "started_at": 1.0}
        self._insert(schema.history, [{**asdict(result), **other, **times, "suppresses_retry": True}])

    @property
    def transfers(self) -> dict[tuple[str, str], Transfer]:
        """The running ones, oldest first."""
        paths = [(row["route"], row["path"]) for row in self._rows(schema.transfers)]
        found = [self._journal.write(transfers.find, route, [path])[path] for route, path in paths]
        return {(each.route, each.path): each for each in found}

    @property
    def ended(self) -> list[Ended]:
        """The history, oldest first."""
        names = ("path", "result", "attempts", "error", "destination_path")
        return [Ended(*(row[name] for name in names)) for row in self._rows(schema.history)]

    @property
    def orphans(self) -> list[tuple[str, str]]:
        """Destination and partial of each."""
        return [(row["destination"], row["partial"]) for row in self._rows(schema.orphans)]

    @orphans.setter
    def orphans(self, orphans: list[tuple[str, str]]) -> None:
        rows = [{"destination": destination, "partial": partial} for destination, partial in orphans]
        self._replace(schema.orphans, rows)

    @property
    def scanned(self) -> list[str]:
        """The destinations that were searched for orphans."""
        return [row["destination"] for row in self._rows(schema.orphan_scans)]

    @scanned.setter
    def scanned(self, destinations: list[str]) -> None:
        rows = [{"identity": IDENTITY, "destination": destination} for destination in destinations]
        self._replace(schema.orphan_scans, rows)

    @property
    def paused_routes(self) -> set[str]:
        return {row["route"] for row in self._rows(schema.paused_routes)}

    @property
    def mounts(self) -> dict[str, str]:
        return {row["destination"]: row["mount_point"] for row in self._rows(schema.mounts)}

    def _rows(self, table: Table) -> Sequence[RowMapping]:
        """In the order in which they were inserted."""
        return self._journal.write(
            lambda tx: tx.db.execute(select(table).order_by(text("rowid"))).mappings().all()
        )

    def _insert(self, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
        if rows:
            self._journal.write(lambda tx: tx.db.execute(insert(table), rows))

    def _replace(self, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
        self._journal.write(lambda tx: tx.db.execute(delete(table)))
        self._insert(table, rows)


def _forget(tx: Transaction, transfer: Transfer) -> None:
    columns = schema.transfers.c
    same = (columns.route == transfer.route, columns.path == transfer.path)
    tx.db.execute(delete(schema.transfers).where(*same))
