"""Asks a worker for a copy task: a worker that stalls is an outage of the side that does not answer."""

from attrs import frozen

from agent.model.errors import Fault, FaultKind, OutageReason, Side
from agent.protocol.replies import ScanEnd
from agent.protocol.requests import (
    CopyFile,
    CopySmallFiles,
    ExamineSource,
    FollowFile,
    HashSource,
    LookUpSource,
    RemoveSources,
    Request,
    SourceFolder,
)
from agent.worker_pool import OnReply, R, StallTimeout, WorkerPool, ignore

AT_SOURCE = (RemoveSources, LookUpSource, HashSource)


@frozen
class WorkerClient:
    """A stall of `stall_timeout_s` is an outage of the side that does not answer."""

    workers: WorkerPool
    stall_timeout_s: float

    async def ask(self, request: Request, expected: type[R], on_reply: OnReply = ignore) -> R:
        """Raises: Fault: any kind."""
        try:
            return await self.workers.ask(
                request, expected, stall_timeout_s=self.stall_timeout_s, on_reply=on_reply
            )
        except StallTimeout as stall:
            source = _source_of(request) if stall.side is Side.SOURCE else None
            if source is not None and await self.source_outage(SourceFolder(source, (), ())) is None:
                detail = f"source: the file does not answer: nothing moved for {self.stall_timeout_s:g} s"
                raise Fault(FaultKind.SOURCE, detail) from stall
            detail = f"nothing moved for {self.stall_timeout_s:g} s"
            if isinstance(request, AT_SOURCE) or stall.side is Side.SOURCE:
                raise Fault(FaultKind.SOURCE_OUTAGE, f"source: {detail}") from stall
            raise Fault.outage(OutageReason.HUNG, detail) from stall

    async def source_outage(self, source: SourceFolder) -> Fault | None:
        """Why the source folder cannot be examined; None: it can, so that one of its files is at fault."""
        request = ExamineSource(source, (), frozenset())
        try:
            await self.workers.ask(request, ScanEnd, stall_timeout_s=self.stall_timeout_s)
        except Fault as fault:
            return fault
        except StallTimeout:
            return Fault(FaultKind.SOURCE_OUTAGE, f"source: nothing moved for {self.stall_timeout_s:g} s")
        return None

    @property
    def none_unkillable(self) -> bool:
        """Whether no killed worker is left that may still carry out its request."""
        return self.workers.none_unkillable


def _source_of(request: Request) -> str | None:
    match request:
        case CopyFile(source=source) | FollowFile(source=source):
            return source
        case CopySmallFiles(files=(first, *_)):
            return first.source
        case _:
            return None
