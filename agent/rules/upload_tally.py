"""What the files of an upload job come to."""

from attrs import define, field

from agent.terms import UploadFile, UploadFileState

MOVING = (UploadFileState.PENDING, UploadFileState.IN_PROGRESS)


@define
class Tally:
    """Files of 0 bytes do not count: they are never uploaded."""

    files: int = field(default=0, init=False)
    moving_files: int = field(default=0, init=False)
    uploaded_files: int = field(default=0, init=False)
    _bytes: int = field(default=0, init=False)
    _uploaded_bytes: int = field(default=0, init=False)

    def add(self, file: UploadFile) -> None:
        self._count(file, 1)

    def remove(self, file: UploadFile) -> None:
        self._count(file, -1)

    def progress(self, copied_bytes: int) -> float:
        """From 0 to 1, with `copied_bytes` of files that are being copied."""
        return min(1.0, (self._uploaded_bytes + copied_bytes) / self._bytes) if self._bytes else 0.0

    def _count(self, file: UploadFile, by: int) -> None:
        if file.size_bytes == 0:
            return
        self.files += by
        self._bytes += by * file.size_bytes
        if file.state in MOVING:
            self.moving_files += by
        elif file.state is UploadFileState.UPLOADED:
            self.uploaded_files += by
            self._uploaded_bytes += by * file.size_bytes
