"""Matroska and WebM: an EBML header, then a Segment with its size.

EBML: RFC 8794 §4 (variable-size integers), §5 and §6 (element ID and data size, of unknown size when all
bits are ones), §11 (header; CRC-32 and Void). Matroska: RFC 9559 §5.1 (Segment).

- CLOSED: elements fill the file exactly, and the last document has its Segment.
- TRUNCATED: an element ends behind the end of the file, or the file ends before the Segment.
- UNKNOWN: a Segment of unknown size, which recorders set when they close and live streams never do; bytes
  behind the Segment that are no element of this level.
"""

from attrs import frozen

from agent.model.source_file import ContainerState
from agent.worker.source.containers.probe import ContainerVerdict, Probe

_HEADER = b"\x1a\x45\xdf\xa3"
_SEGMENT = b"\x18\x53\x80\x67"
_TOP_LEVEL = {_HEADER, _SEGMENT, b"\xec", b"\xbf"}  # the last two are Void and CRC-32
_LONGEST_HEAD_BYTES = 12
_MAX_ID_BYTES = 4
_MAX_SIZE_BYTES = 8


@frozen
class _Element:
    id: bytes
    end: int | None  # None: of unknown size


def judge(probe: Probe) -> ContainerVerdict | None:
    """Judge an EBML document or several in a row; None for anything else."""
    if probe.peek(0, len(_HEADER)) != _HEADER:
        return None
    at, last = 0, b""
    while at < probe.size_bytes:
        element = _element(probe.peek(at, _LONGEST_HEAD_BYTES), at)
        if element is None or element.id not in _TOP_LEVEL:
            return _no_element_at(probe, at, last)
        if element.end is None:
            return ContainerVerdict(
                ContainerState.UNKNOWN, "the segment's size is unknown: live or unfinished"
            )
        if element.end > probe.size_bytes:
            missing = element.end - probe.size_bytes
            return ContainerVerdict(ContainerState.TRUNCATED, f"{missing} bytes are missing at the end")
        if element.id in {_HEADER, _SEGMENT}:
            last = element.id
        at = element.end
    if last == _SEGMENT:
        return ContainerVerdict(ContainerState.CLOSED, "the segment ends where the file ends")
    return ContainerVerdict(ContainerState.TRUNCATED, "the file ends before its segment")


def _no_element_at(probe: Probe, at: int, last: bytes) -> ContainerVerdict:
    if last != _SEGMENT and probe.size_bytes - at < _LONGEST_HEAD_BYTES:
        return ContainerVerdict(ContainerState.TRUNCATED, "the file ends before its segment")
    return ContainerVerdict(ContainerState.UNKNOWN, f"no Matroska element begins at {at}")


def _element(head: bytes, at: int) -> _Element | None:
    id_bytes = _vint_bytes(head)
    size_bytes = _vint_bytes(head[id_bytes:])
    if not 0 < id_bytes <= _MAX_ID_BYTES or not 0 < size_bytes <= _MAX_SIZE_BYTES:
        return None
    field = head[id_bytes : id_bytes + size_bytes]
    if len(field) < size_bytes:
        return None
    ones = (1 << 7 * size_bytes) - 1
    size = int.from_bytes(field) & ones
    return _Element(head[:id_bytes], None if size == ones else at + id_bytes + size_bytes + size)


def _vint_bytes(head: bytes) -> int:
    """Return the length of a variable-size integer: its leading zero bits plus one; 0 without a byte."""
    return 9 - head[0].bit_length() if head else 0
