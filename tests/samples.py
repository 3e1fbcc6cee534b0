"""What the tests of the rules are made of: files, scans, routes, storage states, views."""

from typing import Any

from attrs import evolve
from hypothesis import strategies as st

from agent.config.sections import AgentSection, Config, Route
from agent.messages.dispatcher import DestinationState, Ready
from agent.messages.stability_tracker import ScanResult
from agent.model.errors import Fault, FaultKind, OutageReason
from agent.model.names import file_id
from agent.model.source_file import (
    ContainerState,
    FileVersion,
    FinishEvidence,
    ScannedFile,
    Signature,
    UnreadableFolder,
    WriterState,
)
from agent.model.transfer import SMALL_BYTES, Delivery, PriorResult, Status, Transfer, TransferPhase
from agent.model.verification import VerifyLevel
from agent.model.views import FileStatus, FileView, RouteView

NAS = "/nas"
IDENTITY = "0123456789abcdef" * 2
HASH = "xxh128:" + "0" * 32
ROUTE = Route(
    name="mxf",
    source="/src",
    destination=NAS,
    stable_s=10.0,
    scan_s=4.0,
    retry_delay_s=5.0,
    low_space_bytes=0,
)
LARGE_BYTES = 10 * SMALL_BYTES
STATE = Signature(device=1, inode=1, size_bytes=100, mtime_ns=1_000_000_000, ctime_ns=10**18)

CLOSED = FinishEvidence(WriterState.NONE, ContainerState.CLOSED)
QUIET = FinishEvidence(WriterState.NONE, ContainerState.UNKNOWN)
WRITTEN = FinishEvidence(WriterState.OPEN, ContainerState.UNKNOWN)
UNFINISHED = FinishEvidence(WriterState.NONE, ContainerState.OPEN, "the header partition is open")

SOURCE_FAULT = Fault(FaultKind.SOURCE, "source: Permission denied")
OUTAGE = Fault.outage(OutageReason.IO_ERROR, "destination: Input/output error")
STALL = Fault.outage(OutageReason.HUNG, "nothing moved for 30 s")

# A legal file name: any bytes but "/" and NUL, as Python shows them (PEP 383).
FILE_NAMES = (
    st.one_of(
        st.binary(min_size=1, max_size=255).map(lambda name: name.translate(None, b"/\0")),
        st.text("aé漢😀. _1", min_size=1, max_size=255).map(lambda name: name.encode()[:255]),
        st.text("a._1", min_size=250, max_size=255).map(str.encode),
    )
    .filter(lambda name: name not in (b"", b".", b".."))
    .map(lambda name: name.decode("utf-8", "surrogateescape"))
)


def but(signature: Signature, **numbers: int) -> Signature:
    """This state, with some of its numbers changed."""
    names = ("device", "inode", "size_bytes", "mtime_ns", "ctime_ns")
    return Signature(**{**dict(zip(names, signature.numbers, strict=True)), **numbers})


def a_view(file: FileVersion, status: Status, source: str = "/src") -> FileView:
    return FileView(
        file.id, file.path, file.signature, file.discovered_at, FileStatus(file.route, source, status)
    )


def shown_as(view: FileView, **changes: Any) -> FileView:  # noqa: ANN401  whatever a view or its course has
    """This view, with some of its attributes or of its current status's changed."""
    own = {
        name: changes.pop(name) for name in ("id", "path", "signature", "discovered_at") if name in changes
    }
    return evolve(view, current=evolve(view.current, **changes), **own)


def a_state(size_bytes: int = 100, version: int = 1) -> Signature:
    """Different versions are different states of a file."""
    return but(STATE, size_bytes=size_bytes, mtime_ns=version * 1_000_000_000)


def a_file(
    path: str = "a.mxf",
    size_bytes: int = 100,
    version: int = 1,
    route: str = "mxf",
    discovered_at: float = 1.0,
) -> FileVersion:
    return FileVersion(file_id(route, path), route, path, a_state(size_bytes, version), discovered_at)


def an_entry(
    path: str = "a.mxf", size_bytes: int = 100, version: int = 1, evidence: FinishEvidence | None = None
) -> ScannedFile:
    return ScannedFile(path, a_state(size_bytes, version), evidence)


def a_scan(
    *entries: ScannedFile,
    began_s: float = 0.0,
    took_s: float = 0.0,
    looked: tuple[str, ...] | None = None,
    unseen: tuple[UnreadableFolder, ...] = (),
) -> ScanResult:
    """Wall time runs 1000 s ahead of the monotonic clock."""
    ended_s = began_s + took_s
    return ScanResult(
        entries, began_s, ended_s, 1000.0 + ended_s, free_bytes=5, examined=looked, unreadable=unseen
    )


def a_look(*entries: ScannedFile, began_s: float, took_s: float = 0.0) -> ScanResult:
    return a_scan(*entries, began_s=began_s, took_s=took_s, looked=tuple(entry.path for entry in entries))


def a_config(*routes: Route) -> Config:
    return Config(path="/etc/agent.toml", agent=AgentSection("test", "/var/state"), routes=routes or (ROUTE,))


def usable(
    destination: str = NAS, began_s: float = 0.0, free_bytes: int | None = None, device: int | None = 7
) -> DestinationState:
    return DestinationState(destination, None, "", 1.0, began_s, free_bytes, free_bytes, device)


def unusable(
    destination: str = NAS, began_s: float = 0.0, reason: OutageReason = OutageReason.HUNG
) -> DestinationState:
    return DestinationState(destination, reason, "no answer", 2.0, began_s, None, None, None)


def ready(file: FileVersion) -> Ready:
    return Ready(file, 1000.0)


def a_delivery(size_bytes: int = 100, level: VerifyLevel = "read_back", kept: bool = False) -> Delivery:
    return Delivery(f"{NAS}/a.mxf", level, HASH, size_bytes, already_present=False, kept=kept)


def a_transfer(step: TransferPhase = TransferPhase.COPYING) -> Transfer:
    return Transfer(
        id=1,
        route="mxf",
        path="a.mxf",
        signature=STATE,
        destination=NAS,
        phase=step,
        partial=".a.mxf.0.partial",
        name=None,
        blocks=(),
        hash=None,
        level=None,
        already_present=False,
        discovered_at=1.0,
        started_at=2.0,
    )


def kept_before(file: FileVersion, destination_path: str | None = f"{NAS}/a.mxf") -> PriorResult:
    where = (destination_path, "read_back", HASH) if destination_path else (None, None, None)
    return PriorResult(file.route, file.path, file.signature, "kept", None, 1, 500.0, *where)


def failed_before(file: FileVersion, attempts: int = 3) -> PriorResult:
    return PriorResult(
        file.route, file.path, file.signature, "failed", "unreadable", attempts, 500.0, None, None, None
    )


def a_route_view(name: str = "mxf") -> RouteView:
    return RouteView(
        name=name,
        source="/src",
        destination=NAS,
        rules={"stable_s": 10.0, "scan_s": 4.0},
        paused=False,
        counts={},
        queue_bytes=0,
        rate_bytes_s=0.0,
        outage=None,
        checked=True,
        recovered=True,
        scanned=True,
        source_error=None,
        source_free_bytes=5,
        destination_free_bytes=5,
        destination_total_bytes=10,
        low_space_bytes=0,
    )
