"""The effective configuration: frozen, with absolute paths, in seconds and bytes.

A key is its attribute's name without the unit: `stable` is `stable_s`, `low_space` is `low_space_bytes`. The
annotation can name another key, and several attributes can be parsed from one key.
"""

import ipaddress
from collections.abc import Sequence
from typing import Annotated, Literal

from attrs import frozen

from agent.config import field_parsers
from agent.config.units import GIB, KIB, MIB
from agent.config.value_parsers import (
    Parse,
    ParseRelative,
    duration,
    one_line,
    optional_duration,
    positive_duration,
    size,
    whole_number,
)
from agent.model.storage import BandwidthStep, S3Access

MountRule = Literal["auto", "yes", "no"]
Seconds = Annotated[float, Parse(positive_duration)]
Bytes = Annotated[int, Parse(size())]
Workers = Annotated[int, Parse(whole_number(1, 64))]


@frozen
class AgentSection:
    """`name` identifies the agent; `state_dir` holds the journal, on a local disk."""

    name: Annotated[str, Parse(one_line)]
    state_dir: Annotated[str, ParseRelative(field_parsers.folder)]

    @property
    def address_file(self) -> str:
        """The file in which the running agent writes the address of its page."""
        return f"{self.state_dir}/address"

    @property
    def partial_locks_file(self) -> str:
        """The file whose locks keep worker processes from writing to one partial at a time."""
        return f"{self.state_dir}/partial-locks"


@frozen
class WebSection:
    """The address of the page; port 0 takes a free one. `token` is the content of `token_file`, a secret."""

    host: Annotated[str, Parse(field_parsers.bind_host, key="bind")] = "127.0.0.1"
    port: Annotated[int, Parse(field_parsers.bind_port, key="bind")] = 8080
    token: Annotated[str | None, ParseRelative(field_parsers.token, key="token_file")] = None

    @property
    def loopback(self) -> bool:
        """True only if certainly no other machine can reach the address."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"


@frozen
class LogSection:
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "json"] = "auto"
    file: Annotated[str | None, ParseRelative(field_parsers.optional_file)] = None
    max_size_bytes: Annotated[int, Parse(size(KIB))] = 20 * MIB
    keep: Annotated[int, Parse(whole_number(1, 1000))] = 10


@frozen
class Route:
    """One source, one destination, and the rules between them.

    `source` is an absolute path, `destination` one too or an s3 URL. `include` and `exclude` are globs on the
    path below the source; no `include` means everything but the built-in excludes. `archive` is an
    absolute path when `after` is "archive", and else None.
    """

    name: Annotated[str, Parse(field_parsers.route_name)]
    source: Annotated[str, ParseRelative(field_parsers.folder)]
    destination: Annotated[str, ParseRelative(field_parsers.destination)]
    include: Annotated[tuple[str, ...], Parse(field_parsers.globs)] = ()
    exclude: Annotated[tuple[str, ...], Parse(field_parsers.globs)] = ()
    after: Annotated[Literal["delete", "keep", "archive"], Parse(field_parsers.after_mode)] = "delete"
    archive: Annotated[str | None, ParseRelative(field_parsers.archive_folder, key="after")] = None
    stable_s: Seconds = 120.0
    stable_closed_s: Annotated[float | None, Parse(optional_duration)] = None
    scan_s: Seconds = 10.0
    growing: bool = False
    growing_min_size_bytes: Bytes = 100 * MIB
    unfinished: Literal["hold", "deliver"] = "hold"
    unseen_writers: Literal["hold", "deliver"] = "hold"
    source_marker: Annotated[str | None, Parse(field_parsers.marker)] = None
    remove_empty_folders: bool = False
    conflict: Literal["rename", "fail"] = "rename"
    verify: Literal["read_back", "hash", "size"] = "read_back"
    workers: Workers = 2
    max_attempts: Annotated[int, Parse(whole_number(1, 1000))] = 3
    retry_delay_s: Annotated[float, Parse(duration)] = 10.0
    probe_s: Seconds = 5.0
    probe_timeout_s: Seconds = 10.0
    stall_timeout_s: Seconds = 30.0
    low_space_bytes: Bytes = 10 * GIB
    marker: Annotated[str | None, Parse(field_parsers.marker)] = None
    mounted: MountRule = "auto"
    bandwidth: Annotated[tuple[BandwidthStep, ...], Parse(field_parsers.bandwidth)] = ()
    priority: Annotated[int, Parse(whole_number(-1000, 1000))] = 0

    @property
    def key_prefix(self) -> str:
        """The folder below the destination that the route writes to, ending in a slash; empty: the root."""
        return ""

    @property
    def metrics_label(self) -> str:
        """The route's name in the metrics."""
        return self.name

    @property
    def upload_id(self) -> str | None:
        """The id of the upload job of this route; None: a configured route."""
        return None


@frozen
class Uploads:
    """Upload jobs may read below `roots` (absolute paths). Without roots, jobs are refused."""

    roots: Annotated[tuple[str, ...], ParseRelative(field_parsers.folders)] = ()
    workers: Workers = 5


@frozen
class S3:
    """For s3:// destinations. Empty texts leave the choice to AWS_*; S3 allows parts of 5 MiB to 5 GiB."""

    endpoint_url: Annotated[str, Parse(field_parsers.endpoint)] = ""
    region: str = ""
    path_style: bool = False
    part_size_bytes: Annotated[int, Parse(size(5 * MIB, 5 * GIB))] = 8 * MIB

    def access(self, destination: str, timeout_s: float) -> S3Access | None:
        """The access to this destination; None: it is a folder."""
        if not destination.startswith("s3://"):
            return None
        return S3Access(self.endpoint_url, self.region, self.path_style, self.part_size_bytes, timeout_s)


@frozen
class DestinationPlan:
    """The values that the routes to one destination share: the most workers, the shortest probe interval.

    `s3` is set for an s3:// destination only.
    """

    destination: str
    routes: tuple[str, ...]
    workers: int
    probe_s: float
    probe_timeout_s: float
    stall_timeout_s: float
    low_space_bytes: int
    marker: str | None
    s3: S3Access | None = None
    mounted: MountRule = "auto"


@frozen(kw_only=True)
class Config:
    """`path` is the absolute path of the configuration file."""

    path: str
    agent: AgentSection
    web: WebSection = WebSection()
    log: LogSection = LogSection()
    routes: tuple[Route, ...]
    uploads: Uploads = Uploads()
    s3: S3 = S3()

    def destinations(self) -> tuple[DestinationPlan, ...]:
        """One plan for each destination, in the order of the routes."""
        found = dict.fromkeys(route.destination for route in self.routes)
        return tuple(
            self.plan([route for route in self.routes if route.destination == each]) for each in found
        )

    def plan(self, routes: Sequence[Route]) -> DestinationPlan:
        """The plan of routes that have one destination."""
        return _plan(routes, self.s3)


def _plan(routes: Sequence[Route], s3: S3) -> DestinationPlan:
    stall_timeout_s = min(route.stall_timeout_s for route in routes)
    return DestinationPlan(
        destination=routes[0].destination,
        routes=tuple(route.name for route in routes),
        workers=max(route.workers for route in routes),
        probe_s=min(route.probe_s for route in routes),
        probe_timeout_s=min(route.probe_timeout_s for route in routes),
        stall_timeout_s=stall_timeout_s,
        low_space_bytes=max(route.low_space_bytes for route in routes),
        marker=next((route.marker for route in routes if route.marker), None),
        s3=s3.access(routes[0].destination, stall_timeout_s),
        mounted=next((route.mounted for route in routes if route.mounted != "auto"), "auto"),
    )
