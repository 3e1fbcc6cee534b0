"""MXF: partitions of KLV triplets, the last of them a footer that ends where the file ends.

SMPTE ST 377-1 §6.5 (run-in), §7.1 (partition pack; byte 14 of its key is header, body or footer, byte 15
open or closed, incomplete or complete), §7.4 (a footer is closed and holds no essence), §12 (random index
pack); SMPTE ST 336 (KLV and its lengths). Offsets count from the header partition.

The header alone proves nothing: growing files in Avid style are marked "closed, complete" from the start and
name a "footer", but that partition contains the essence. So the footer is searched for: by the random index
pack, by the header, and in the last 2 MiB. It must be at the offset in its own pack and contain no essence
(BodySID 0). Its announced metadata and index must fit, and KLVs must lead from it to the end of the file.

- CLOSED: such a footer exists, and the header is closed and names this footer or none. Behind an open header
  the footer must be complete, because single-pass writers never update the header.
- OPEN: there is no footer and the header is open, or the named footer still contains essence.
- TRUNCATED: the header names a footer that does not exist; a KLV, or the announced metadata and index of the
  footer, ends behind the end of the file.
- UNKNOWN: a closed header that names no footer, and there is none; header and footer contradict each other;
  other bytes behind the footer; anything but CLOSED behind a run-in, which may be an archive of MXF files.
"""

import re
from collections.abc import Iterator

from attrs import frozen

from agent.model.source_file import ContainerState
from agent.worker.source.containers.probe import ContainerVerdict, Probe

_UL = b"\x06\x0e\x2b\x34"
_PACK_KEY = rb"\x06\x0e\x2b\x34\x02\x05\x01.\x0d\x01\x02\x01\x01"  # the eighth byte is a version
_PARTITION = re.compile(_PACK_KEY + rb"[\x02-\x04].\x00", re.DOTALL)
_HEADER = re.compile(_PACK_KEY + rb"\x02[\x01-\x04]\x00", re.DOTALL)
_FOOTER = re.compile(_PACK_KEY + rb"\x04[\x02\x04]\x00", re.DOTALL)
_RANDOM_INDEX = re.compile(_PACK_KEY + rb"\x11\x01\x00", re.DOTALL)
_KEY_BYTES = 16
_LONGEST_HEAD_BYTES = 25
_PACK_BYTES = 88
_RUN_IN_BYTES = 65536
_SCAN_BYTES = 2 * 1024 * 1024
_STEP_BYTES = 65536


@frozen
class _Klv:
    key: bytes
    value: int
    end: int


@frozen
class _Partition:
    """A partition pack; offsets in the file, not in the MXF."""

    at: int
    end: int
    key: bytes
    own_offset: int
    footer_at: int | None
    announced_end: int
    body_sid: int

    @property
    def is_closed(self) -> bool:
        return self.key[14] in {2, 4}

    @property
    def is_complete(self) -> bool:
        return self.key[14] in {3, 4}

    @property
    def is_footer(self) -> bool:
        return bool(_FOOTER.fullmatch(self.key)) and self.own_offset == self.at and not self.body_sid


def judge(probe: Probe) -> ContainerVerdict | None:
    """Judge an MXF file, behind a run-in of up to 64 KiB too; None for anything else."""
    if _HEADER.fullmatch(probe.peek(0, _KEY_BYTES)):
        return _judge(probe, 0)
    found = _HEADER.search(probe.read(0, _RUN_IN_BYTES + _KEY_BYTES - 1))
    if not found:
        return None
    verdict = _judge(probe, found.start())
    if verdict.container is ContainerState.CLOSED:
        return verdict
    return ContainerVerdict(ContainerState.UNKNOWN, f"behind a run-in, or in an archive: {verdict.detail}")


def _judge(probe: Probe, start: int) -> ContainerVerdict:
    header = _partition(probe, start, start)
    if header is None:
        return ContainerVerdict(ContainerState.TRUNCATED, "no complete header partition pack")
    footer = _footer(probe, header)
    if footer is None:
        return _without_footer(probe, header)
    return _check_behind_footer(probe, footer) or _compare_header_and_footer(header, footer)


