"""Workers as the copies of one destination use them."""

from attrs import frozen

from agent.faults import Fault, FaultKind, OutageReason, Side
from agent.protocol import LookUpSource, Request, SettleSource, SettleSources
from agent.workers import OnReply, R, Silence, Workers, ignore

AT_SOURCE = (SettleSource, SettleSources, LookUpSource)


@frozen
class Hands:
    """A silence of `stall_timeout_s` is an outage of the side that does not answer."""

    workers: Workers
    stall_timeout_s: float

    async def ask(self, request: Request, expected: type[R], on_reply: OnReply = ignore) -> R:
        """Raises: Fault: any kind."""
        try:
            return await self.workers.ask(
                request, expected, silence_s=self.stall_timeout_s, on_reply=on_reply
            )
        except Silence as silence:
            detail = f"nothing moved for {self.stall_timeout_s:g} s"
            if isinstance(request, AT_SOURCE) or silence.side is Side.SOURCE:
                raise Fault(FaultKind.SOURCE_OUTAGE, f"source: {detail}") from silence
            raise Fault.outage(OutageReason.HUNG, detail) from silence

    @property
    def are_quiet(self) -> bool:
        """Whether no killed worker is left that may still do what it was asked for."""
        return self.workers.are_quiet
