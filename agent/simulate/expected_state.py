"""The expected content of the folder after the steps so far, computed without reading it."""

from bisect import bisect_right

from attrs import define, field

from agent.simulate.content import Content, Noise, Piece, Zeros, cut, length_of
from agent.simulate.steps import Allocate, Create, Remove, Rename, Truncate, Write, WriteStep


@define
class _Image:
    """One changing file: its pieces, and the offset of each."""

    size_bytes: int = 0
    _starts: list[int] = field(factory=list)
    _pieces: list[Piece] = field(factory=list)

    def content(self) -> Content:
        return Content(tuple(self._pieces))

    def resize(self, size_bytes: int) -> None:
        if size_bytes > self.size_bytes:
            self._append(Zeros(size_bytes - self.size_bytes))
        else:
            self._clear(size_bytes, self.size_bytes)
            self.size_bytes = size_bytes

    def write(self, offset: int, content: Content) -> None:
        end = offset + content.size_bytes
        if offset >= self.size_bytes:
            self.resize(offset)
            for piece in content.pieces:
                self._append(piece)
            return
        index = self._clear(offset, min(end, self.size_bytes))
        starts, at = [], offset
        for piece in content.pieces:
            starts.append(at)
            at += length_of(piece)
        self._starts[index:index], self._pieces[index:index] = starts, content.pieces
        self.size_bytes = max(self.size_bytes, end)

    def _append(self, piece: Piece) -> None:
        joined = _joined(self._pieces[-1], piece) if self._pieces else None
        if joined:
            self._pieces[-1] = joined
        else:
            self._starts.append(self.size_bytes)
            self._pieces.append(piece)
        self.size_bytes += length_of(piece)

    def _clear(self, start: int, end: int) -> int:
        """Remove the pieces from `start` up to `end`; returns their index in the lists."""
        first = self._split(start)
        last = self._split(end)
        del self._starts[first:last], self._pieces[first:last]
        return first

    def _split(self, at: int) -> int:
        """Split so that a piece begins at `at`; returns its index in the lists."""
        if at >= self.size_bytes:
            return len(self._starts)
        index = bisect_right(self._starts, at) - 1
        begin, piece = self._starts[index], self._pieces[index]
        if begin == at:
            return index
        self._starts.insert(index + 1, at)
        self._pieces[index : index + 1] = [
            cut(piece, 0, at - begin),
            cut(piece, at - begin, length_of(piece)),
        ]
        return index + 1


def _joined(last: Piece, piece: Piece) -> Noise | None:
    """Both as one piece if the noise continues: thousands of writes then need only one piece."""
    if not isinstance(last, Noise) or not isinstance(piece, Noise) or type(last) is not type(piece):
        return None
    continues = (last.seed, last.start + last.length) == (piece.seed, piece.start)
    return last.cut(0, last.length + piece.length) if continues else None


@define
class ExpectedState:
    """The files that the steps have made, by path."""

    _images: dict[str, _Image] = field(factory=dict)

    def apply(self, step: WriteStep) -> None:
        match step:
            case Create():
                self._images[step.path] = _Image()
            case Write():
                self._images[step.path].write(step.offset, step.content)
            case Truncate():
                self._images[step.path].resize(step.length)
            case Allocate() if step.way != "keep-size":
                image = self._images[step.path]
                image.resize(max(image.size_bytes, step.length))
            case Rename():
                self._images[step.to] = self._images.pop(step.path)
            case Remove():
                del self._images[step.path]

    def contents(self) -> dict[str, Content]:
        return {path: image.content() for path, image in self._images.items()}