def _klv(probe: Probe, at: int) -> _Klv | None:
    """Return the KLV at `at`; one with a truncated head ends behind the end of the file."""
    head = probe.peek(at, _LONGEST_HEAD_BYTES)
    if not head.startswith(_UL[: len(head)]):
        return None
    size, value = head[_KEY_BYTES : _KEY_BYTES + 1], _KEY_BYTES + 1
    if size > b"\x7f":
        value += size[0] & 0x7F
        size = head[_KEY_BYTES + 1 : value]
        if not _KEY_BYTES + 1 < value <= _LONGEST_HEAD_BYTES:
            return None
    if len(head) < value:
        return _Klv(head, probe.size_bytes, probe.size_bytes + 1)
    return _Klv(head[:_KEY_BYTES], at + value, at + value + int.from_bytes(size))


def _partition(probe: Probe, at: int, start: int) -> _Partition | None:
    """Return the partition pack at `at` in an MXF that begins at `start`; None: there is no complete one."""
    klv = _klv(probe, at)
    if klv is None or not _PARTITION.fullmatch(klv.key) or klv.end < klv.value + _PACK_BYTES:
        return None
    pack = probe.peek(klv.value, _PACK_BYTES)
    if len(pack) < _PACK_BYTES:
        return None
    own_offset, _, footer, metadata_bytes, index_bytes = (
        int.from_bytes(pack[field : field + 8]) for field in range(8, 48, 8)
    )
    return _Partition(
        at=at,
        end=klv.end,
        key=klv.key,
        own_offset=start + own_offset,
        footer_at=start + footer if footer else None,
        announced_end=klv.end + metadata_bytes + index_bytes,
        body_sid=int.from_bytes(pack[60:64]),
    )


def _footer(probe: Probe, header: _Partition) -> _Partition | None:
    for at in _footer_offsets(probe, header):
        found = _partition(probe, at, header.at)
        if found and found.is_footer:
            return found
    return None


def _footer_offsets(probe: Probe, header: _Partition) -> Iterator[int]:
    """Yield offsets at which a footer may be, the most reliable first."""
    tail = probe.peek(probe.size_bytes - _KEY_BYTES, _KEY_BYTES)
    index_at = probe.size_bytes - int.from_bytes(tail[-4:])
    if index_at >= 0 and _RANDOM_INDEX.fullmatch(probe.peek(index_at, _KEY_BYTES)):
        yield header.at + int.from_bytes(tail[-12:-4])
    if header.footer_at is not None:
        yield header.footer_at
        if header.footer_at >= probe.size_bytes:
            return
    end = probe.size_bytes
    while end > max(header.end, probe.size_bytes - _SCAN_BYTES):
        begin = max(header.end, end - _STEP_BYTES)
        found = _FOOTER.finditer(probe.read(begin, end - begin + _KEY_BYTES - 1))
        yield from reversed([begin + match.start() for match in found])
        end = begin


def _without_footer(probe: Probe, header: _Partition) -> ContainerVerdict:
    named_at = header.footer_at
    if named_at is not None:
        named = _partition(probe, named_at, header.at)
        if named and named.body_sid:
            return ContainerVerdict(
                ContainerState.OPEN, "still growing: the footer named by the header contains essence"
            )
        return ContainerVerdict(ContainerState.TRUNCATED, f"its footer does not exist at {named_at}")
    if header.is_closed:
        return ContainerVerdict(
            ContainerState.UNKNOWN, "its header is closed and names no footer, and there is none"
        )
    return ContainerVerdict(ContainerState.OPEN, "its header is open and there is no footer")


def _check_behind_footer(probe: Probe, footer: _Partition) -> ContainerVerdict | None:
    """Follow the KLVs from the footer; None when they fill the rest of the file."""
    at = footer.end
    while at < probe.size_bytes:
        klv = _klv(probe, at)
        if klv is None and at >= footer.announced_end:
            return ContainerVerdict(ContainerState.UNKNOWN, f"no KLV begins at {at}, behind the footer")
        if klv is None:
            break
        if _PARTITION.fullmatch(klv.key):
            return ContainerVerdict(ContainerState.UNKNOWN, f"another partition follows its footer, at {at}")
        at = klv.end
    if at != probe.size_bytes or at < footer.announced_end:
        return ContainerVerdict(ContainerState.TRUNCATED, "its footer is incomplete")
    return None


def _compare_header_and_footer(header: _Partition, footer: _Partition) -> ContainerVerdict:
    if not header.is_closed and not footer.is_complete:
        return ContainerVerdict(ContainerState.UNKNOWN, "its header is open and its footer incomplete")
    if header.footer_at not in {None, footer.at}:
        return ContainerVerdict(ContainerState.UNKNOWN, "its header names another footer")
    return ContainerVerdict(ContainerState.CLOSED, "its footer ends where the file ends")
