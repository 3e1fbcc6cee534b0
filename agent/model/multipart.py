"""Multipart uploads: how the journal refers to one, and which blocks of a file go into which part.

An upload is bound to the final name of its file, and the service assigns its id. The journal needs both, so
a transfer's partial is a reference in place of a temporary name: `day/clip.mxf//0123456789abcdef/8/id`.
No path contains "//", so a reference is never mistaken for a temporary name.
"""

import re
from typing import Self
from urllib.parse import quote, unquote

from attrs import evolve, frozen

from agent.model.names import split_path

MOST_PARTS = 10_000  # S3's own limits
LARGEST_PART_BLOCKS = 5 * 1024  # 5 GiB
TIER_PARTS = 900  # so that 5 TiB fit even from the smallest part size
TIERS = MOST_PARTS // TIER_PARTS  # the last one has no end

_REFERENCE = re.compile(
    r"(?P<name>.+)//(?P<fingerprint>[0-9a-f]{16})/(?P<size>[1-9][0-9]*)(?P<growing>\+?)/(?P<ids>.*)",
    re.DOTALL,
)
_FINGERPRINT = re.compile(r"\.([0-9a-f]{16})\.partial\Z")


@frozen
class PartLayout:
    """The sizes of an upload's parts, which are numbered from 1.

    Each part has `size_blocks` blocks. With `growing_parts` that doubles after every `TIER_PARTS` parts,
    because a growing file may reach any size.
    """

    size_blocks: int
    growing_parts: bool = False

    @classmethod
    def of(cls, size_blocks: int | None, wanted_blocks: int) -> Self:
        """Return the layout for a file of `size_blocks` blocks (None: it grows).

        The parts are larger than `wanted_blocks` where there would be too many of them.
        """
        if size_blocks is None:
            return cls(wanted_blocks, growing_parts=True)
        return cls(max(wanted_blocks, -(-size_blocks // MOST_PARTS)))

    def number(self, block: int) -> int:
        """Return the number of this block's part; more than `MOST_PARTS` when the file is too large."""
        first, before, size_blocks = 0, 0, self.size_blocks
        for _ in range(TIERS if self.growing_parts else 0):
            after = first + TIER_PARTS * size_blocks
            if block < after:
                break
            first, before = after, before + TIER_PARTS
            size_blocks = min(2 * size_blocks, LARGEST_PART_BLOCKS)
        return before + (block - first) // size_blocks + 1

    def span(self, number: int) -> range:
        """Return the blocks of this part."""
        return range(self._first_block(number), self._first_block(number + 1))

    def count(self, size_blocks: int) -> int:
        """Return the number of parts of a file with `size_blocks` blocks."""
        return self.number(size_blocks - 1) if size_blocks else 0

    def _first_block(self, number: int) -> int:
        first, size_blocks, before = 0, self.size_blocks, number - 1
        for _ in range(TIERS if self.growing_parts else 0):
            if before <= TIER_PARTS:
                break
            first, before = first + TIER_PARTS * size_blocks, before - TIER_PARTS
            size_blocks = min(2 * size_blocks, LARGEST_PART_BLOCKS)
        return first + before * size_blocks


@frozen
class MultipartRef:
    """A multipart upload to `name`, relative to the destination; `fingerprint` is unique among ours.

    While `id` is None the upload is still to be created. Uploads to the same name that existed before have
    `known_ids`; a lost response to the creation leaves one with another id.
    """

    name: str
    fingerprint: str
    parts: PartLayout
    id: str | None = None
    known_ids: tuple[str, ...] = ()

    def with_id(self, upload_id: str) -> Self:
        """Return the reference to the upload that the service created with this id."""
        return evolve(self, id=upload_id, known_ids=())

    def reference(self) -> str:
        """Return the text that the journal keeps as the partial."""
        ids = (
            "".join(f"?{quote(each, '')}" for each in self.known_ids)
            if self.id is None
            else quote(self.id, "")
        )
        growing = "+" if self.parts.growing_parts else ""
        return f"{self.name}//{self.fingerprint}/{self.parts.size_blocks}{growing}/{ids}"


def parse_reference(partial: str) -> MultipartRef | None:
    """Return the upload that a journaled partial refers to; None when it is a temporary name."""
    found = _REFERENCE.fullmatch(partial)
    if found is None:
        return None
    ids = found["ids"]
    parts = PartLayout(int(found["size"]), bool(found["growing"]))
    if ids and not ids.startswith("?"):
        return MultipartRef(found["name"], found["fingerprint"], parts, unquote(ids))
    known_ids = tuple(unquote(each) for each in ids.split("?")[1:])
    return MultipartRef(found["name"], found["fingerprint"], parts, None, known_ids)


def fingerprint_of(partial: str) -> str:
    """Return the fingerprint in a temporary name or an upload's reference; empty for other names."""
    upload = parse_reference(partial)
    if upload is not None:
        return upload.fingerprint
    found = _FINGERPRINT.search(split_path(partial)[1])
    return found[1] if found else ""


def bound_name(partial: str, name: str) -> str:
    """Return the only name that this partial can be published under; `name` when any will do."""
    upload = parse_reference(partial)
    return upload.name if upload else name
