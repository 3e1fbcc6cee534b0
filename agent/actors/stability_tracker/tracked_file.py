"""A file as its route's tracker knows it, and what a tracker decides about it."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from attrs import define, evolve, frozen

from agent.actors.stability_tracker.growth import GrowthDetector
from agent.actors.stability_tracker.hold import hold_reason
from agent.config.sections import Route
from agent.messages.broadcaster import StatusesChanged, Untracked
from agent.messages.dispatcher import Gone, Growing, Ready, SourceState
from agent.model.source_file import (
    FinishEvidence,
    Signature,
    UnreadableFolder,
    WriterState,
    signature_from_bytes,
)
from agent.model.text import size_text
from agent.model.transfer import Status

CACHED_STATES = 1000
NOT_GROWN = GrowthDetector()


@frozen(weakref_slot=False)
class TrackState:
    """The state of a file; files in equal states share one object, as those do that one scan has found.

    `since_s`, `since_at`: when its present signature was first seen. `recheck_s`: when it is to be examined.
    `status`: `READY` once it was reported as ready. `why`, `until_at`: what the page shows with it; `why`
    empty: nothing yet about this signature. `was_closed`: a writer was seen to close it with this content.
    `was_unfinished`: its copy found that; from then on it is examined before it is reported.
    """

    discovered_at: float
    since_s: float
    since_at: float
    recheck_s: float = math.inf
    status: Status = Status.DISCOVERED
    why: str = ""
    until_at: float | None = None
    was_closed: bool = False
    was_unfinished: bool = False


@lru_cache(CACHED_STATES)
def evolve_cached(state: TrackState, **changes: Any) -> TrackState:  # noqa: ANN401  whatever a state has
    """This state with these changes: the same object for all files that change alike."""
    return evolve(state, **changes)


@define(weakref_slot=False)
class TrackedFile:
    """One file as it was observed. `scan`: the number of the last whole scan that listed it.

    `growth`: None until the file changes.
    """

    id: str
    path: str
    packed_signature: bytes
    track: TrackState
    scan: int
    growth: GrowthDetector | None = None

    @property
    def signature(self) -> Signature:
        return signature_from_bytes(self.packed_signature)

    @property
    def is_followed(self) -> bool:
        return self.growth is not None and self.growth.followed

    @property
    def is_ready(self) -> bool:
        return self.track.status is Status.READY

    @property
    def is_reported(self) -> bool:
        """Whether the dispatcher knows of it."""
        return self.is_followed or self.is_ready


@frozen
class HeldFile:
    """A file that is held, and why."""

    path: str
    why: str


@frozen
class DueFiles:
    """Files whose turn has come: `paths` to examine, and those that are `ready`."""

    paths: tuple[str, ...]
    ready: tuple[Ready, ...]


@frozen
class TrackerDecisions:
    """What follows from a scan: events for the broadcaster, and messages for the dispatcher after them.

    `first_unseen`: the first file, for each cause, that is held because its writers cannot be seen.
    `empty_folders`: those that we emptied and that may be removed now.
    """

    events: tuple[StatusesChanged | Untracked | SourceState, ...]
    messages: tuple[Ready | Growing | Gone, ...]
    first_unseen: tuple[HeldFile, ...] = ()
    empty_folders: tuple[str, ...] = ()


class UnreadPaths:
    """The paths of which a scan could not tell whether they exist."""

    def __init__(self, unreadable: Sequence[UnreadableFolder]) -> None:
        self._paths = {each.folder for each in unreadable}
        self._below = tuple(f"{path}/" for path in self._paths)

    def __contains__(self, path: str) -> bool:
        return path in self._paths or path.startswith(self._below)


def status_and_reason(item: TrackedFile, evidence: FinishEvidence | None, route: Route) -> tuple[Status, str]:
    """What the page shows of a file that is not ready."""
    growth = item.growth or NOT_GROWN
    status = Status.GROWING if growth.has_grown or growth.followed else Status.DISCOVERED
    if item.track.status is Status.HELD and evidence is not None:
        return Status.HELD, hold_reason(evidence, route, was_closed=item.track.was_closed)
    if item.signature.size_bytes == 0:
        return status, "empty: a file of 0 bytes is never ready"
    meanwhile = f"copied while it grows, at {size_text(growth.rate_bytes_s)}/s; " if growth.followed else ""
    if evidence is not None and evidence.writer is WriterState.OPEN:
        return status, meanwhile + "a process holds it open for writing"
    return status, meanwhile + f"must stay unchanged for {route.stable_s:g} s"
