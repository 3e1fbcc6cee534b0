"""The two kinds of partial in a bucket: an open multipart upload, and a small file in memory."""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import xxhash
from attrs import define, field

from agent.model.errors import Fault, FaultKind
from agent.model.multipart import MOST_PARTS, PartLayout
from agent.model.verification import BLOCK_BYTES, VerifyLevel
from agent.protocol.requests import VerifyMode
from agent.worker.destinations.s3.bucket import S3Bucket, etag_in
from agent.worker.destinations.s3.errors import ObjectMissing, upload_lost
from agent.worker.destinations.s3.request_body import md5_of

IN_FLIGHT = 4  # parts sent in parallel; the engine's windows bound how many more are in memory
StoredPart = tuple[int, str]  # size in bytes, ETag


def identity_of_parts(parts: Mapping[int, StoredPart]) -> str:
    """Return what tells an upload with exactly these parts, by number, from one with any other."""
    return xxhash.xxh3_128_hexdigest(repr(sorted(parts.items())).encode())


def _level(wanted: VerifyMode) -> VerifyLevel:
    return "size" if wanted == "size" else "hash"


@define  # noqa: PLR0904  implements `Partial`
class UploadPartial:
    """Implements `Partial`: a write group is a part of a multipart upload.

    Parts cannot be read back, but a part's ETag is the MD5 of what the service stored. `stored` has the
    valid parts by number.
    """

    survives_request = True
    is_readable = False
    bucket: S3Bucket
    key: str
    upload_id: str
    parts: PartLayout
    stored: dict[int, StoredPart]
    _ever_stored: set[int] = field(init=False)  # also parts that were truncated since
    _pool: ThreadPoolExecutor = field(factory=lambda: ThreadPoolExecutor(IN_FLIGHT), init=False)
    _free_slots: threading.Semaphore = field(factory=lambda: threading.Semaphore(IN_FLIGHT), init=False)
    _sending: dict[int, Future[None]] = field(factory=dict, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    @_ever_stored.default
    def _stored_before(self) -> set[int]:
        return set(self.stored)

    @property
    def size_bytes(self) -> int:
        size_bytes, number = 0, 1
        while size_bytes == self.parts.span(number).start * BLOCK_BYTES and number in self.stored:
            size_bytes += self.stored[number][0]
            number += 1
        return size_bytes

    def write_group(self, block: int) -> range:
        number = self.parts.number(block)
        if number > MOST_PARTS:
            raise Fault(FaultKind.REFUSED, f"s3: the file needs more than {MOST_PARTS} parts")
        return self.parts.span(number)

    def may_contain(self, block: int) -> bool:
        return self.parts.number(block) in self.stored

    def truncate(self, size_bytes: int) -> None:
        for number in [each for each in self.stored if self._end(each) > size_bytes]:
            del self.stored[number]

    def leave_room(self, kept_bytes: int) -> None:
        """Do nothing: what was sent stays with its upload."""

    def write(self, offset: int, blocks: Sequence[bytes]) -> None:
        number = self.parts.number(offset // BLOCK_BYTES)
        with self._lock:
            before = self._sending.get(number)
        if before is not None:  # of two uploads of one part the service keeps the later one
            before.result()
        self._free_slots.acquire()  # the pool's own queue has no limit, and each part is in memory
        sending = self._pool.submit(self._send, number, blocks)
        sending.add_done_callback(lambda _: self._free_slots.release())
        with self._lock:
            self._sending[number] = sending

    def flush(self, end: int) -> None:
        with self._lock:
            pending = {
                number: sending
                for number, sending in self._sending.items()
                if self.parts.span(number).start * BLOCK_BYTES < end
            }
        for sending in pending.values():
            sending.result()
        with self._lock:
            for number, sending in pending.items():
                if self._sending.get(number) is sending:
                    del self._sending[number]

    def matches(self, offset: int, blocks: Sequence[bytes]) -> bool:
        stored = self.stored.get(self.parts.number(offset // BLOCK_BYTES))
        if stored is None or stored[0] != sum(map(len, blocks)):
            return False
        return stored[1] == md5_of(blocks).hexdigest()

    def fsync_parents(self) -> None:
        """Do nothing: the journal has the upload's id, and the service keeps the upload."""

    def read_back(self, offset: int, length: int) -> bytes:  # noqa: ARG002  not readable
        return b""

    def level(self, wanted: VerifyMode) -> VerifyLevel:
        return _level(wanted)

    def finalize(self, mtime_ns: int) -> bool:  # noqa: ARG002  an object has no settable modification time
        """Check that the service lists the parts as they were sent. Raises: Fault: CORRUPT: it does not."""
        self.flush(self.parts.span(MOST_PARTS).stop * BLOCK_BYTES)
        try:
            listed = self.bucket.list_parts(self.key, self.upload_id)
        except ObjectMissing:
            raise upload_lost() from None
        altered = [number for number, each in self.stored.items() if listed.get(number) != each]
        if altered:
            raise Fault(FaultKind.CORRUPT, f"s3: part {min(altered)} is listed as another than was sent")
        return True

    @property
    def file_identity(self) -> str:
        return identity_of_parts(self.stored)

    def close(self) -> None:
        self._pool.shutdown()

    def _send(self, number: int, blocks: Sequence[bytes]) -> None:
        try:
            response = self.bucket.send(
                "upload_part", blocks, Key=self.key, UploadId=self.upload_id, PartNumber=number
            )
        except ObjectMissing:
            raise upload_lost() from None
        except Fault as fault:
            if fault.kind is FaultKind.REFUSED and number in self._ever_stored:
                self._restart_upload()
            raise
        self._ever_stored.add(number)
        self.stored[number] = (sum(map(len, blocks)), etag_in(response))

    def _restart_upload(self) -> None:
        """Abort the upload, because some services cannot replace a stored part."""
        self.bucket.abort_upload(self.key, self.upload_id)
        raise Fault(FaultKind.CORRUPT, "s3: the service replaces no part; the upload begins again")

    def _end(self, number: int) -> int:
        return self.parts.span(number).start * BLOCK_BYTES + self.stored[number][0]


@define  # noqa: PLR0904  implements `Partial`
class MemoryPartial:
    """Implements `Partial` for a file that fits into one part; publishing sends it in one request."""

    survives_request = False
    is_readable = False
    max_blocks: int
    blocks: list[bytes] = field(factory=list, init=False)

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.blocks))

    def write_group(self, block: int) -> range:  # noqa: ARG002  all blocks are one group
        return range(self.max_blocks)

    def may_contain(self, block: int) -> bool:  # noqa: ARG002  nothing survives a request
        return False

    def truncate(self, size_bytes: int) -> None:
        if size_bytes < self.size_bytes:
            self.blocks = []

    def leave_room(self, kept_bytes: int) -> None:
        """Do nothing: nothing is stored yet."""

    def write(self, offset: int, blocks: Sequence[bytes]) -> None:  # noqa: ARG002  there is one group
        self.blocks = list(blocks)

    def flush(self, end: int) -> None:
        """Do nothing: the content does not survive the request."""

    def matches(self, offset: int, blocks: Sequence[bytes]) -> bool:  # noqa: ARG002  there is one group
        return self.blocks == list(blocks)

    def fsync_parents(self) -> None:
        """Do nothing: the content does not survive the request."""

    def read_back(self, offset: int, length: int) -> bytes:  # noqa: ARG002  not readable
        return b""

    def level(self, wanted: VerifyMode) -> VerifyLevel:
        return _level(wanted)

    def finalize(self, mtime_ns: int) -> bool:  # noqa: ARG002  an object has no settable modification time
        return True

    @property
    def file_identity(self) -> str:
        return ""

    def close(self) -> None:
        """Do nothing: the content is needed until it is published."""
