"""How a writer behaves, whatever it writes: every knob of the simulator, and how it stands by itself."""

from typing import Literal

from attrs import field, frozen

from agent.config.units import KIB
from agent.simulate.steps import Allocation

Order = Literal["forward", "interleaved", "tail-first", "random"]
Start = Literal["nothing", "head"]
Restart = Literal["same-file", "new-file"]
LivePatch = Literal["head", "behind", "slots"]
Moment = Literal["start", "writes", "end"]


class IncompatibleOptions(ValueError):  # noqa: N818  an answer, for people
    """Habits that do not go together, and what to do."""


@frozen
class WriterOptions:
    """Fractions (`_at`, `_to`) are of the bytes appended; `_s` are seconds, `_bytes` bytes."""

    write_bytes: int = field(default=256 * KIB, metadata={"help": "bytes in one write"})
    jitter: float = field(
        default=0.0, metadata={"help": "how much the time between writes varies, by chance"}
    )
    start_delay_s: float = field(default=0.0, metadata={"help": "wait before the recording begins"})
    start_with: Start = field(
        default="nothing", metadata={"help": "what stands there meanwhile: nothing (0 bytes) or the head"}
    )
    pause_at: tuple[float, ...] = field(default=(), metadata={"help": "where the writer pauses"})
    pause_s: float = field(default=8.0, metadata={"help": "how long a pause is"})
    pause_closed: bool = field(
        default=False, metadata={"help": "close the file for the pause, and open it again"}
    )
    copies: bool = field(default=False, metadata={"help": "copy a finished file instead of recording one"})
    allocate: Allocation = field(
        default="none", metadata={"help": "make room first: truncate, fallocate or keep-size"}
    )
    order: Order = field(default="forward", metadata={"help": "in which order a copy is filled"})
    ways: int = field(default=4, metadata={"help": "streams of an interleaved copy"})
    hole_at: float | None = field(default=None, metadata={"help": "where a hole begins that is never filled"})
    hole_bytes: int = field(default=1024 * KIB, metadata={"help": "how large the hole is, in whole writes"})
    set_mtime: tuple[Moment, ...] = field(
        default=(), metadata={"help": "when times are set: start, writes, end"}
    )
    mtime_age_s: float = field(default=2 * 86_400.0, metadata={"help": "how old those times are"})
    temp_name: str = field(
        default="", metadata={"help": "name until the end; {name} and {random} are filled in"}
    )
    replaces: bool = field(default=False, metadata={"help": "rename over an older file of the final name"})
    burst: bool = field(default=False, metadata={"help": "collect everything first, then write it at once"})
    shrink_at: float | None = field(
        default=None, metadata={"help": "where the file is cut, and another take goes on from there"}
    )
    shrink_to: float = field(default=0.25, metadata={"help": "how much the cut leaves"})
    restart_at: float | None = field(
        default=None, metadata={"help": "where the writer begins again with another take"}
    )
    restart: Restart = field(
        default="same-file", metadata={"help": "begin again in the same file or in a new one"}
    )
    crash_at: float | None = field(default=None, metadata={"help": "where the writer dies"})
    touch_after_s: float | None = field(
        default=None, metadata={"help": "change the file once more, so long after the end"}
    )
    touch_bytes: int = field(default=4 * KIB, metadata={"help": "how much that changes"})
    touch_grows: bool = field(default=False, metadata={"help": "append it, instead of changing the middle"})
    mapped: bool = field(default=False, metadata={"help": "write through a memory mapping"})
    hold_s: float = field(default=0.0, metadata={"help": "keep the file open so long after the last write"})
    sync: bool = field(
        default=False, metadata={"help": "fsync after each change behind the tail, and before closing"}
    )
    edit_rate_bytes_s: int = field(default=200_000_000, metadata={"help": "how fast the close rewrites"})
    period_s: float = field(
        default=0.0, metadata={"help": "of partitions, fragments, clusters, headers (0: the container's own)"}
    )
    tail_bytes: int = field(
        default=0,
        metadata={"help": "size of moov, Cues, idx1, or index in the MXF footer (0: the container's own)"},
    )
    patch_list: tuple[tuple[int, int], ...] = field(
        default=(), metadata={"help": "raw only: OFFSET+LENGTH rewritten at the end"}
    )
    patch_every_bytes: int = field(
        default=0, metadata={"help": "raw only: rewrite at every so many bytes at the end"}
    )
    patch_length_bytes: int = field(
        default=4 * KIB, metadata={"help": "raw only: how much each of these, and of the next, changes"}
    )
    live_patch_s: float = field(default=0.0, metadata={"help": "raw only: rewrite so often while recording"})
    live_place: LivePatch = field(
        default="head", metadata={"help": "raw only: where: head, behind the tail, two slots by turns"}
    )
    live_behind_bytes: int = field(default=2_600_000, metadata={"help": "raw only: how far behind the tail"})
    members: tuple[str, ...] = field(
        default=("",), metadata={"help": "files of a group, by what is added to the name"}
    )
    skew_s: float = field(default=0.0, metadata={"help": "how much later each next member closes"})
    sidecar: str = field(
        default="", metadata={"help": "name of a small XML file written last; {stem} is filled in"}
    )

    @property
    def patches(self) -> bool:
        return bool(self.patch_list or self.patch_every_bytes or self.live_patch_s)

    @property
    def retakes(self) -> bool:
        return self.shrink_at is not None or self.restart_at is not None


def check(habits: WriterOptions, container: str) -> None:
    """Refuse what no writer can do.

    Raises:
        Unfitting: says which settings, and the way out.
    """
    if habits.order != "forward" and not habits.copies:
        raise IncompatibleOptions(f"order={habits.order} is for copies of finished files: add copies=yes")
    if habits.order != "forward" and habits.retakes:
        raise IncompatibleOptions("shrink-at and restart-at need order=forward")
    if habits.shrink_at is not None and habits.restart_at is not None:
        raise IncompatibleOptions("shrink-at and restart-at exclude each other: leave one out")
    if habits.shrink_at is not None and habits.shrink_to > habits.shrink_at:
        raise IncompatibleOptions("shrink-to must not be more than shrink-at")
    if habits.mapped and habits.allocate not in {"truncate", "fallocate"}:
        raise IncompatibleOptions("mapped=yes needs the final size first: add allocate=truncate")
    if habits.replaces and not habits.temp_name:
        raise IncompatibleOptions("replaces=yes needs a name to come from: add temp-name={name}.tmp")
    if habits.patches and container != "raw":
        raise IncompatibleOptions(
            f"patch settings are for --container raw; {container} has rewrites of its own"
        )
    if min(habits.write_bytes, habits.edit_rate_bytes_s, habits.ways, len(habits.members)) < 1:
        raise IncompatibleOptions("write, edit-rate, ways and members must be 1 at least")
