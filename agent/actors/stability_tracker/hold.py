"""Why a file that has stood still is held back, instead of being delivered."""

from functools import lru_cache

from agent.config.sections import Route
from agent.model.source_file import ContainerState, FinishEvidence, FinishRule, WriterState

UNFINISHED = (ContainerState.OPEN, ContainerState.TRUNCATED)
GRANT = 'grant the agent CAP_LEASE, run it as the owner of the files, or set unseen_writers = "deliver"'

# Writers on a local disk that could not be seen: why not, and the way out.
UNSEEN_WRITERS = {
    WriterState.NOT_PERMITTED: (
        f"it may still be written: the agent's user may not see that, and it saw nobody close it; {GRANT}"
    ),
    WriterState.NOT_SUPPORTED: (
        "it may still be written: this file system does not show that, and the agent saw nobody close it; "
        'set unseen_writers = "deliver" if `stable` alone is to decide'
    ),
}


def hold_reason(evidence: FinishEvidence, route: Route, *, was_closed: bool) -> str:
    """Return why the file is held; empty: it is not. `was_closed` as in `unseen_writers`."""
    reasons = [unseen_writers(evidence, route, was_closed=was_closed)]
    if evidence.container in UNFINISHED and route.unfinished == "hold":
        seen = _seen(evidence, was_closed=was_closed)
        reasons.insert(0, f"unfinished recording{seen}: {evidence.container_detail}")
    return "; ".join(filter(None, reasons))


def unseen_writers(evidence: FinishEvidence, route: Route, *, was_closed: bool) -> str:
    """Return why a file is held whose writers could not be seen; empty: they were, or need not be.

    A lease or /proc shows open writers. Where they do not, a close tells that a writer has ended
    (`was_closed`: one was seen since the content changed last). Where nothing tells on a local disk, the
    route decides. Where no evidence is possible at all (a network, macOS), `stable` has to do.
    """
    if was_closed or route.unseen_writers == "deliver":
        return ""
    return UNSEEN_WRITERS.get(evidence.writer, "")


def finish_rule(route: Route, *, was_closed: bool, must_be_closed: bool) -> FinishRule:
    """Return which evidence does not hold a file back, nor make it wait for its writer.

    `must_be_closed`: it has stood still only for as long as a closed file has to.
    """
    if must_be_closed:
        return _CLOSED
    may_be_unseen = was_closed or route.unseen_writers == "deliver"
    return _rule(may_be_unseen=may_be_unseen, may_be_unfinished=route.unfinished == "deliver")


_CLOSED = FinishRule(frozenset({WriterState.NONE}), frozenset({ContainerState.CLOSED}))


@lru_cache
def _rule(*, may_be_unseen: bool, may_be_unfinished: bool) -> FinishRule:
    """The same object for all files that it is about."""
    writers = {WriterState.NONE, WriterState.UNKNOWN} | (set(UNSEEN_WRITERS) if may_be_unseen else set())
    containers = set(ContainerState) if may_be_unfinished else set(ContainerState).difference(UNFINISHED)
    return FinishRule(frozenset(writers), frozenset(containers))


def _seen(evidence: FinishEvidence, *, was_closed: bool) -> str:
    """What was seen of its writers, and nothing that was not."""
    if evidence.writer is WriterState.NONE:
        return ", no writer left"
    return ", a writer has closed it" if was_closed else ""
