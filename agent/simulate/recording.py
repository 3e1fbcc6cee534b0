"""A recording: what a writer appends, and what it then overwrites. The forms make them."""

from collections.abc import Callable, Iterator

from attrs import field, frozen

from agent.simulate.content import Content

_LEAST_PERIOD_BYTES = 4096
_LEAST_TAIL_BYTES = 1024


class TooSmall(Exception):  # noqa: N818  an answer to the size asked for
    """The form does not fit into the size; `least_bytes` does."""

    def __init__(self, least_bytes: int) -> None:
        super().__init__(least_bytes)
        self.least_bytes = least_bytes


class TooLarge(Exception):  # noqa: N818  likewise
    """The form cannot hold so much; `most_bytes` it can."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__(most_bytes)
        self.most_bytes = most_bytes


@frozen
class Material:
    """What a form is made of: whose noise, how large the file becomes, how fast it is recorded.

    `period_s` and `tail_bytes` stand for the form's own when they are not 0.
    """

    seed: str
    size_bytes: int
    rate_bytes_s: int
    period_s: float = 0.0
    tail_bytes: int = 0

    def period_bytes(self, own_s: float) -> int:
        """What is recorded in a period; less in a short file, so that it shows three periods at least."""
        period_s = self.period_s or own_s
        return max(_LEAST_PERIOD_BYTES, min(round(period_s * self.rate_bytes_s), self.size_bytes // 4))

    def tail(self, own_bytes: int) -> int:
        """How long what is appended at close is.: a kilobyte at least."""
        return max(self.tail_bytes, _LEAST_TAIL_BYTES) if self.tail_bytes else own_bytes

    def room(self, overhead_bytes: int) -> int:
        """What is left for sound and picture.

        Raises:
            TooSmall: less than a kilobyte.
        """
        least = overhead_bytes + 1024
        if self.size_bytes < least:
            raise TooSmall(least)
        return self.size_bytes - overhead_bytes


@frozen
class Edit:
    """Once `after` bytes have been appended, `content` is put at `offset`, inside the file or at its end."""

    after: int
    offset: int
    content: Content


def _in_order(edits: tuple[Edit, ...]) -> tuple[Edit, ...]:
    return tuple(sorted(edits, key=lambda edit: edit.after))


@frozen
class Recording:
    """`stream` as it is appended; `edits` in the order they are made; `head_bytes` are written at once."""

    stream: Content
    edits: tuple[Edit, ...] = field(default=(), converter=_in_order)
    head_bytes: int = 0

    def finished(self) -> Content:
        """The file once the writer has closed it. What an edit put ahead of the tail was overwritten."""
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


ContainerWriter = Callable[[Material], Recording]


def shares(total: int, each: int) -> Iterator[int]:
    """Parts of `each` bytes that sum up to `total`; the last is larger by what is left over."""
    count = max(1, total // each)
    for _ in range(count - 1):
        yield each
    yield total - (count - 1) * each
