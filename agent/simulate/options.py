"""The options of a simulated writer, independent of the container that it writes, with their defaults."""

from typing import Literal

from attrs import field, frozen

from agent.config.units import KIB
from agent.simulate.steps import Allocation

Order = Literal["forward", "interleaved", "tail-first", "random"]
Start = Literal["nothing", "head"]
Restart = Literal["same-file", "new-file"]
LivePatch = Literal["head", "behind", "slots"]
Moment = Literal["start", "writes", "end"]


class IncompatibleOptions(ValueError):  # noqa: N818  an answer for the user
    """Options that contradict each other; the text says what to do."""


@frozen
class WriterOptions:
    """`_at` and `_to` are fractions of the bytes appended; `_s` are seconds, `_bytes` bytes."""

    write_bytes: int = field(default=256 * KIB, metadata={"help": "bytes in one write"})
    jitter: float = field(default=0.0, metadata={"help": "random variation of the time between writes"})
    start_delay_s: float = field(default=0.0, metadata={"help": "wait before the recording begins"})
    start_with: Start = field(
        default="nothing", metadata={"help": "content during the start delay: nothing (0 bytes) or the head"}
    )
    pause_at: tuple[float, ...] = field(default=(), metadata={"help": "where the writer pauses"})
    pause_s: float = field(default=8.0, metadata={"help": "length of a pause"})
    pause_closed: bool = field(
        default=False, metadata={"help": "close the file for the pause and open it again"}
    )
    copies: bool = field(default=False, metadata={"help": "copy a finished file instead of recording one"})
    allocate: Allocation = field(
        default="none", metadata={"help": "allocate first: truncate, fallocate or keep-size"}
    )
    order: Order = field(default="forward", metadata={"help": "order in which a copy is filled"})
    ways: int = field(default=4, metadata={"help": "streams of an interleaved copy"})
    hole_at: float | None = field(default=None, metadata={"help": "where a hole begins that is never filled"})
    hole_bytes: int = field(default=1024 * KIB, metadata={"help": "size of the hole, in whole writes"})
    set_mtime: tuple[Moment, ...] = field(
        default=(), metadata={"help": "when the times are set: start, writes, end"}
    )
    mtime_age_s: float = field(default=2 * 86_400.0, metadata={"help": "age of those times"})
    temp_name: str = field(
        default="", metadata={"help": "temporary name until the end, with {name} and {random}"}
    )
    replaces: bool = field(default=False, metadata={"help": "rename over an older file of the final name"})
    burst: bool = field(default=False, metadata={"help": "collect everything first, then write it at once"})
    shrink_at: float | None = field(
        default=None, metadata={"help": "where the file is truncated and continued with other bytes"}
    )
    shrink_to: float = field(default=0.25, metadata={"help": "size that the truncation leaves"})
    restart_at: float | None = field(
        default=None, metadata={"help": "where the writer starts again with other bytes"}
    )
    restart: Restart = field(
        default="same-file", metadata={"help": "start again in the same file or in a new one"}
    )
    crash_at: float | None = field(default=None, metadata={"help": "where the writer crashes"})
    touch_after_s: float | None = field(
        default=None, metadata={"help": "change the finished file once more after this time"}
    )
    touch_bytes: int = field(default=4 * KIB, metadata={"help": "size of that change"})
    touch_grows: bool = field(
        default=False, metadata={"help": "append that change instead of making it in the middle"}
    )
    mapped: bool = field(default=False, metadata={"help": "write through a memory mapping"})
    hold_s: float = field(default=0.0, metadata={"help": "time the file stays open after the last write"})
    sync: bool = field(default=False, metadata={"help": "fsync after each edit and before closing"})
    edit_rate_bytes_s: int = field(default=200_000_000, metadata={"help": "rate of edits, bytes a second"})
    period_s: float = field(
        default=0.0, metadata={"help": "length of partitions, fragments, clusters (0: the container's own)"}
    )
    tail_bytes: int = field(
        default=0,
        metadata={"help": "size of the index: moov, Cues, idx1, MXF footer (0: the container's own)"},
    )
    patch_list: tuple[tuple[int, int], ...] = field(
        default=(), metadata={"help": "raw only: OFFSET+LENGTH rewritten at the end"}
    )
    patch_every_bytes: int = field(
        default=0, metadata={"help": "raw only: distance between rewrites at the end"}
    )
    patch_length_bytes: int = field(
        default=4 * KIB, metadata={"help": "raw only: size of each of these and of the live rewrites"}
    )
    live_patch_s: float = field(
        default=0.0, metadata={"help": "raw only: interval of rewrites while recording"}
    )
    live_place: LivePatch = field(
        default="head",
        metadata={"help": "raw only: place of those: head, behind the tail, two slots by turns"},
    )
    live_behind_bytes: int = field(default=2_600_000, metadata={"help": "raw only: distance from the tail"})
    members: tuple[str, ...] = field(
        default=("",), metadata={"help": "suffixes of the names in a group of files"}
    )
    skew_s: float = field(default=0.0, metadata={"help": "delay between the closes of a group"})
    sidecar: str = field(default="", metadata={"help": "name of a small XML file written last, with {stem}"})

    @property
    def patches(self) -> bool:
        return bool(self.patch_list or self.patch_every_bytes or self.live_patch_s)

    @property
    def has_second_recording(self) -> bool:
        return self.shrink_at is not None or self.restart_at is not None


def check(options: WriterOptions, container: str) -> None:
    """Refuse options that contradict each other or the container.

    Raises:
        IncompatibleOptions: names the settings and the way out.
    """
    if options.order != "forward" and not options.copies:
        raise IncompatibleOptions(f"order={options.order} is for copies of finished files: add copies=yes")
    if options.order != "forward" and options.has_second_recording:
        raise IncompatibleOptions("shrink-at and restart-at need order=forward")
    if options.shrink_at is not None and options.restart_at is not None:
        raise IncompatibleOptions("shrink-at and restart-at exclude each other: leave one out")
    if options.shrink_at is not None and options.shrink_to > options.shrink_at:
        raise IncompatibleOptions("shrink-to must not be more than shrink-at")
    if options.mapped and options.allocate not in {"truncate", "fallocate"}:
        raise IncompatibleOptions("mapped=yes needs the final size first: add allocate=truncate")
    if options.replaces and not options.temp_name:
        raise IncompatibleOptions("replaces=yes needs a name to come from: add temp-name={name}.tmp")
    if options.patches and container != "raw":
        raise IncompatibleOptions(
            f"patch settings are for --container raw; {container} has rewrites of its own"
        )
    if min(options.write_bytes, options.edit_rate_bytes_s, options.ways, len(options.members)) < 1:
        raise IncompatibleOptions("write, edit-rate, ways and members must be 1 at least")
