"""A published object, read from its start to its end."""

from collections.abc import Iterator

from attrs import define, field

from agent.model.errors import Fault, OutageReason
from agent.model.transfer import VerifyLevel
from agent.worker.destinations.s3.bucket import TRIES, S3Bucket
from agent.worker.destinations.s3.errors import ObjectMissing


@define
class ObjectReader:
    """One request serves as many reads as follow upon each other."""

    bucket: S3Bucket
    key: str
    etag: str
    size_bytes: int
    _pieces: "Iterator[bytes] | None" = field(default=None, init=False)
    _at: int = field(default=0, init=False)
    _ahead: bytes = field(default=b"", init=False)

    @property
    def read_back_level(self) -> VerifyLevel:
        return "read_back"

    def read_back(self, offset: int, length: int) -> bytes:
        """Empty as well when the object is no longer the one that was found."""
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

    def is_file(self, device: int, inode: int) -> bool:  # noqa: ARG002  it is no file of this machine
        return False

    def make_durable(self) -> None:
        """It is, from the moment it can be seen."""

    def close(self) -> None:
        self._pieces, self._ahead = None, b""

    def _read(self, length: int) -> bytes:
        taken: list[bytes] = [self._ahead]
        have = len(self._ahead)
        failures = 0
        while have < length:
            try:
                piece = self._next(self._at + have)
            except Fault as fault:
                failures += 1
                if fault.reason is not OutageReason.UNREACHABLE or failures == TRIES:
                    raise
                self._pieces = None
                continue
            if not piece:
                break
            taken.append(piece)
            have += len(piece)
        data = b"".join(taken)
        self._ahead = data[length:]
        self._at += min(length, len(data))
        return data[:length]

    def _next(self, offset: int) -> bytes:
        if self._pieces is None:
            self._pieces = self.bucket.read(self.key, self.etag, offset)
        return next(self._pieces, b"")
