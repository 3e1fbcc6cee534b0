"""What stands of one file before it is published: an open multipart upload, or a small file in memory."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from attrs import define, field

from agent.model.errors import Fault, FaultKind
from agent.model.multipart import MOST_PARTS, PartLayout
from agent.model.transfer import BLOCK_BYTES, VerifyLevel
from agent.protocol.requests import VerifyMode
from agent.worker.destinations.s3.bucket import S3Bucket
from agent.worker.destinations.s3.errors import ObjectMissing, upload_lost
from agent.worker.destinations.s3.request_body import md5_of

IN_FLIGHT = 4  # parts on their way at a time; the engine's windows bound how many more are in memory
Stored = tuple[int, str]  # size in bytes, ETag


def _level(wanted: VerifyMode) -> VerifyLevel:
    return "size" if wanted == "size" else "hash"


@define
class UploadPartial:
    """A unit is a part. Its ETag is the MD5 of what arrived, so it says what cannot be read back yet.

    `stored`: the parts that have arrived, by number.
    """

    survives_request = True
    is_readable = False
    bucket: S3Bucket
    key: str
    upload_id: str
    parts: PartLayout
    stored: dict[int, Stored]
    _arrived: set[int] = field(init=False)  # at any time, whether it still counts or not
    _pool: ThreadPoolExecutor = field(factory=lambda: ThreadPoolExecutor(IN_FLIGHT), init=False)
    _free: threading.Semaphore = field(factory=lambda: threading.Semaphore(IN_FLIGHT), init=False)
    _sending: dict[int, Future[None]] = field(factory=dict, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    @_arrived.default
    def _arrived_before(self) -> set[int]:
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

    def write(self, offset: int, blocks: Sequence[bytes]) -> None:
        number = self.parts.number(offset // BLOCK_BYTES)
        with self._lock:
            before = self._sending.get(number)
        if before is not None:  # of two of one number the service keeps the one that comes later
            before.result()
        self._free.acquire()  # the pool's own queue has no limit, and each part is held in memory
        sending = self._pool.submit(self._send, number, blocks)
        sending.add_done_callback(lambda _: self._free.release())
        with self._lock:
            self._sending[number] = sending

    def flush(self, until: int) -> None:
        with self._lock:
            ours = [number for number in self._sending if self.parts.span(number).start * BLOCK_BYTES < until]
            sent = [self._sending[number] for number in ours]
        for each in sent:
            each.result()
        with self._lock:
            for number, each in zip(ours, sent, strict=True):
                if self._sending.get(number) is each:
                    del self._sending[number]

    def matches(self, offset: int, blocks: Sequence[bytes]) -> bool:
        stored = self.stored.get(self.parts.number(offset // BLOCK_BYTES))
        if stored is None or stored[0] != sum(map(len, blocks)):
            return False
        return stored[1] == md5_of(blocks).hexdigest()

    def fsync_parents(self) -> None:
        """Nothing to do: the journal names the upload, and the service keeps it."""

    def read_back(self, offset: int, length: int) -> bytes:  # noqa: ARG002  it is not readable
        return b""

    def level(self, wanted: VerifyMode) -> VerifyLevel:
        return _level(wanted)

    def finalize(self, mtime_ns: int) -> None:  # noqa: ARG002  an object has no modification time of its own
        """Does the service list what we have sent? Raises: Fault: CORRUPT: it does not."""
        self.flush(self.parts.span(MOST_PARTS).stop * BLOCK_BYTES)
        try:
            listed = self.bucket.parts(self.key, self.upload_id)
        except ObjectMissing:
            raise upload_lost() from None
        altered = [number for number, each in self.stored.items() if listed.get(number) != each]
        if altered:
            raise Fault(FaultKind.CORRUPT, f"s3: part {min(altered)} is listed as another than was sent")

    def close(self) -> None:
        self._pool.shutdown()

    def _send(self, number: int, blocks: Sequence[bytes]) -> None:
        try:
            etag = self.bucket.send(
                "upload_part", blocks, Key=self.key, UploadId=self.upload_id, PartNumber=number
            )
        except ObjectMissing:
            raise upload_lost() from None
        except Fault as fault:
            if fault.kind is FaultKind.REFUSED and number in self._arrived:
                self._give_up()
            raise
        self._arrived.add(number)
        self.stored[number] = (sum(map(len, blocks)), etag)

    def _give_up(self) -> None:
        """Some services keep no part apart: one that has arrived cannot be sent again."""
        self.bucket.abort(self.key, self.upload_id)
        raise Fault(FaultKind.CORRUPT, "s3: the service replaces no part; the upload begins again")

    def _end(self, number: int) -> int:
        return self.parts.span(number).start * BLOCK_BYTES + self.stored[number][0]


@define
class MemoryPartial:
    """A file below the size of a part: sent as a whole when it is published."""

    survives_request = False
    is_readable = False
    most_blocks: int
    blocks: list[bytes] = field(factory=list, init=False)

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.blocks))

    def write_group(self, block: int) -> range:  # noqa: ARG002  they all belong together
        return range(self.most_blocks)

    def may_contain(self, block: int) -> bool:  # noqa: ARG002  it does not last
        return False

    def truncate(self, size_bytes: int) -> None:
        if size_bytes < self.size_bytes:
            self.blocks = []

    def write(self, offset: int, blocks: Sequence[bytes]) -> None:  # noqa: ARG002  there is one unit
        self.blocks = list(blocks)

    def flush(self, until: int) -> None:
        """Nothing to do: it does not last anyway."""

    def matches(self, offset: int, blocks: Sequence[bytes]) -> bool:  # noqa: ARG002  there is one unit
        return self.blocks == list(blocks)

    def fsync_parents(self) -> None:
        """Nothing to do: it does not last anyway."""

    def read_back(self, offset: int, length: int) -> bytes:  # noqa: ARG002  it is not readable
        return b""

    def level(self, wanted: VerifyMode) -> VerifyLevel:
        return _level(wanted)

    def finalize(self, mtime_ns: int) -> None:
        """Nothing to do: an object has no modification time of its own."""

    def close(self) -> None:
        """Nothing to do: it is still to be published."""
