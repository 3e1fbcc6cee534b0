"""Transfers to be killed: what stands where beforehand, and what must stand where in the end."""

import random
from collections.abc import Mapping
from pathlib import Path

from attrs import field, frozen

from agent.actors.dispatcher.batching import MAX_UNBATCHED
from agent.model.transfer import BLOCK_BYTES
from tests.flow.running_agents import write_config, write_files

QUICK = {
    "stable": "30ms",
    "scan": "10s",
    "probe": "10s",
    "retry_delay": "10ms",
}  # `--once` is patient by `scan`


def footage(seed: str, size_bytes: int = 4 * BLOCK_BYTES + 12_345) -> bytes:
    """Four whole blocks and a short one, unless told otherwise."""
    return random.Random(seed).randbytes(size_bytes)


CLIP = footage("clip")
SHORT = footage("short clip", BLOCK_BYTES + 5)
OTHERS = {"other.mxf": b"somebody else's", ".hidden": b"this too"}


@frozen(eq=False)
class Variant:
    """A transfer, or several at a time.

    `files`: content by path in the source. `finals`: by the same path, where it must end at the destination.
    `archived`: likewise in the archive. `foreign`: what is at the destination already, content by path.
    `keys`: of the route. `refused`: storage calls that the destination does not know.
    `spares_empty_name`: a kill in the middle of publishing may leave the final name to an empty file, and the
    content then has to make way for it.
    """

    name: str
    files: Mapping[str, bytes] = field(factory=lambda: {"clip.mxf": CLIP})
    finals: Mapping[str, str] = field(factory=lambda: {"clip.mxf": "clip.mxf"})
    archived: Mapping[str, str] = field(factory=dict)
    foreign: Mapping[str, bytes] = field(factory=dict)
    keys: Mapping[str, object] = field(factory=dict)
    refused: frozenset[str] = frozenset()
    spares_empty_name: bool = False

    @property
    def keeps(self) -> bool:
        """Whether the source stays where it is."""
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
SAME = Variant("already there", files={"clip.mxf": SHORT}, foreign={"clip.mxf": SHORT})
HASH = Variant("hash", keys={"verify": "hash"})
LINK = Variant("link", refused=frozenset({"renameat2"}))
PLACEHOLDER = Variant("placeholder", refused=frozenset({"renameat2", "link"}), spares_empty_name=True)
LOT_PATHS = [f"{number:02}.mxf" for number in range(MAX_UNBATCHED + 2)]
LOT = Variant(
    "lot",
    files={path: footage(path, 2_000) for path in LOT_PATHS},
    finals={path: path for path in LOT_PATHS},
    keys={"workers": 1},
)
TWO = Variant(
    "two files",
    files={"clip.mxf": CLIP, "second.mxf": footage("second", 2 * BLOCK_BYTES + 5)},
    finals={"clip.mxf": "clip.mxf", "second.mxf": "second.mxf"},
)
