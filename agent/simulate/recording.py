"""A recording: the stream that a writer appends, and the edits that overwrite parts of it.

`containers` makes them.
"""

from collections.abc import Callable, Iterator

from attrs import field, frozen

from agent.simulate.content import Content

_LEAST_PERIOD_BYTES = 4096
_LEAST_TAIL_BYTES = 1024


class TooSmall(Exception):  # noqa: N818  an answer to the size asked for
    """The container needs at least `least_bytes`."""

    def __init__(self, least_bytes: int) -> None:
        super().__init__(least_bytes)
        self.least_bytes = least_bytes


class TooLarge(Exception):  # noqa: N818  likewise
    """The container holds at most `most_bytes`."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__(most_bytes)
        self.most_bytes = most_bytes


@frozen
class RecordingSpec:
    """The recording asked for: seed of its noise, size of the file, rate of the recorder.

    `period_s` and `tail_bytes` replace the container's own values unless they are 0.
    """

    seed: str
    size_bytes: int
    rate_bytes_s: int
    period_s: float = 0.0
    tail_bytes: int = 0

    def period_bytes(self, own_s: float) -> int:
        """Bytes recorded in one period; fewer in a short file, so that it has at least three periods."""
        period_s = self.period_s or own_s
        return max(_LEAST_PERIOD_BYTES, min(round(period_s * self.rate_bytes_s), self.size_bytes // 4))

    def index_bytes(self, own_bytes: int) -> int:
        """Size of the index that is appended at close: 1 KiB at least."""
        return max(self.tail_bytes, _LEAST_TAIL_BYTES) if self.tail_bytes else own_bytes

    def media_bytes(self, overhead_bytes: int) -> int:
        """Bytes left for sound and picture.

        Raises:
            TooSmall: less than 1 KiB is left.
        """
        least = overhead_bytes + 1024
        if self.size_bytes < least:
            raise TooSmall(least)
        return self.size_bytes - overhead_bytes


@frozen
class Edit:
    """After `after` appended bytes, `content` is written at `offset`, which is at most the size."""

    after: int
    offset: int
    content: Content


def _in_order(edits: tuple[Edit, ...]) -> tuple[Edit, ...]:
    return tuple(sorted(edits, key=lambda edit: edit.after))


@frozen
class Recording:
    """`stream` is appended, `edits` are made in order; the first `head_bytes` are written in one write."""

    stream: Content
    edits: tuple[Edit, ...] = field(default=(), converter=_in_order)
    head_bytes: int = 0

    def finished(self) -> Content:
        """The file after its close. The stream overwrites an edit made ahead of the tail."""
        content = self.stream
        for edit in self.edits:
            end = edit.offset + edit.content.size_bytes
            if edit.offset < edit.after:
                inside = min(end, edit.after) - edit.offset
                content = content.patched(edit.offset, edit.content.cut(0, inside))
            beyond = max(edit.offset, self.stream.size_bytes)
            if end > beyond:
                rest = edit.content.cut(beyond - edit.offset, edit.content.size_bytes)
                content = content.patched(beyond, rest)
        return content


ContainerWriter = Callable[[RecordingSpec], Recording]


def shares(total: int, each: int) -> Iterator[int]:
    """Parts of `each` bytes that sum up to `total`; the last part takes the remainder."""
    count = max(1, total // each)
    for _ in range(count - 1):
        yield each
    yield total - (count - 1) * each
