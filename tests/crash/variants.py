"""The transfers that are killed: the files before, and the files that must exist at the end."""

import random
from collections.abc import Mapping
from pathlib import Path

from attrs import field, frozen

from agent.actors.dispatcher.batching import MAX_UNBATCHED
from agent.model.verification import BLOCK_BYTES
from tests.flow.running_agents import write_config, write_files

QUICK = {
    "stable": "30ms",
    "scan": "10s",
    "probe": "10s",
    "retry_delay": "10ms",
}  # `--once` waits for a multiple of `scan`


def footage(seed: str, size_bytes: int = 4 * BLOCK_BYTES + 12_345) -> bytes:
    """Random content for this seed; by default four whole blocks and a short one."""
    return random.Random(seed).randbytes(size_bytes)


CLIP = footage("clip")
SHORT = footage("short clip", BLOCK_BYTES + 5)
OTHERS = {"other.mxf": b"somebody else's", ".hidden": b"this too"}


@frozen(eq=False)
class Variant:
    """One transfer, or several at a time.

    `files`: content by path in the source. `finals`: by the same path, where it must end at the destination.
    `archived`: likewise in the archive. `foreign`: what is at the destination already, content by path.
    `keys`: of the route. `refused`: storage calls that the destination does not support.
    `may_leave_empty_name`: a kill while publishing may leave an empty file under the final name; the content
    is then delivered under the next free name.
    """

    name: str
    files: Mapping[str, bytes] = field(factory=lambda: {"clip.mxf": CLIP})
    finals: Mapping[str, str] = field(factory=lambda: {"clip.mxf": "clip.mxf"})
    archived: Mapping[str, str] = field(factory=dict)
    foreign: Mapping[str, bytes] = field(factory=dict)
    keys: Mapping[str, object] = field(factory=dict)
    refused: frozenset[str] = frozenset()
    may_leave_empty_name: bool = False

    @property
    def keeps_source(self) -> bool:
        """Whether `after = keep` leaves the source."""
        return self.keys.get("after") == "keep"

    @property
    def whole_bytes(self) -> int:
        return sum(map(len, self.files.values()))

    def prepare(self, folder: Path) -> None:
        """A folder for `run --once`, made here."""
        folder.mkdir()
        write_config(folder, "", **QUICK, **self.keys)
        write_files(folder / "source", dict(self.files))
        write_files(folder / "nas", OTHERS | dict(self.foreign))


MOVE = Variant("move")
NESTED = Variant(
    "nested", files={"day/card/clip.mxf": CLIP}, finals={"day/card/clip.mxf": "day/card/clip.mxf"}
)
ARCHIVE = Variant(
    "archive",
    files={"day/clip.mxf": CLIP},
    finals={"day/clip.mxf": "day/clip.mxf"},
    archived={"day/clip.mxf": "day/clip.mxf"},
    keys={"after": "archive:archive"},
)
KEEP = Variant("keep", keys={"after": "keep"})
CONFLICT = Variant(
    "conflict",
    files={"clip.mxf": SHORT},
    finals={"clip.mxf": "clip_1.mxf"},
    foreign={"clip.mxf": footage("another clip", len(SHORT))},
)
ALREADY_PRESENT = Variant("already there", files={"clip.mxf": SHORT}, foreign={"clip.mxf": SHORT})
HASH = Variant("hash", keys={"verify": "hash"})
LINK = Variant("link", refused=frozenset({"renameat2"}))
PLACEHOLDER = Variant("placeholder", refused=frozenset({"renameat2", "link"}), may_leave_empty_name=True)
BATCH_PATHS = [f"{number:02}.mxf" for number in range(MAX_UNBATCHED + 2)]
BATCH = Variant(
    "batch",
    files={path: footage(path, 2_000) for path in BATCH_PATHS},
    finals={path: path for path in BATCH_PATHS},
    keys={"workers": 1},
)
TWO_FILES = Variant(
    "two files",
    files={"clip.mxf": CLIP, "second.mxf": footage("second", 2 * BLOCK_BYTES + 5)},
    finals={"clip.mxf": "clip.mxf", "second.mxf": "second.mxf"},
)
