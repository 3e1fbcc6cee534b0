"""Read a published object sequentially."""

from collections.abc import Iterator

from attrs import define, field

from agent.model.errors import Fault, OutageReason
from agent.model.verification import VerifyLevel
from agent.worker.destinations.s3.bucket import TRIES, S3Bucket
from agent.worker.destinations.s3.errors import ObjectMissing


@define
class ObjectReader:
    """Implements `Existing`; consecutive reads share one request."""

    bucket: S3Bucket
    key: str
    etag: str
    size_bytes: int
    file_identity: str
    _stream: "Iterator[bytes] | None" = field(default=None, init=False)
    _at: int = field(default=0, init=False)
    _rest: bytes = field(default=b"", init=False)

    @property
    def read_back_level(self) -> VerifyLevel:
        return "read_back"

    def read_back(self, offset: int, length: int) -> bytes:
        """Empty also when the object has been replaced since it was found."""
        length = min(length, self.size_bytes - offset)
        if length <= 0:
            return b""
        if offset != self._at:
            self.close()
            self._at = offset
        try:
            return self._read(length)
        except (ObjectMissing, FileExistsError):
            return b""

    def is_file(self, device: int, inode: int) -> bool:  # noqa: ARG002  an object is no file of this machine
        return False

    def make_durable(self) -> None:
        """Do nothing: an object that can be listed is durable."""

    def close(self) -> None:
        self._stream, self._rest = None, b""

    def _read(self, length: int) -> bytes:
        pieces: list[bytes] = [self._rest]
        read_bytes = len(self._rest)
        failures = 0
        while read_bytes < length:
            try:
                piece = self._next(self._at + read_bytes)
            except Fault as fault:
                failures += 1
                if fault.reason is not OutageReason.UNREACHABLE or failures == TRIES:
                    raise
                self._stream = None
                continue
            if not piece:
                break
            pieces.append(piece)
            read_bytes += len(piece)
        data = b"".join(pieces)
        self._rest = data[length:]
        self._at += min(length, len(data))
        return data[:length]

    def _next(self, offset: int) -> bytes:
        if self._stream is None:
            self._stream = self.bucket.read(self.key, self.etag, offset)
        return next(self._stream, b"")
