"""Multipart uploads: what is remembered of one, and which blocks of a file go into which part.

An upload is bound to the name that its file will have, and its service gives it an id of its own. Both have
to be in the journal, so they stand in what a transfer remembers as its partial, in place of a temporary name:
`day/clip.mxf//0123456789abcdef/8/id`. No path holds "//", so the two are never taken for each other.
"""

import re
from typing import Self
from urllib.parse import quote, unquote

from attrs import evolve, frozen

from agent.model.names import split_path

MOST_PARTS = 10_000  # S3's own limits
LARGEST_PART_BLOCKS = 5 * 1024  # 5 GiB
TIER_PARTS = 900  # so many that 5 TiB fit, from the smallest part size on
TIERS = MOST_PARTS // TIER_PARTS  # the last one goes on for ever

_REFERENCE = re.compile(
    r"(?P<name>.+)//(?P<mark>[0-9a-f]{16})/(?P<size>[1-9][0-9]*)(?P<graded>\+?)/(?P<rest>.*)", re.DOTALL
)
_MARK = re.compile(r"\.([0-9a-f]{16})\.partial\Z")


@frozen
class PartLayout:
    """Part `n`, counted from 1, has `size_blocks`; when `growing_parts`, twice as many after each tier.

    A tier has `TIER_PARTS` parts.

    A file whose size is known needs parts of one size; one that grows may come to any size.
    """

    size_blocks: int
    growing_parts: bool = False

    @classmethod
    def of(cls, size_blocks: int | None, wanted_blocks: int) -> Self:
        """For a file of so many blocks (None: it grows): as wanted, larger where they would be too many."""
        if size_blocks is None:
            return cls(wanted_blocks, growing_parts=True)
        return cls(max(wanted_blocks, -(-size_blocks // MOST_PARTS)))

    def number(self, block: int) -> int:
        """The part that this block belongs to, from 1; more than `MOST_PARTS` when the file is too large."""
        first, before, size_blocks = 0, 0, self.size_blocks
        for _ in range(TIERS if self.growing_parts else 0):
            after = first + TIER_PARTS * size_blocks
            if block < after:
                break
            first, before = after, before + TIER_PARTS
            size_blocks = min(2 * size_blocks, LARGEST_PART_BLOCKS)
        return before + (block - first) // size_blocks + 1

    def span(self, number: int) -> range:
        """The blocks of this part."""
        return range(self._first_block(number), self._first_block(number + 1))

    def count(self, size_blocks: int) -> int:
        """How many parts a file of so many blocks has."""
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
    """One upload to `name`, relative to the destination; `mark` tells it from all others of ours.

    While `id` is None it is about to be made: `known_ids` were under way to the same name before.
    """

    name: str
    mark: str
    parts: PartLayout
    id: str | None = None
    known_ids: tuple[str, ...] = ()

    def with_id(self, upload_id: str) -> Self:
        """The service has made it and calls it so."""
        return evolve(self, id=upload_id, known_ids=())

    def reference(self) -> str:
        """What the journal keeps as the partial."""
        rest = (
            "".join(f"?{quote(each, '')}" for each in self.known_ids)
            if self.id is None
            else quote(self.id, "")
        )
        grade = "+" if self.parts.growing_parts else ""
        return f"{self.name}//{self.mark}/{self.parts.size_blocks}{grade}/{rest}"


def parse(partial: str) -> MultipartRef | None:
    """The upload that a transfer remembers; None for a temporary name: there is none yet."""
    found = _REFERENCE.fullmatch(partial)
    if found is None:
        return None
    rest = found["rest"]
    parts = PartLayout(int(found["size"]), bool(found["graded"]))
    if rest and not rest.startswith("?"):
        return MultipartRef(found["name"], found["mark"], parts, unquote(rest))
    others = tuple(unquote(each) for each in rest.split("?")[1:])
    return MultipartRef(found["name"], found["mark"], parts, None, others)


def mark_of(partial: str) -> str:
    """The fingerprint in a temporary name or an upload's reference."""
    upload = parse(partial)
    if upload is not None:
        return upload.mark
    found = _MARK.search(split_path(partial)[1])
    return found[1] if found else ""


def bound_name(partial: str, name: str) -> str:
    """The only name that this partial can be given; `name` when it can be given any."""
    upload = parse(partial)
    return upload.name if upload else name
